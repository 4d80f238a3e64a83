"""Which images a conversion script checks and calibrates with: a run's dataset, a folder, or sample photographs."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_mobattn.errors import InputError
from keras_mobattn.models import RUN_SETTINGS, model_file

NUM_CHECK = 32  # 0.1 to 1 s each: Core ML's evaluator takes most of it
NUM_REPRESENTATIVE = 100  # TensorFlow's guide to post-training quantization: "around 100-500 samples"


@dataclasses.dataclass(frozen=True)
class Images:
    """uint8 [n, H, W, 3] to check with and to calibrate int8 with, and a sentence on where they are from."""

    check: np.ndarray
    representative: np.ndarray
    description: str


def choose_images(path, folder, image_size):
    """Take images of `image_size` (H, W) from `folder` if given, else a run's dataset, else photographs.

    Raises:
        InputError: a folder without images, an image that can't be decoded, damaged settings, a dataset that is gone.
    """
    if folder is not None:
        return _from_folder(Path(folder), image_size)
    if model_file(path) != Path(path):
        return _from_run(Path(path) / RUN_SETTINGS, image_size)
    from keras_mobattn.data import sample_photos

    return Images(
        sample_photos(NUM_CHECK, image_size),
        sample_photos(NUM_REPRESENTATIVE, image_size, seed=1),
        "Images: crops of scikit-learn's two sample photographs. For figures on your own: --images FOLDER.",
    )


def _from_run(settings_file, image_size):
    from keras_mobattn.data import open_source, take_images

    try:
        settings = json.loads(settings_file.read_text(encoding="utf-8"))
        name = settings["dataset"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"Expected settings.json of a training run, with a 'dataset'. Received: {settings_file} ({error!r}). "
            "Pass --images."
        ) from error
    source = open_source(name, data_dir=settings.get("data_dir"), on_corrupt=settings.get("on_corrupt", "error"))

    def take(split, count):
        return take_images(source, split, min(count, source.num_examples[split]), image_size)[0]

    check, representative = take("test", NUM_CHECK), take("train", NUM_REPRESENTATIVE)
    return Images(
        check, representative, f"Images: dataset {name!r}, test images for the check, training images for int8."
    )


def _from_folder(folder, image_size):
    from keras_mobattn.data.folder import SUFFIXES

    if not folder.is_dir():
        raise InputError(
            f"Expected a folder of images. Received: {str(folder)!r}, which isn't a folder. Check --images."
        )
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise InputError(f"Expected images ({', '.join(SUFFIXES)}). Received: none in {str(folder)!r}. Check --images.")
    files = [files[i] for i in np.random.RandomState(0).permutation(len(files))]
    split = min(NUM_CHECK, -(-len(files) // 3))
    check, representative = files[:split], files[split : split + NUM_REPRESENTATIVE] or files
    return Images(
        _decoded(check, image_size),
        _decoded(representative, image_size),
        f"Images: {len(check)} of {str(folder)!r} for the check, {len(representative)} others for int8.",
    )


def _decoded(files, image_size):
    """Decode files, resized and cropped as evaluation does it: uint8 [n, H, W, 3]."""
    from keras_mobattn.data import Source, take_images

    def rows():
        for file in files:
            try:
                pixels = tf.io.decode_image(file.read_bytes(), channels=3, expand_animations=False)
            except tf.errors.OpError as error:
                raise InputError(
                    f"Expected an image. Received: {str(file)!r}, which can't be decoded. Remove it."
                ) from error
            yield {"image": pixels.numpy(), "label": 0}

    rows = list(rows())  # here and not inside tf.data, which would bury the error
    kinds = {"image": tf.TensorSpec((None, None, 3), tf.uint8), "label": tf.TensorSpec((), tf.int64)}
    source = Source(
        name="images",
        class_names=("image",),
        num_examples={"test": len(rows)},
        openers={"test": lambda: tf.data.Dataset.from_generator(lambda: iter(rows), output_signature=kinds)},
    )
    return take_images(source, "test", len(rows), image_size)[0]
