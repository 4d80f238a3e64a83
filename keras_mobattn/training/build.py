"""From settings to the model that a run trains, and to the Learner that takes the steps."""

import functools
import inspect

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.catalog import TASKS
from keras_mobattn.errors import InputError
from keras_mobattn.layers import global_policy
from keras_mobattn.models import MODELS, rematerialize
from keras_mobattn.settings import Execution
from keras_mobattn.training.cluster import Cluster
from keras_mobattn.training.heads import match_heads
from keras_mobattn.training.layer_decay import freeze_all_but_head, layer_scales
from keras_mobattn.training.learner import Learner
from keras_mobattn.training.optimizer import make_optimizer


def build_model(settings, class_names, task=None):
    """The model of the settings for these classes, with freshly initialised weights or those of `settings.weights`.

    `task` is the settings' Task, `fitted` where it depends on the training images.

    Raises:
        InputError: settings that the family doesn't have.
    """
    task = TASKS[settings.task] if task is None else task
    whole = settings.weights is not None and task.is_whole(settings.weights)
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
        input_shape=(*settings.image_shape, 3),
        drop_path_rate=settings.drop_path_rate,
        weights=None if whole else settings.weights,
        weights_skip=None if whole else settings.weights_skip,
        **options,
    )
    with global_policy(settings.precision):
        model = task.build(make, class_names)
    if whole:
        task.load_whole(model, settings.weights, class_names, skip=settings.weights_skip)
    elif settings.weights:
        match_heads(model, settings.weights, class_names)
    return model


def make_learner(model, settings, class_names, steps_per_epoch, execution=None, cluster=None, class_weights=None):
    """A Learner that starts from `model` and trains by the settings, with losses weighted by `class_weights`.

    Call it in the scope of the strategy.
    """
    execution, cluster = execution or Execution(), cluster or Cluster()
    task = TASKS[settings.task].for_model(model)
    network = copy_model(model, cluster.replicas > 1, bool(settings.sizes))
    averaged = copy_model(model) if tf.distribute.has_strategy() else model  # a strategy makes its own variables
    if settings.rematerialize:
        rematerialize(network)
    if settings.trainable == "head":
        freeze_all_but_head(network)
    shares = layer_scales(network, settings.layer_decay) if settings.layer_decay < 1 else ()
    optimizer, decayed = make_optimizer(settings, steps_per_epoch, network.trainable_weights, shares)
    loss = task.objective(settings, class_names)
    if class_weights is not None:
        loss = loss.weighted(class_weights)
    return Learner(
        network,
        averaged,
        optimizer,
        task=task,
        loss=loss,
        class_names=class_names,
        coupled_decay=(settings.weight_decay, decayed),
        grad_accum_steps=settings.grad_accum_steps,
        clip_norm=settings.clip_norm,
        clip_mode=settings.clip_mode,
        ema_decay=settings.ema_decay,
        on_nan=execution.on_nan,
        jit_compile=settings.jit_compile,
    )


def copy_model(model, synchronized=False, any_size=False):
    """A copy of `model` with weights of its own.

    With `synchronized` its batch norm is over all replicas: another graph, which must not get into files, so only the
    network that learns has it. With `any_size` its input has open sides.
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
