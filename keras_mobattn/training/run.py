"""One training run, from settings to a folder with everything that came of it."""

import contextlib
import dataclasses
import functools
from collections.abc import Collection
from typing import Any

import rich.console
import tensorflow as tf
import tf_keras as keras

from keras_mobattn._packages import needs
from keras_mobattn._types import PathLike
from keras_mobattn.catalog import TASKS
from keras_mobattn.data import Share, StepPlan, batches, training_stream
from keras_mobattn.data.splits import TEST
from keras_mobattn.errors import InputError
from keras_mobattn.models import load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.settings import Execution, TrainSettings, settings_to_resume
from keras_mobattn.training.build import build_model, make_learner
from keras_mobattn.training.checkpoint import Checkpoints, save_model
from keras_mobattn.training.class_weights import balanced
from keras_mobattn.training.cluster import Cluster, is_chief
from keras_mobattn.training.history import History, read_history
from keras_mobattn.training.optimizer import schedule
from keras_mobattn.training.progress import Board, Meter, Progress
from keras_mobattn.training.stop import SignalWatch, WorkerLost
from keras_mobattn.training.supervisor import Evaluation, Supervisor
from keras_mobattn.weights import layers_with_forms

# The errors of a worker when another one dies, depending on what it was doing.
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)


def train(
    settings: TrainSettings,
    folder: PathLike,
    resume: bool = False,
    execution: Execution | None = None,
    progress: bool = True,
    callbacks: Collection[keras.callbacks.Callback] = (),
) -> dict[str, Any]:
    """Train with Keras `fit` and return the result, which is in `folder`/result.json too.

    `folder` gets the files that `run_folder.RunFolder` names: settings, class names, history, curves, TensorBoard's
    logs, checkpoints, the result, model.keras (the last epoch) and best.keras (the best one by the task's metric, on
    the validation images where the test has others, else on the test images). Both models hold averaged weights. No
    other run can write to the folder in the meantime.

    With `resume` the run in the folder goes on after the newest whole checkpoint, or from its start where there is
    none. Every image, augmentation and random number depends on the seed and the step alone, so that on one CPU it ends
    with the weights, bit for bit, of a run that was never interrupted. `execution` may change, and `epochs` may grow:
    then the rest of the run follows the longer schedule, which is said, and the shorter run's model and result are kept
    under other names, and what was exported in a folder of its own.

    `callbacks` are further Keras callbacks; their model is a Learner. With several workers (Cluster) each calls this
    with the same arguments and a folder that all of them see.

    Raises:
        InputError: settings, data, cluster or folder that can't be used, or another run in the folder.
        Stopped: SIGTERM or SIGINT came; a checkpoint is saved. A signal after the last step is sent again when the
            result is written.
        Diverged: a loss or gradient was not finite.
        WorkerLost: another worker is gone.
        OSError, tf.errors.OpError: the folder can't be written.
    """
    needs("filelock", "psutil", "matplotlib", "tensorboard")
    from keras_mobattn.training.lock import RunLock

    run, execution = RunFolder(folder), execution or Execution()
    with contextlib.ExitStack() as stack:
        lock = None
        if is_chief(execution.strategy):  # from the first moment: before images are looked at, or a cluster is joined
            lock = stack.enter_context(RunLock(run, _say, keep_on=(WorkerLost,)))
        return _train(settings, run, resume, execution, progress, callbacks, lock)


def _train(settings, folder, resume, execution, progress, callbacks, lock, cluster=None):
    begun = bool(folder.list_checkpoints())
    if not resume and folder.has_trained:
        raise InputError(
            f"Expected a folder without a run. Received: {folder.path}. Take another, or go on with its run: "
            f"resume={str(folder.path)!r}."
        )
    earlier = folder.settings if resume and folder.is_run else settings
    settings = settings_to_resume(settings, earlier)
    _expect_resumable(folder.path, earlier, settings)
    cluster = cluster or Cluster(execution.strategy)  # before anything else that computes
    source = settings.open_source()
    if resume:
        folder.expect_same_data(source)
    task = TASKS[settings.task]
    task.expect_settings(settings)
    known = resume and folder.is_run
    task = folder.task if known else task.fitted(settings, source, _say if cluster.chief else lambda sentence: None)
    start = settings
    if begun:  # a checkpoint holds all weights: the file that the run once started from need not be there any more
        start = dataclasses.replace(settings, weights=None, weights_skip=None)
    elif settings.head_epochs:
        if cluster.chief:
            folder.write_start(settings, source, task)  # already now: it may be stopped
        head = _train_head(settings, folder, (execution, progress, callbacks, lock, cluster))
        how = {"attention": head.settings.attention, "weights": str(head.model_file), "weights_skip": None}
        start = dataclasses.replace(settings, **how)  # its attention is that of the weights it began with
    plan = make_plan(settings, source, cluster.replicas)
    keras.utils.set_random_seed(settings.seed)
    names = source.class_names
    model = build_model(start, names, task)  # outside of the scope, where it would start from other weights
    settings = _as_built(settings, model)
    weights = balanced(task, source) if settings.class_weights else None
    with cluster.strategy.scope():
        learner = make_learner(model, settings, names, plan.steps_per_epoch, execution, cluster, weights)
    if cluster.chief:
        if settings.epochs > earlier.epochs:
            folder.keep_result()
        folder.write_start(settings, source, task)

    run = Run(settings, folder, execution, cluster, source, plan, learner, progress, callbacks, lock)
    if settings.epochs > earlier.epochs and cluster.chief:
        _say(_about_schedule(earlier, settings, plan.steps_per_epoch, run.meter.step))
    try:
        with run.watch.listening():
            run.go()
            return run.finish()
    except LOST as error:
        if cluster.workers == 1:
            raise
        raise WorkerLost(f"Another worker is gone: {str(error).splitlines()[0]}") from error


def _train_head(settings, folder, rest):
    """Train the head alone, in a folder of its own, or go on with that; return its RunFolder."""
    head = folder.head
    if not head.result_file.exists():
        _say(f"The head alone, {settings.head_epochs} epochs, in {head.path}; then all of the model.")
        _train(settings.for_head(), head, bool(head.list_checkpoints()), *rest)
        expect_same(rest[-1], 0)  # other workers wait here until the chief has written the model
    return head


def _as_built(settings, model):
    """The settings, with the form of Mobile-Attention that the model has taken over from its weights.

    A run that is resumed is built without these weights.
    """
    published = any(layer.published for layer in layers_with_forms(model))
    changed = published and settings.attention == "mobile"
    return dataclasses.replace(settings, attention="mobile_published") if changed else settings


def _say(sentence):
    rich.console.Console(stderr=True, soft_wrap=True, markup=False).print(sentence, highlight=False)


MAY_CHANGE = {"epochs", "data_dir", "on_corrupt"}  # of a run that goes on


def _expect_resumable(path, earlier, settings):
    """Refuse other settings than the run has, and fewer epochs."""
    names = [name for name in vars(settings) if getattr(settings, name) != getattr(earlier, name)]
    if (other := [name for name in names if name not in MAY_CHANGE]) or settings.epochs < earlier.epochs:
        told = ", ".join(
            f"{name}={getattr(settings, name)!r} (was {getattr(earlier, name)!r})" for name in other or ["epochs"]
        )
        raise InputError(
            f"Expected the settings of the run in {path}, or more epochs. Received: {told}. With other settings "
            f"{RunFolder(path).new_start}"
        )


def _about_schedule(earlier, settings, steps_per_epoch, step):
    """A sentence on what more epochs do to the learning rate."""
    was, now = (float(schedule(each, steps_per_epoch)(step)) for each in (earlier, settings))
    return (
        f"{settings.epochs} epochs, was {earlier.epochs}: from epoch {step // steps_per_epoch + 1} on the learning "
        f"rate is that of a schedule over {settings.epochs} epochs, here {now:.3g}, was {was:.3g}."
    )


def make_plan(settings, source, replicas):
    """The StepPlan of the settings."""
    return StepPlan(
        source.num_examples["train"],
        settings.batch_size,
        settings.epochs,
        settings.image_size,
        sizes=settings.sizes or None,
        granularity=replicas * settings.grad_accum_steps,
        seed=settings.seed,
    )


class Run:
    """A run from its built learner to its result: `go`, then `finish`."""

    def __init__(self, settings, folder, execution, cluster, source, plan, learner, progress, callbacks, lock=None):
        self.settings, self.folder, self.execution, self.cluster = settings, folder, execution, cluster
        self.task = task = learner.task
        self.source, self.plan, self.learner = source, plan, learner
        self.watch = SignalWatch()
        self.testing = functools.partial(
            batches,
            source,
            image_size=settings.image_shape,
            batch_size=settings.batch_size,
            crop=settings.test_crop,
            interpolation=settings.interpolation,
            task=task,
        )
        self.selecting = self.testing(source.selection)
        checkpoints = Checkpoints(folder, learner, execution.keep_checkpoints, cluster.chief)
        position = checkpoints.restore(_say)
        expect_same(cluster, position.step)
        self.meter = Meter(plan, position.step)
        self.supervisor = Supervisor(
            task, learner, checkpoints, execution, cluster, self.watch, position, plan.steps_per_epoch, self.meter, lock
        )
        shown = [Progress(task, plan, settings.epochs, self.meter)] if cluster.chief and progress else []
        self.evaluation = Evaluation(learner, self.selecting, [self.supervisor, *shown])
        self.callbacks = [self.meter, self.evaluation, *callbacks]
        if cluster.chief:
            self.history = History(folder, position.epochs_done)
            self.callbacks.append(Board(folder.board, self.meter, execution.histograms))
            self.callbacks.append(self.history)
        self.callbacks += [*shown, self.supervisor]
        for callback in self.callbacks:
            callback.set_model(learner)

    def go(self):
        """Train from where the run is to its last step: the rest of an epoch that was begun, then whole ones."""
        steps = self.plan.steps_per_epoch
        position = self.supervisor.position
        epoch, in_epoch = divmod(position.step, steps)
        if not in_epoch and epoch > position.epochs_done:  # stopped between its last step and the end of its evaluation
            logs = {metric.name: float(metric.result()) for metric in self.learner.metrics}
            for callback in self.callbacks:
                callback.on_epoch_end(epoch - 1, logs)
        if in_epoch:
            self._fit(epoch, epoch + 1, steps - in_epoch)
            epoch += 1
        if epoch < self.settings.epochs:
            self._fit(epoch, self.settings.epochs, steps)

    def _fit(self, first_epoch, epochs, steps):
        first_step = self.meter.step

        def open_stream(context):
            pipelines = context.num_input_pipelines
            share = Share(context.input_pipeline_id, pipelines, context.num_replicas_in_sync // pipelines)
            return training_stream(
                self.source,
                self.plan,
                self.settings.augment,
                seed=self.settings.seed,
                first_step=first_step,
                share=share,
                repeats=self.settings.aug_repeats,
                service=self.execution.data_service,
                task=self.task,
            )

        try:
            self.learner.fit(
                self.cluster.strategy.distribute_datasets_from_function(open_stream),
                initial_epoch=first_epoch,
                epochs=epochs,
                steps_per_epoch=steps,
                callbacks=self.callbacks,
                verbose=0,
            )
        finally:
            for callback in self.callbacks:
                if isinstance(callback, Progress):
                    callback.close()

    def finish(self):
        """Save the model, evaluate it, save the result and return it."""
        self.learner.publish()
        save_model(self.learner.averaged, self.folder.model_file, self.cluster.chief)
        if self.cluster.chief:
            self.history.plot()
        test = self.source.selection == TEST
        seen = self.evaluation.seen if test else None  # of these weights, unless the run had ended before
        seen = seen or self._evaluate(self.testing(TEST))
        best = self.supervisor.position.best
        result = {
            "dataset": self.settings.dataset,
            "task": self.settings.task,
            "model": self.learner.name,
            "attention": self.settings.attention,
            "teacher": self.settings.teacher,
            "class_names": list(self.source.class_names),
            "num_examples": dict(self.source.num_examples),
            "epochs": self.settings.epochs,
            "steps": int(self.learner.state.step.numpy()),
            "skipped_steps": int(self.learner.state.skipped.numpy()),
            **{f"test_{name}": value for name, value in seen.items() if name != "loss" or self.task.best == "loss"},
            "best_picked_on": self.source.selection,
            f"best_{self.source.selection}_{self.task.best}": best,
            **({} if test else {f"best_test_{self.task.best}": self._test_best()}),
            "seconds": self._seconds(),
        }
        if self.cluster.chief:
            self.folder.write_result(result)
        return result

    def _seconds(self):
        """What the epochs took, those before the run was resumed and those of the head alone, too; None but for the
        chief worker, who keeps count."""
        if not self.cluster.chief:
            return None
        rows, head = [*self.history.rows], self.folder.head
        with contextlib.suppress(InputError, FileNotFoundError):  # somebody put its files in order
            rows += read_history(head.history_file)
        return sum(row["seconds"] for row in rows)

    def _evaluate(self, images):
        return self.learner.judge.figures(images)

    def _test_best(self):
        """The metric of best.keras on the test images, which had no say in picking it."""
        self.learner.averaged.set_weights(load_model(self.folder.best_file).get_weights())
        return self._evaluate(self.testing(TEST))[self.task.best]


def expect_same(cluster, step):
    """Raise InputError unless all workers are at the same step: they must see the same folder."""
    if cluster.workers == 1:
        return

    @tf.function
    def mean_step():
        return cluster.strategy.run(own_step)

    def own_step():
        replica = tf.distribute.get_replica_context()
        return replica.all_reduce(tf.distribute.ReduceOp.MEAN, tf.constant(float(step)))

    mean = cluster.strategy.experimental_local_results(mean_step())[0]
    if float(mean) != step:
        raise InputError(
            f"Expected the run's folder on a file system that all workers share. Received: a checkpoint of step {step} "
            "here and another one elsewhere."
        )
