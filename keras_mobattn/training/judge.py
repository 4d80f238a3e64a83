"""How well the averaged weights do on a set of images: the loss and the task's figures."""

import numpy as np
import tensorflow as tf
import tf_keras as keras


class Judge(keras.Model):
    """Evaluates `averaged`: `figures(batches)` gives the loss and the task's figures."""

    def __init__(self, averaged, task, loss, class_names=(), jit_compile=False):
        super().__init__(name=averaged.name)
        self._averaged, self._loss, self._task, self._class_names = averaged, loss, task, class_names
        self._mean_loss = keras.metrics.Mean("loss")
        self._task_metrics = task.metrics()
        self.compile(jit_compile=jit_compile)

    @property
    def metrics(self):
        """The metrics, which `evaluate` sets to zero at its start."""
        return [self._mean_loss, *self._task_metrics]

    def call(self, images, training=False):
        """The outputs of the model that is judged."""
        return self._averaged(images, training=training)

    def figures(self, batches, on_batch=lambda batch: None):
        """{"loss": float, name: float} of a tf.data.Dataset of (images, labels); `on_batch(number)` after each batch.

        By Keras's `evaluate`, on all devices. Of a task that evaluates all images at once by its tally, on this
        process's first device, in each of several workers.
        """
        if not self._task.evaluates_whole:
            told = keras.callbacks.LambdaCallback(on_test_batch_end=lambda batch, logs: on_batch(batch))
            return self.evaluate(batches, verbose=0, return_dict=True, callbacks=[told])
        tally, losses = self._task.tally(self._class_names), []
        for number, (images, learned) in enumerate(batches):
            each, outputs = self._forward(images, learned)
            losses.append(each.numpy())
            tally.add(learned, outputs)
            on_batch(number)
        figures = {name: value for name, value in tally.result().items() if isinstance(value, float)}
        return {"loss": float(np.mean(np.concatenate(losses))), **figures}

    @tf.function(reduce_retracing=True)
    def _forward(self, images, learned):
        outputs = self(images, training=False)
        return self._loss.losses(learned, outputs), outputs

    def test_step(self, batch):
        """Add a batch."""
        images, learned = batch
        outputs = self(images, training=False)
        self._mean_loss.update_state(self._loss.losses(learned, outputs))
        for metric in self._task_metrics:
            metric.update_state(learned, outputs)
        return {metric.name: metric.result() for metric in self.metrics}
