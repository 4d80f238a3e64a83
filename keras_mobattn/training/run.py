"""One training run, from settings to a folder with everything that came of it."""

import dataclasses
import inspect
import time
from pathlib import Path

import rich.console
import tensorflow as tf
import tf_keras as keras

from keras_mobattn.data import Share, StepPlan, batches, training_stream
from keras_mobattn.errors import InputError
from keras_mobattn.files import write_json, write_text
from keras_mobattn.layers import global_policy
from keras_mobattn.models import MODELS, RUN_LABELS, RUN_MODEL, RUN_SETTINGS, rematerialize
from keras_mobattn.settings import Execution
from keras_mobattn.training.checkpoint import Checkpoints, list_checkpoints, save_model
from keras_mobattn.training.cluster import Cluster
from keras_mobattn.training.distillation import make_loss
from keras_mobattn.training.history import History
from keras_mobattn.training.learner import Learner
from keras_mobattn.training.optimizer import make_optimizer
from keras_mobattn.training.progress import Board, Meter, Progress
from keras_mobattn.training.stop import SignalWatch, WorkerLost
from keras_mobattn.training.supervisor import Evaluation, Supervisor

CHECKPOINTS = "checkpoints"
HISTORY = "history.csv"
RESULT = "result.json"
# What a worker gets to see when another one dies, depending on what it was doing.
LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)


def train(settings, folder, resume=False, execution=None, progress=True, callbacks=()):
    """Train with Keras `fit` and return the result, which also is in `folder`/result.json.

    The folder gets settings.json, labels.txt (the class names), history.csv, curves.png, tensorboard/, checkpoints/,
    best.keras (the epoch with the best test accuracy), model.keras (the last epoch; both hold the averaged weights) and
    result.json.

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
    folder = Path(folder)
    execution = execution or Execution()
    begun = bool(list_checkpoints(folder / CHECKPOINTS))
    if not resume and (begun or (folder / RUN_MODEL).exists()):
        raise InputError(
            f"Expected a folder without a run. Received: {folder}. Take another, or go on with --resume {folder}."
        )
    cluster = Cluster(execution.strategy)  # before anything else that computes
    started = time.perf_counter()
    source = settings.open_source()
    plan = make_plan(settings, source, cluster.replicas)
    keras.utils.set_random_seed(settings.seed)
    # A checkpoint holds all weights: what the run once started from need not be there any more.
    start = dataclasses.replace(settings, weights=None, weights_skip=None) if begun else settings
    model = build_model(start, len(source.class_names))  # outside of the scope, where it would start from other weights
    with cluster.strategy.scope():
        learner = make_learner(model, settings, plan.steps_per_epoch, execution, cluster)
    if cluster.chief:
        write_json(folder / RUN_SETTINGS, dataclasses.asdict(settings))
        write_text(folder / RUN_LABELS, "".join(f"{name}\n" for name in source.class_names))

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
        self.source, self.plan, self.learner = source, plan, learner
        self.watch = SignalWatch()
        self.testing = batches(
            source,
            "test",
            image_size=(settings.image_size, settings.image_size),
            batch_size=settings.batch_size,
            crop=settings.test_crop,
            interpolation=settings.interpolation,
        )
        checkpoints = Checkpoints(folder / CHECKPOINTS, learner, execution.keep_checkpoints, cluster.chief)
        position = checkpoints.restore(rich.console.Console(stderr=True, soft_wrap=True, markup=False).print)
        expect_same(cluster, position.step)
        self.meter = Meter(plan, position.step)
        self.supervisor = Supervisor(
            learner, checkpoints, execution, cluster, self.watch, position, plan.steps_per_epoch, self.meter
        )
        self.callbacks = [self.meter, Evaluation(learner, self.testing, self.supervisor), *callbacks]
        if cluster.chief:
            self.history = History(folder / HISTORY, position.epochs_done)
            self.callbacks.append(Board(folder / "tensorboard", self.meter, execution.histograms))
            self.callbacks.append(self.history)
        if cluster.chief and progress:
            self.callbacks.append(Progress(plan, settings.epochs, self.meter))
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
        save_model(self.learner.averaged, self.folder / RUN_MODEL, self.cluster.chief)
        if self.cluster.chief:
            self.history.plot()
        _, accuracy = self.learner.averaged.evaluate(self.testing, verbose=0)
        result = {
            "dataset": self.settings.dataset,
            "model": self.learner.name,
            "attention": self.settings.attention,
            "teacher": self.settings.teacher,
            "class_names": list(self.source.class_names),
            "num_examples": dict(self.source.num_examples),
            "epochs": self.settings.epochs,
            "steps": int(self.learner.state.step.numpy()),
            "skipped_steps": int(self.learner.state.skipped.numpy()),
            "test_accuracy": accuracy,
            "best_test_accuracy": self.supervisor.position.best,
            "seconds": time.perf_counter() - started,
        }
        if self.cluster.chief:
            write_json(self.folder / RESULT, result)
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


def make_learner(model, settings, steps_per_epoch, execution=None, cluster=None):
    """A Learner that starts from `model` and trains as the settings say. Call it in the scope of the strategy."""
    execution, cluster = execution or Execution(), cluster or Cluster()
    network = copy_model(model, cluster.replicas > 1, bool(settings.sizes))
    averaged = copy_model(model) if tf.distribute.has_strategy() else model  # a strategy's variables are of its making
    if settings.rematerialize:
        rematerialize(network)
    optimizer, decayed = make_optimizer(settings, steps_per_epoch, network.trainable_weights)
    return Learner(
        network,
        averaged,
        optimizer,
        loss=make_loss(settings, model.output_shape[-1]),
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


def build_model(settings, classes):
    """The model of the settings, with freshly initialised weights or those of `settings.weights`.

    Raises:
        InputError: what the family doesn't have.
    """
    takes = inspect.signature(MODELS[settings.model]).parameters
    if settings.distilled and "distilled" not in takes:
        raise InputError(f"distilled expects model='DeiT'. Received: {settings.model!r}. Leave distilled out.")
    options = {"width": settings.width, "variant": settings.variant, "distilled": settings.distilled}
    options = {name: value for name, value in options.items() if name in takes and value is not None}
    with global_policy(settings.precision):
        return MODELS[settings.model](
            attention=settings.attention,
            head_dim=settings.head_dim,
            input_shape=(settings.image_size, settings.image_size, 3),
            classes=classes,
            drop_path_rate=settings.drop_path_rate,
            weights=settings.weights,
            weights_skip=settings.weights_skip,
            **options,
        )
