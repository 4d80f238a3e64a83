"""Which images a conversion script checks and calibrates with: a run's dataset, a folder, or sample photographs."""

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_mobattn.errors import InputError
from keras_mobattn.run_folder import RunFolder

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

    A model in the folder of a run sees them as that run's evaluation does.

    Raises:
        InputError: a folder without images, an image that can't be decoded, damaged settings, a dataset that is gone.
    """
    run = RunFolder.of(path)
    if folder is not None:
        return _from_folder(Path(folder), image_size, run.view if run else {})
    if run:
        return _from_run(run, image_size)
    from keras_mobattn.data import sample_photos

    return Images(
        sample_photos(NUM_CHECK, image_size),
        sample_photos(NUM_REPRESENTATIVE, image_size, seed=1),
        "Images: crops of scikit-learn's two sample photographs. For figures on your own: --images FOLDER.",
    )


def _from_run(run, image_size):
    from keras_mobattn.data import take_images

    source = run.open_source()

    def take(split, count):
        return take_images(source, split, min(count, source.num_examples[split]), image_size, **run.view)[0]

    check, representative = take("test", NUM_CHECK), take("train", NUM_REPRESENTATIVE)
    return Images(
        check,
        representative,
        f"Images: dataset {run.settings.dataset!r}, test images for the check, training images for int8.",
    )


def _from_folder(folder, image_size, view):
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
        _decoded(check, image_size, view),
        _decoded(representative, image_size, view),
        f"Images: {len(check)} of {str(folder)!r} for the check, {len(representative)} others for int8.",
    )


def _decoded(files, image_size, view):
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
    return take_images(source, "test", len(rows), image_size, **view)[0]
