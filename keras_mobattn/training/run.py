"""One training run, from settings to a folder with everything that came of it."""

import dataclasses
import functools
import inspect
import time

import rich.console
import tensorflow as tf
import tf_keras as keras

from keras_mobattn.catalog import TASKS
from keras_mobattn.data import Share, StepPlan, batches, training_stream
from keras_mobattn.errors import InputError
from keras_mobattn.layers import global_policy
from keras_mobattn.models import MODELS, rematerialize
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.settings import Execution
from keras_mobattn.training.checkpoint import Checkpoints, save_model
from keras_mobattn.training.cluster import Cluster
from keras_mobattn.training.history import History
from keras_mobattn.training.learner import Learner
from keras_mobattn.training.optimizer import make_optimizer
from keras_mobattn.training.progress import Board, Meter, Progress
from keras_mobattn.training.stop import SignalWatch, WorkerLost
from keras_mobattn.training.supervisor import Evaluation, Supervisor

# What a worker gets to see when another one dies, depending on what it was doing.
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)


def train(settings, folder, resume=False, execution=None, progress=True, callbacks=()):
    """Train with Keras `fit` and return the result, which also is in `folder`/result.json.

    The folder gets settings.json, labels.txt (the class names), history.csv, curves.png, tensorboard/, checkpoints/,
    best.keras (the epoch that is best on the test images by the task's metric, for classifiers accuracy), model.keras
    (the last epoch; both hold the averaged weights) and result.json. `run_folder.RunFolder` reads them.

    With `resume` the run in the folder goes on after the newest whole checkpoint, or from its start where there is
    none. Every image, augmentation and random number depends on the seed and the step alone, so that on one CPU it ends
    with the weights, bit for bit, of a run that was never interrupted. `execution` may be another one than before.
    `callbacks` are further Keras callbacks; the model that they see is a Learner.

    With several workers (Cluster) each calls this with the same arguments and a folder that all of them see.

    Raises:
        InputError: settings, data, cluster or folder that can't be used.
        Stopped: SIGTERM or SIGINT came; a checkpoint is saved. One that comes after the last step is sent again when
            the result is written.
        Diverged: a loss or gradient was not finite.
        WorkerLost: another worker is gone.
        OSError, tf.errors.OpError: the folder can't be written.
    """
    folder = RunFolder(folder)
    execution = execution or Execution()
    begun = bool(folder.list_checkpoints())
    if not resume and folder.has_trained:
        raise InputError(
            f"Expected a folder without a run. Received: {folder.path}. Take another, or go on with --resume "
            f"{folder.path}."
        )
    cluster = Cluster(execution.strategy)  # before anything else that computes
    started = time.perf_counter()
    source = settings.open_source()
    plan = make_plan(settings, source, cluster.replicas)
    keras.utils.set_random_seed(settings.seed)
    # A checkpoint holds all weights: what the run once started from need not be there any more.
    start = dataclasses.replace(settings, weights=None, weights_skip=None) if begun else settings
    names = source.class_names
    model = build_model(start, names)  # outside of the scope, where it would start from other weights
    with cluster.strategy.scope():
        learner = make_learner(model, settings, names, plan.steps_per_epoch, execution, cluster)
    if cluster.chief:
        folder.write_start(settings, names)

    run = Run(settings, folder, execution, cluster, source, plan, learner, progress, callbacks)
    try:
        with run.watch.listening():
            run.go()
            return run.finish(started)
    except LOST as error:
        if cluster.workers == 1:
            raise
        raise WorkerLost(f"Another worker is gone: {str(error).splitlines()[0]}") from error


def make_plan(settings, source, replicas):
    """Which images each step takes."""
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
    """What `train` does between a built learner and the result."""

    def __init__(self, settings, folder, execution, cluster, source, plan, learner, progress, callbacks):
        self.settings, self.folder, self.execution, self.cluster = settings, folder, execution, cluster
        self.task = task = TASKS[settings.task]
        self.source, self.plan, self.learner = source, plan, learner
        self.watch = SignalWatch()
        self.testing = batches(
            source,
            "test",
            image_size=(settings.image_size, settings.image_size),
            batch_size=settings.batch_size,
            crop=settings.test_crop,
            interpolation=settings.interpolation,
            task=task,
        )
        checkpoints = Checkpoints(folder, learner, execution.keep_checkpoints, cluster.chief)
        position = checkpoints.restore(rich.console.Console(stderr=True, soft_wrap=True, markup=False).print)
        expect_same(cluster, position.step)
        self.meter = Meter(plan, position.step)
        self.supervisor = Supervisor(
            task, learner, checkpoints, execution, cluster, self.watch, position, plan.steps_per_epoch, self.meter
        )
        self.callbacks = [self.meter, Evaluation(learner, self.testing, self.supervisor), *callbacks]
        if cluster.chief:
            self.history = History(folder, position.epochs_done)
            self.callbacks.append(Board(folder.board, self.meter, execution.histograms))
            self.callbacks.append(self.history)
        if cluster.chief and progress:
            self.callbacks.append(Progress(task, plan, settings.epochs, self.meter))
        self.callbacks.append(self.supervisor)
        for callback in self.callbacks:
            callback.set_model(learner)

    def go(self):
        """From where the run is to its last step: the rest of an epoch that was begun, then whole ones."""
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

    def finish(self, started):
        """Save the model, evaluate it, and save and return the result."""
        self.learner.publish()
        save_model(self.learner.averaged, self.folder.model_file, self.cluster.chief)
        if self.cluster.chief:
            self.history.plot()
        seen = self.learner.judge.evaluate(self.testing, verbose=0, return_dict=True)
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
            f"best_test_{self.task.best}": self.supervisor.position.best,
            "seconds": time.perf_counter() - started,
        }
        if self.cluster.chief:
            self.folder.write_result(result)
        return result


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


def make_learner(model, settings, class_names, steps_per_epoch, execution=None, cluster=None):
    """A Learner that starts from `model` and trains as the settings say. Call it in the scope of the strategy."""
    execution, cluster, task = execution or Execution(), cluster or Cluster(), TASKS[settings.task]
    network = copy_model(model, cluster.replicas > 1, bool(settings.sizes))
    averaged = copy_model(model) if tf.distribute.has_strategy() else model  # a strategy's variables are of its making
    if settings.rematerialize:
        rematerialize(network)
    optimizer, decayed = make_optimizer(settings, steps_per_epoch, network.trainable_weights)
    return Learner(
        network,
        averaged,
        optimizer,
        task=task,
        loss=task.objective(settings, class_names),
        coupled_decay=(settings.weight_decay, decayed),
        grad_accum_steps=settings.grad_accum_steps,
        clip_norm=settings.clip_norm,
        clip_mode=settings.clip_mode,
        ema_decay=settings.ema_decay,
        on_nan=execution.on_nan,
        jit_compile=settings.jit_compile,
    )


def copy_model(model, synchronized=False, any_size=False):
    """A copy of `model` with weights of its own; batch norm over all replicas where `synchronized`; open sizes.

    Synchronised batch norm is another graph, which must not get into files: only the network that learns has it.
    """

    def copy(layer):
        config = layer.get_config()
        if synchronized and isinstance(layer, keras.layers.BatchNormalization):
            config["synchronized"] = True
        return type(layer).from_config(config)

    image = keras.Input((None, None, 3), name=model.input_names[0]) if any_size else None
    twin = keras.models.clone_model(model, image, clone_function=copy)
    twin.set_weights(model.get_weights())
    return twin


def build_model(settings, class_names):
    """The model of the settings for these classes, with freshly initialised weights or those of `settings.weights`.

    Raises:
        InputError: what the family doesn't have.
    """
    function = MODELS[settings.model]
    takes = inspect.signature(function).parameters
    if settings.distilled and "distilled" not in takes:
        have = [name for name in MODELS if "distilled" in inspect.signature(MODELS[name]).parameters]
        raise InputError(f"Expected distilled with {' or '.join(have)} alone. Received: {settings.model!r} with it.")
    options = {"width": settings.width, "variant": settings.variant, "distilled": settings.distilled}
    options = {name: value for name, value in options.items() if name in takes and value is not None}
    make = functools.partial(
        function,
        attention=settings.attention,
        head_dim=settings.head_dim,
        input_shape=(settings.image_size, settings.image_size, 3),
        drop_path_rate=settings.drop_path_rate,
        weights=settings.weights,
        weights_skip=settings.weights_skip,
        **options,
    )
    with global_policy(settings.precision):
        return TASKS[settings.task].build(make, class_names)
