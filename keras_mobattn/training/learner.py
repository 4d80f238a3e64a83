"""One training step: accumulated gradients, clipping, averaged weights, and nothing lost to a NaN."""

import functools
from typing import NamedTuple

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.catalog import CLIPS
from keras_mobattn.errors import choose
from keras_mobattn.training.judge import Judge

SUM = tf.distribute.ReduceOp.SUM


class Requests(NamedTuple):
    """What a worker asks of all workers in a step."""

    save: bool = False  # a checkpoint after it
    stop: bool = False  # the run after it


class Learner(keras.Model):
    """A model that `fit` trains: `network` learns, `averaged` holds the moving average of its weights.

    Both have the same architecture. All weights are averaged, batch norm's statistics too (tf-keras's own `use_ema`
    leaves them out): average = d * average + (1 - d) * weight after each step, with d = min(ema_decay, (1 + step) / (10
    + step)), so that the initial weights are soon forgotten. apple/ml-cvnets gives the momentum, 1 - d. `publish`
    copies the averages into `averaged`, which then evaluates and is saved.

    A step whose loss, or in float32 and bfloat16 a gradient, is not finite leaves no trace in weights, averages, batch
    norm's statistics, optimizer or metrics. With `on_nan` "stop" no step after it leaves one either.

    Args:
        network, averaged: functional models, [B, H, W, C] -> a tensor or a dict of tensors [B, ..].
        optimizer: built for the network's weights.
        task: the Task of the model, which has the metrics.
        loss: the task's Objective. A teacher in it is no part of the Learner's weights.
        class_names: in the order of the labels.
        clip_norm, clip_mode: the limit of the gradients, and the name in CLIPS of the way to keep to it.
        coupled_decay: (weight decay, the weights whose decay is added to their gradient).
        grad_accum_steps: how many parts a batch is computed in. Batches must be divisible by it.

    Attributes:
        requests: the Requests of this worker for the next step, which takes them.
        agreed: the Requests of any worker in the last step, the same for all.
        judge: the Judge of `averaged`.
    """

    def __init__(
        self,
        network,
        averaged,
        optimizer,
        *,
        task,
        loss,
        class_names=(),
        coupled_decay=(0.0, ()),
        grad_accum_steps=1,
        clip_norm=None,
        clip_mode="norm",
        ema_decay=0.0,
        on_nan="stop",
        jit_compile=False,
    ):
        super().__init__(name=averaged.name)
        self.task = task
        self.network = network
        self.averaged = averaged
        self.state = State(network)
        self.requests = Requests()
        self._sums = Requests()
        self._parts = grad_accum_steps
        self._clip_norm = clip_norm
        self._clip = choose(CLIPS, clip_mode, "clip_mode")
        self._loss = loss
        self._student = self._loss.student(network)
        self._ema_decay = ema_decay
        self._halt = on_nan == "stop"
        weight_decay, decayed = coupled_decay
        self._coupled_decay = {weight.ref(): weight_decay for weight in decayed}
        self._mean_loss = keras.metrics.Mean("loss")
        self._task_metrics = task.metrics()
        self.compile(optimizer, jit_compile=jit_compile)
        self.judge = Judge(averaged, task, loss, class_names, jit_compile)

    @property
    def metrics(self):
        """The metrics, which `fit` sets to zero at the start of each epoch."""
        return [self._mean_loss, *self._task_metrics]

    @property
    def agreed(self):
        """See above. Asking waits for the step to end."""
        return Requests(*(float(each) > 0 for each in self._sums))

    def call(self, images, training=False):
        """The outputs with the averaged weights, as of the last `publish`."""
        return self.averaged(images, training=training)

    def make_train_function(self, force=False):
        """The function that `fit` calls for each step.

        Batches reach the step with their own shapes, so that each shape is traced once; Keras's function would trace
        one graph of unknown sizes.
        """
        if self.train_function is None or force:
            self.step_function = tf.function(self._step)

            def train_function(iterator):
                images, learned = next(iterator)
                requests = tf.constant([float(each) for each in self.requests])
                logs, self._sums = self.step_function(images, learned, requests)
                self.requests = Requests()
                return logs

            self.train_function = train_function
        return self.train_function

    @property
    def learning_rate(self):
        """The learning rate of the last step."""
        return float(self.optimizer.learning_rate.numpy())

    def publish(self):
        """Copy the averages into `averaged`."""
        for weight, average in zip(self.averaged.weights, self.state.averages, strict=True):
            weight.assign(average.read_value())

    def _step(self, images, learned, requests):
        """One step, in cross-replica context, since a condition must not contain what synchronises replicas."""
        run = self.distribute_strategy.run
        look = tf.function(self._look, jit_compile=True) if self.jit_compile else self._look
        learn = tf.function(self._learn, jit_compile=True) if self.jit_compile else self._learn
        gradients, seen, kept, sums = run(look, (images, learned, requests))
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

    def _look(self, images, learned, requests):
        """The clipped gradients of all replicas; and sums over all: how many are not finite, how many ask for what."""
        replica = tf.distribute.get_replica_context()
        kept = [tf.identity(weight) for weight in self.network.non_trainable_weights]
        losses, outputs, gradients = self._gradients(images, learned)
        share = 1 / replica.num_replicas_in_sync
        gradients = replica.all_reduce(SUM, [gradient * share for gradient in gradients])
        norm = tf.linalg.global_norm(gradients)
        bad = 1.0 - tf.cast(self._is_finite(losses, norm), tf.float32)
        sums = replica.all_reduce(SUM, tf.concat([bad[None], requests], axis=0))
        if self._clip_norm is not None:
            gradients = self._clip(gradients, self.network.trainable_weights, self._clip_norm, norm)
        return gradients, (losses, learned, outputs), kept, sums

    def _is_finite(self, losses, norm):
        """Whether losses, gradients and moving statistics are finite.

        An infinite batch variance divides a map to 0, and then only the statistics show it. With a scaled loss
        gradients don't count: there the optimizer lowers the scale.
        """
        moved = [tf.reshape(weight, [-1]) for weight in self.network.non_trainable_weights]
        scaled = isinstance(self.optimizer, keras.mixed_precision.LossScaleOptimizer)
        seen = [losses, *moved, *([] if scaled else [norm[None]])]
        return tf.reduce_all(tf.math.is_finite(tf.concat(seen, axis=0)))

    def _gradients(self, images, learned):
        """Losses [B], outputs [B, ..] and mean gradients of a batch, computed in `grad_accum_steps` parts."""
        weights = self.network.trainable_weights
        if self._parts == 1:
            return self._part_gradients(images, learned, weights)
        # Parts by an index and results by `stack`: XLA can't slice or concatenate what it doesn't know the size of.
        nest = tf.nest
        images, learned = nest.map_structure(
            lambda x: tf.reshape(x, [self._parts, -1, *x.shape[1:]]), (images, learned)
        )
        sums = [tf.zeros(weight.shape, weight.dtype) for weight in weights]
        losses = self._array(tf.float32, images, ())
        kinds = self._student.output["outputs"]
        arrays = nest.map_structure(lambda x: self._array(x.dtype, images, x.shape[1:]), kinds)
        for part in tf.range(self._parts):
            given = nest.map_structure(lambda x: x[part], (images, learned))  # noqa: B023  called at once
            loss, outputs, gradients = self._part_gradients(*given, weights)
            losses = losses.write(part, loss)
            arrays = nest.map_structure(lambda array, x: array.write(part, x), arrays, outputs)  # noqa: B023
            sums = [total + gradient for total, gradient in zip(sums, gradients, strict=True)]
        whole = nest.map_structure(lambda array: _joined(array.stack()), (losses, arrays))
        return *whole, [total / self._parts for total in sums]

    def _array(self, dtype, images, shape):
        """A TensorArray for the results of the parts, each [images of a part, *shape]."""
        return tf.TensorArray(dtype, self._parts, element_shape=[images.shape[1], *shape])

    def _part_gradients(self, images, learned, weights):
        optimizer = self.optimizer
        scaled = isinstance(optimizer, keras.mixed_precision.LossScaleOptimizer)
        with tf.GradientTape() as tape:
            seen = self._student(images, training=True)
            losses = self._loss(images, learned, seen)
            loss = tf.reduce_mean(losses)
            target = optimizer.get_scaled_loss(loss) if scaled else loss
        gradients = tape.gradient(target, weights)
        gradients = optimizer.get_unscaled_gradients(gradients) if scaled else gradients
        return losses, seen["outputs"], gradients

    def _observe(self, losses, learned, outputs):
        self._mean_loss.update_state(losses)
        for metric in self._task_metrics:
            metric.update_state(learned, outputs)

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


def _joined(x):
    """[parts, images of a part, ..] as one batch."""
    return tf.reshape(x, [-1, *x.shape[2:]])


class State:
    """What a run counts and averages, besides the model and its optimizer. Make it within the strategy's scope.

    Attributes:
        step: batches taken from the data, skipped ones too.
        skipped: batches that left no trace.
        halted: the step, from 0, at which a value that is not finite ended the run, or -1.
        averages: one for each weight of `network`; each replica has its own, and they are the same.
    """

    def __init__(self, network):
        first = tf.VariableAggregation.ONLY_FIRST_REPLICA
        count = functools.partial(tf.Variable, dtype=tf.int64, trainable=False, aggregation=first)
        self.step, self.skipped, self.halted = count(0), count(0), count(-1)
        each = functools.partial(
            tf.Variable, trainable=False, synchronization=tf.VariableSynchronization.ON_READ, aggregation=first
        )
        self.averages = [each(weight.read_value()) for weight in network.weights]
