"""One run of the comparison: a host with a style and a seed, trained through the stages of the plan."""

import dataclasses
import functools
import shutil
from pathlib import Path

import numpy as np
import tf_keras as keras

from keras_mobattn.attention import MobileAttention
from keras_mobattn.attention.information_flow import MOBILE_GAIN
from keras_mobattn.data import open_source, take_images
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.studies.comparison.study_plan import SIDE_IMAGES, STAGES, VARIANTS
from keras_mobattn.studies.comparison.variants import MobileAttentionWithoutCompetition
from keras_mobattn.training import train
from keras_mobattn.training.build import build_model


def train_stages(plan, host, style, seed, folder):
    """Train each stage in folder/STAGE, evaluate it, and return the accuracies, all in 0..1.

    {"accuracies": {stage: on its test images, after the last epoch}, "sizes": {stage: {side: at this image size}},
    "competition": {stage: (with it, without it)}}; the last two are of the first SIDE_IMAGES test images. Where an
    earlier call was interrupted, this one goes on after the newest checkpoint; stages that have ended are kept.

    Raises:
        InputError, Stopped, Diverged, OSError, tf.errors.OpError: as `train`.
    """
    accuracies, sizes, competition = {}, {}, {}
    for name, settings in plan.settings(host, style, seed).items():
        run, stage = RunFolder(Path(folder) / name), STAGES[name]
        if not run.result_file.exists():
            if stage.after:
                start = RunFolder(Path(folder) / stage.after).model_file
            else:
                start = _start(settings, style, Path(folder) / f"{name}_start.keras")
            settings = dataclasses.replace(settings, weights=start and str(start))
            train(settings, run.path, resume=True, progress=False)
        shutil.rmtree(run.checkpoints, ignore_errors=True)  # of all runs they would fill a GB
        accuracies[name] = run.result["test_accuracy"]
        if stage.sides:
            sizes[name] = accuracies_at(run, stage.sides)
        if settings.attention == "mobile":
            competition[name] = with_and_without_competition(run)
    return {"accuracies": accuracies, "sizes": sizes, "competition": competition}


def _start(settings, style, path):
    """A file with the initial weights of a style with a gain; None for other styles."""
    gain = VARIANTS.get(style, {}).get("gain")
    if gain is None:
        return None
    if not path.exists():
        keras.utils.set_random_seed(settings.seed)
        model = build_model(settings, open_source(settings.dataset, settings.data_dir).class_names)
        for layer in model.layers:
            if isinstance(layer, MobileAttention):
                for projection in (layer.query, layer.key):
                    projection.kernel.assign(projection.kernel * (gain / MOBILE_GAIN))
        path.parent.mkdir(parents=True, exist_ok=True)
        model.save(path)
    return path


def accuracies_at(run, sides):
    """{side: accuracy in 0..1 of a run's model, as it is, on its test images of this size}."""
    source = run.open_source()
    return {
        str(side): _accuracy(_model_at(run, size, source), *_test_images(source, size))
        for side in sides
        for size in [(side, side)]
    }


def with_and_without_competition(run):
    """(accuracy of a run's model as it is, accuracy with every competition replaced by its mean), in 0..1."""
    source, size = run.open_source(), run.settings.image_shape
    model, test = _model_at(run, size, source), _test_images(source, size)
    usual = _accuracy(model, *test)
    for layer in model.layers:
        if isinstance(layer, MobileAttention):
            layer.mix = functools.partial(MobileAttentionWithoutCompetition.mix, layer)
    return usual, _accuracy(model, *test)


def _model_at(run, size, source):
    settings = dataclasses.replace(run.settings, image_size=size, weights=str(run.model_file))
    return build_model(settings, source.class_names)


def _test_images(source, size):
    """The first test images, and their labels."""
    return take_images(source, "test", min(SIDE_IMAGES, source.num_examples["test"]), size)


def _accuracy(model, images, labels):
    """The accuracy of a model, in 0..1."""
    batches = np.array_split(images.astype("float32"), -(-len(images) // 100))
    # Eagerly: predict would trace the model first, which takes longer than so few images.
    guesses = np.concatenate([model(batch, training=False).numpy().argmax(-1) for batch in batches])
    return float(np.mean(guesses == labels))
