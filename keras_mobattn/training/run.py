"""One training run, from settings to a folder with everything that came of it."""

import dataclasses
import math
import time
from pathlib import Path

import tf_keras as keras

from keras_mobattn.attention import ATTENTIONS, HeadwiseAttention
from keras_mobattn.data import batches
from keras_mobattn.errors import InputError
from keras_mobattn.files import write_json, write_text
from keras_mobattn.layers import global_policy
from keras_mobattn.models import MODELS, RUN_LABELS, RUN_MODEL, RUN_SETTINGS
from keras_mobattn.training.average import AveragedWeights
from keras_mobattn.training.checkpoint import Checkpoints, has_checkpoint, save_model
from keras_mobattn.training.history import History
from keras_mobattn.training.schedule import WarmupCosine


def train(settings, folder, resume=False, verbose="auto"):
    """Train with Keras `fit` and return the result, which also is in `folder`/result.json.

    The folder gets settings.json, labels.txt (the class names), history.csv, curves.png, tensorboard/, checkpoints/ (to
    resume from), best.keras (the epoch with the best test accuracy), model.keras (the last epoch; both hold the
    averaged weights) and result.json.
    With `resume` the run in the folder goes on after its last whole epoch.

    Raises:
        InputError: settings, data or folder that can't be used.
        OSError: the folder can't be written.
    """
    folder = Path(folder)
    if not resume and (has_checkpoint(folder) or (folder / RUN_MODEL).exists()):
        raise InputError(
            f"Expected a folder without a run. Received: {folder}. Take another, or go on with --resume {folder}."
        )
    source = settings.open_source()
    size = (settings.image_size, settings.image_size)
    keras.utils.set_random_seed(settings.seed)
    options = {"image_size": size, "batch_size": settings.batch_size, "seed": settings.seed}
    training = batches(source, "train", augment=settings.augment, shuffle=True, **options)
    testing = batches(source, "test", **options)
    steps = max(1, source.num_examples["train"] // settings.batch_size)

    # A checkpoint holds all weights: what the run once started from need not be there any more.
    begun = resume and has_checkpoint(folder)
    start = dataclasses.replace(settings, weights=None, weights_skip=None) if begun else settings
    model = build_model(start, len(source.class_names))
    compile_model(model, settings, steps)
    write_json(folder / RUN_SETTINGS, dataclasses.asdict(settings))
    write_text(folder / RUN_LABELS, "".join(f"{name}\n" for name in source.class_names))
    average = AveragedWeights(settings.ema_decay)
    checkpoints = Checkpoints(folder, model, average)
    done = checkpoints.restore() if resume else 0
    history = History(folder / "history.csv", done)
    board = keras.callbacks.TensorBoard(str(folder / "tensorboard"))
    started = time.perf_counter()
    if done < settings.epochs:
        model.fit(
            training,
            epochs=settings.epochs,
            initial_epoch=done,
            validation_data=testing,
            callbacks=[average, board, history, checkpoints],  # a checkpoint vouches for the history before it
            verbose=verbose,
        )
    with average.applied():
        save_model(model, folder / RUN_MODEL)
        _, accuracy = model.evaluate(testing, verbose=0)
    result = {
        "dataset": settings.dataset,
        "model": model.name,
        "attention": settings.attention,
        "class_names": list(source.class_names),
        "num_examples": dict(source.num_examples),
        "epochs": settings.epochs,
        "test_accuracy": accuracy,
        "best_test_accuracy": float(checkpoints.best),
        "seconds": time.perf_counter() - started,
    }
    write_json(folder / "result.json", result)
    return result


def build_model(settings, classes):
    """The model of the settings, with freshly initialised weights or those of `settings.weights`."""
    style = ATTENTIONS[settings.attention]
    if settings.head_dim is not None and not issubclass(style, HeadwiseAttention):
        raise InputError(f"head_dim expects an attention with heads. Received: {settings.attention!r}.")
    heads = {} if settings.head_dim is None else {"head_dim": settings.head_dim}
    options = {"width": settings.width} if settings.model == "MobileViTv2" else {}
    if settings.variant is not None:
        options["variant"] = settings.variant
    with global_policy(settings.precision):
        return MODELS[settings.model](
            attention=lambda dim: style(dim, **heads),
            input_shape=(settings.image_size, settings.image_size, 3),
            classes=classes,
            weights=settings.weights,
            weights_skip=settings.weights_skip,
            **options,
        )


def compile_model(model, settings, steps_per_epoch):
    """AdamW with warm-up and cosine, label smoothing and clipped gradients; no decay on 1-D weights."""
    peak = settings.learning_rate
    warmup, total = math.ceil(settings.warmup_epochs * steps_per_epoch), settings.epochs * steps_per_epoch
    optimizer = keras.optimizers.AdamW(
        WarmupCosine(peak, peak / 10, warmup, total),
        weight_decay=settings.weight_decay,
        global_clipnorm=settings.clip_norm,
    )
    optimizer.exclude_from_weight_decay([weight for weight in model.trainable_weights if weight.shape.rank <= 1])
    if settings.precision == "mixed_float16":
        optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing)
    model.compile(optimizer, loss, metrics=["accuracy"])
