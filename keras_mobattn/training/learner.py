"""One training step: accumulated gradients, clipping, averaged weights, and nothing lost to a NaN."""

import functools

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.catalog import CLIPS
from keras_mobattn.errors import choose
from keras_mobattn.training.loss import CrossEntropy

SUM = tf.distribute.ReduceOp.SUM
SAVE, STOP = 0, 1  # what a worker may ask all workers for: places in the `requests` of a step


class Learner(keras.Model):
    """A model that `fit` trains: `network` learns, `averaged` holds the moving average of its weights.

    Both are the same architecture. All weights are averaged, batch norm's statistics too (tf-keras's own `use_ema`
    leaves them out): average = d * average + (1 - d) * weight after each step, with d = min(ema_decay, (1 + step) / (10
    + step)), so that the start does not hang on to the initial weights. apple/ml-cvnets states it as momentum, 1 - d.
    `publish` copies the averages into `averaged`, which then evaluates and is saved.

    A step in which the loss, or in float32 and bfloat16 a gradient, is not finite leaves no trace: neither weights, nor
    averages, batch norm's statistics, optimizer or metrics move. With `on_nan` "stop" none after it leaves one either.

    Args:
        network, averaged: functional models with a softmax, [B, H, W, C] -> [B, classes].
        optimizer: built for the network's weights.
        clip_norm, clip_mode: the limit of the gradients and what of CLIPS keeps it.
        loss: a CrossEntropy or a Distillation. A teacher is no part of the Learner's weights.
        coupled_decay: (weight decay, the weights whose decay is added to their gradient).
        grad_accum_steps: how many parts a batch is computed in. Batches must be divisible by it.
    """

    def __init__(
        self,
        network,
        averaged,
        optimizer,
        *,
        loss=None,
        coupled_decay=(0.0, ()),
        grad_accum_steps=1,
        clip_norm=None,
        clip_mode="norm",
        ema_decay=0.0,
        on_nan="stop",
        jit_compile=False,
    ):
        super().__init__(name=averaged.name)
        self.network = network
        self.averaged = averaged
        self.state = State(network)
        self.signals = (0.0, 0.0)
        self.requests = [0.0, 0.0]
        self._parts = grad_accum_steps
        self._clip_norm = clip_norm
        self._clip = choose(CLIPS, clip_mode, "clip_mode")
        self._loss = loss or CrossEntropy()
        self._student = self._loss.student(network)
        self._ema_decay = ema_decay
        self._halt = on_nan == "stop"
        weight_decay, decayed = coupled_decay
        self._coupled_decay = {weight.ref(): weight_decay for weight in decayed}
        self._mean_loss = keras.metrics.Mean("loss")
        self._mean_accuracy = keras.metrics.CategoricalAccuracy("accuracy")
        self.compile(optimizer, jit_compile=jit_compile)
        averaged.compile(
            loss=keras.losses.CategoricalCrossentropy(label_smoothing=self._loss.label_smoothing),
            metrics=["accuracy"],
            jit_compile=jit_compile,
        )

    @property
    def metrics(self):
        """What `fit` sets to zero at the start of each epoch."""
        return [self._mean_loss, self._mean_accuracy]

    def call(self, images, training=False):
        """Probabilities [B, classes] by the averaged weights, as of the last `publish`."""
        return self.averaged(images, training=training)

    def make_train_function(self, force=False):
        """What `fit` calls for each step. Batches reach the step with the shapes that they have, so each shape is
        traced once; Keras's own would trace one graph of unknown sizes."""
        if self.train_function is None or force:
            self.step_function = tf.function(self._step)

            def train_function(iterator):
                images, labels = next(iterator)
                logs, signals = self.step_function(images, labels, tf.constant(self.requests))
                self.requests = [0.0, 0.0]
                self.signals = signals
                return logs

            self.train_function = train_function
        return self.train_function

    @property
    def learning_rate(self):
        """That of the last step."""
        return float(self.optimizer.learning_rate.numpy())

    def publish(self):
        """Copy the averages into `averaged`."""
        for weight, average in zip(self.averaged.weights, self.state.averages, strict=True):
            weight.assign(average.read_value())

    def _step(self, images, labels, requests):
        """In cross-replica context, since a condition may not hold what synchronises replicas."""
        run = self.distribute_strategy.run
        look = tf.function(self._look, jit_compile=True) if self.jit_compile else self._look
        learn = tf.function(self._learn, jit_compile=True) if self.jit_compile else self._learn
        gradients, seen, kept, sums = run(look, (images, labels, requests))
        sums = self.distribute_strategy.experimental_local_results(sums)[0]  # the same on all
        state = self.state
        good = (sums[0] == 0) & (state.halted.read_value() < 0)
        if good:
            run(learn, (gradients, seen))
        else:
            run(self._restore, (kept,))
            state.skipped.assign_add(1)
            if self._halt and state.halted.read_value() < 0:
                state.halted.assign(state.step.read_value())
        state.step.assign_add(1)
        logs = {metric.name: metric.result() for metric in self.metrics}
        return logs, sums[1:]

    def _look(self, images, labels, requests):
        """Gradients over all replicas, clipped; and a sum over all: how many are not finite, who asks for what."""
        replica = tf.distribute.get_replica_context()
        kept = [tf.identity(weight) for weight in self.network.non_trainable_weights]
        losses, probabilities, gradients = self._gradients(images, labels)
        share = 1 / replica.num_replicas_in_sync
        gradients = replica.all_reduce(SUM, [gradient * share for gradient in gradients])
        norm = tf.linalg.global_norm(gradients)
        bad = 1.0 - tf.cast(self._is_finite(losses, norm), tf.float32)
        sums = replica.all_reduce(SUM, tf.concat([bad[None], requests], axis=0))
        if self._clip_norm is not None:
            gradients = self._clip(gradients, self.network.trainable_weights, self._clip_norm, norm)
        return gradients, (losses, labels, probabilities), kept, sums

    def _is_finite(self, losses, norm):
        """Whether loss, gradient and moving statistics are: an infinite batch variance divides a map to 0, and then
        only they show it. With a scaled loss the gradient is the scale's matter, which the optimizer lowers."""
        moved = [tf.reshape(weight, [-1]) for weight in self.network.non_trainable_weights]
        scaled = isinstance(self.optimizer, keras.mixed_precision.LossScaleOptimizer)
        seen = [losses, *moved, *([] if scaled else [norm[None]])]
        return tf.reduce_all(tf.math.is_finite(tf.concat(seen, axis=0)))

    def _gradients(self, images, labels):
        """Losses [B], probabilities [B, classes] and mean gradients of a batch, computed in `grad_accum_steps`
        parts."""
        weights = self.network.trainable_weights
        if self._parts == 1:
            return self._part_gradients(images, labels, weights)
        # Parts by an index and results by `stack`: XLA can't slice or concatenate what it doesn't know the size of.
        images, labels = (tf.reshape(each, [self._parts, -1, *each.shape[1:]]) for each in (images, labels))
        sums = [tf.zeros(weight.shape, weight.dtype) for weight in weights]
        losses = tf.TensorArray(tf.float32, self._parts, element_shape=labels.shape[1:2])
        outputs = tf.TensorArray(tf.float32, self._parts, element_shape=labels.shape[1:])
        for part in tf.range(self._parts):
            loss, probabilities, gradients = self._part_gradients(images[part], labels[part], weights)
            losses, outputs = losses.write(part, loss), outputs.write(part, probabilities)
            sums = [total + gradient for total, gradient in zip(sums, gradients, strict=True)]
        probabilities = tf.reshape(outputs.stack(), [-1, labels.shape[2]])
        return tf.reshape(losses.stack(), [-1]), probabilities, [total / self._parts for total in sums]

    def _part_gradients(self, images, labels, weights):
        optimizer = self.optimizer
        scaled = isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
        with tf.GradientTape() as tape:
            outputs = self._student(images, training=True)
            losses = self._loss(images, labels, outputs)
            loss = tf.reduce_mean(losses)
            target = optimizer.get_scaled_loss(loss) if scaled else loss
        gradients = tape.gradient(target, weights)
        gradients = optimizer.get_unscaled_gradients(gradients) if scaled else gradients
        return losses, outputs["probabilities"], gradients

    def _observe(self, losses, labels, probabilities):
        self._mean_loss.update_state(losses)
        self._mean_accuracy.update_state(labels, probabilities)

    def _learn(self, gradients, seen):
        weights = self.network.trainable_weights
        decay = self._coupled_decay
        gradients = [
            gradient + decay[weight.ref()] * weight if weight.ref() in decay else gradient
            for gradient, weight in zip(gradients, weights, strict=True)
        ]
        self.optimizer.apply_gradients(zip(gradients, weights, strict=True), skip_gradients_aggregation=True)
        step = tf.cast(self.optimizer.iterations, tf.float32)
        d = tf.minimum(self._ema_decay, (1 + step) / (10 + step))
        for average, weight in zip(self.state.averages, self.network.weights, strict=True):
            average.assign(weight + tf.cast(d, weight.dtype) * (average - weight))
        self._observe(*seen)

    def _restore(self, kept):
        for weight, before in zip(self.network.non_trainable_weights, kept, strict=True):
            weight.assign(before)


class State:
    """What a run counts and averages, besides the model and its optimizer. Make it within the strategy's scope.

    `step`: batches taken from the data, skipped ones too. `skipped`: those that left no trace. `halted`: the step, from
    0, at which a value that is not finite ended the run, or -1. `averages`: one of each weight of `network`; each
    replica has its own, and they are the same.
    """

    def __init__(self, network):
        first = tf.VariableAggregation.ONLY_FIRST_REPLICA
        count = functools.partial(tf.Variable, dtype=tf.int64, trainable=False, aggregation=first)
        self.step, self.skipped, self.halted = count(0), count(0), count(-1)
        each = functools.partial(
            tf.Variable, trainable=False, synchronization=tf.VariableSynchronization.ON_READ, aggregation=first
        )
        self.averages = [each(weight.read_value()) for weight in network.weights]
