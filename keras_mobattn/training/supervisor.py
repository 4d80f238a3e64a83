"""Saving, stopping and evaluating between two steps and after an epoch."""

import contextlib
import dataclasses
import signal
import time

import tf_keras as keras

from keras_mobattn.training.checkpoint import Position, save_model
from keras_mobattn.training.learner import Requests
from keras_mobattn.training.stop import Diverged, Stopped

LOOK_EVERY = 10  # steps between two looks for a value that was not finite; no step after it changes anything


class Evaluation(keras.callbacks.Callback):
    """Evaluates the averaged weights after each epoch on the images that pick the best one; val_ in the logs.

    Each batch is told to the callbacks `listeners`, by their `on_evaluated_batch(number)`.
    `seen` has the loss and metrics of the last epoch, None before the first.
    """

    def __init__(self, learner, testing, listeners):
        super().__init__()
        self._learner, self._testing = learner, testing
        self._listeners = listeners
        self.seen = None

    def on_epoch_end(self, epoch, logs=None):
        self._learner.publish()
        self.seen = self._learner.judge.figures(self._testing, self._tell)
        logs.update({f"val_{name}": value for name, value in self.seen.items()})

    def _tell(self, number):
        for each in self._listeners:
            each.on_evaluated_batch(number)


class Supervisor(keras.callbacks.Callback):
    """Saves when it is time, when told to stop and after each epoch; ends a run that diverged.

    It is the last callback, since a checkpoint vouches for what the others wrote. Each of several workers may ask in
    the step's sums (Requests), and all act on the same step.
    """

    def __init__(
        self, task, learner, checkpoints, execution, cluster, watch, position, steps_per_epoch, meter, lock=None
    ):
        super().__init__()
        self._lock = lock
        self.position = position
        self._task = task
        self._learner, self._checkpoints, self._execution = learner, checkpoints, execution
        self._alone, self._chief = cluster.workers == 1, cluster.chief
        self._watch = watch
        self._steps_per_epoch = steps_per_epoch
        self._meter = meter
        self._saved_at = time.monotonic()
        self._restored = [variable.numpy() for metric in learner.metrics for variable in metric.variables]

    def on_epoch_begin(self, epoch, logs=None):
        """Give the metrics their values back in an epoch that goes on: `fit` has just set them to zero."""
        if self._meter.step % self._steps_per_epoch:
            variables = [variable for metric in self._learner.metrics for variable in metric.variables]
            for variable, value in zip(variables, self._restored, strict=True):
                variable.assign(value)

    def on_train_batch_begin(self, batch, logs=None):
        save = self._chief and self._is_time(self._meter.step + 1)
        self._learner.requests = Requests(save, self._watch.number is not None)

    def on_train_batch_end(self, batch, logs=None):
        if self._lock is not None:
            self._lock.expect_held()
        save, stop = self._is_time(self._meter.step), self._watch.number is not None
        if not self._alone:
            save, stop = self._learner.agreed
        if stop or save or self._meter.step % LOOK_EVERY == 0:
            self._check_finite()
        if stop:
            self._stop()
        if save and self._meter.step % self._steps_per_epoch:  # the last step of an epoch is saved after its evaluation
            self._save()

    def on_evaluated_batch(self, number):
        """Stop in the middle of an evaluation, which is then the first thing when the run goes on.

        Several workers finish it, since it needs them all.
        """
        if self._alone and self._watch.number is not None:
            self._stop()

    def on_epoch_end(self, epoch, logs=None):
        self._check_finite()
        best = self.position.best
        value = logs[f"val_{self._task.best}"]
        if self._task.is_better(value, best):
            best, folder = value, self._checkpoints.folder
            if self._chief:
                with contextlib.suppress(OSError):  # of somebody else's folders, say: no reason to end a training
                    folder.keep_exported(folder.best_file, epoch)  # made of the one before
            save_model(self._learner.averaged, folder.best_file, self._chief)
        self.position = Position(self._meter.step, epoch + 1, best)
        self._save()

    def _is_time(self, step):
        steps, minutes = self._execution.checkpoint_steps, self._execution.checkpoint_minutes
        by_steps = steps is not None and step % steps == 0
        return by_steps or (minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes)

    def _save(self):
        self.position = dataclasses.replace(self.position, step=self._meter.step)
        path = self._checkpoints.save(self.position)
        self._saved_at = time.monotonic()
        return path

    def _stop(self):
        raise Stopped(self._watch.number or signal.SIGTERM, self._save())

    def _check_finite(self):
        halted = int(self._learner.state.halted.numpy())
        if halted < 0:
            return
        paths = self._checkpoints.paths()
        last = f"The last good checkpoint is {paths[0]}" if paths else "There is no checkpoint yet"
        epoch = halted // self._steps_per_epoch + 1
        raise Diverged(
            f"The loss or a gradient was not finite in step {halted + 1} (epoch {epoch}), "
            f"at learning rate {self._learner.learning_rate:.3g}. {last}. Resume with on_nan='skip', which leaves such "
            "batches out, or train anew with a lower learning rate, a longer warm-up or a smaller clip_norm."
        )
