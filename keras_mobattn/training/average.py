"""Exponential moving average of a model's weights."""

import contextlib

import tensorflow as tf
import tf_keras as keras


class AveragedWeights(keras.callbacks.Callback):
    """Keep an exponential moving average of ALL weights, batch norm's statistics too, and use it wherever `fit`
    evaluates.

    average = d * average + (1 - d) * weights after each step, with d = min(decay, (1 + step) / (10 + step)), so that
    the start does not hang on to the initial weights. tf-keras's own `use_ema` leaves batch norm's statistics out and
    evaluates the raw weights. apple/ml-cvnets states it as momentum, 1 - decay.
    """

    def __init__(self, decay):
        super().__init__()
        self.decay = decay
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.averages = []
        self._depth = 0  # how many evaluations and `applied` are under way

    def set_model(self, model):
        super().set_model(model)
        if not self.averages:
            self.averages = [tf.Variable(weight, trainable=False) for weight in model.weights]
            self._update = tf.function(self._update_all)
            self._update()  # traced now: in the first step Keras would call it slow. It changes nothing yet
            self.step.assign(0)

    def _update_all(self):
        self.step.assign_add(1)
        step = tf.cast(self.step, tf.float32)
        decay = tf.minimum(self.decay, (1 + step) / (10 + step))
        for average, weight in zip(self.averages, self.model.weights, strict=True):
            average.assign(weight + tf.cast(decay, weight.dtype) * (average - weight))

    def on_train_batch_end(self, batch, logs=None):
        self._update()

    def _swap(self):
        for average, weight in zip(self.averages, self.model.weights, strict=True):
            kept = weight.numpy()
            weight.assign(average)
            average.assign(kept)

    def on_test_begin(self, logs=None):
        if self._depth == 0:
            self._swap()
        self._depth += 1

    def on_test_end(self, logs=None):
        self._depth -= 1
        if self._depth == 0:
            self._swap()

    @contextlib.contextmanager
    def applied(self):
        """The model holds the averaged weights inside; they nest."""
        self.on_test_begin()
        try:
            yield
        finally:
            self.on_test_end()
