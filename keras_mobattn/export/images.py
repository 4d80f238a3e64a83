"""Which images a conversion script checks and calibrates with: a run's dataset, a folder, or sample photographs."""

import collections
import dataclasses
from pathlib import Path

import numpy as np

from keras_mobattn.errors import InputError
from keras_mobattn.layers import ImageRange
from keras_mobattn.run_folder import RunFolder

NUM_CHECK = 32  # 0.1 to 1 s each: Core ML's evaluator takes most of it
NUM_REPRESENTATIVE = 100  # TensorFlow's guide to post-training quantization: "around 100-500 samples"


@dataclasses.dataclass(frozen=True)
class Images:
    """uint8 [n, H, W, 3] to check with and to calibrate int8 with, and a sentence on where they are from.

    `source` is the Source of a run's images; None where they are others.
    """

    check: np.ndarray
    representative: np.ndarray
    description: str
    source: object = None


def choose_images(path, folder, image_size, on_corrupt="error"):
    """Take images of `image_size` (H, W) from `folder` if given, else a run's dataset, else photographs.

    A model in the folder of a run sees them as that run's evaluation does. `on_corrupt` is open_source's.

    Raises:
        InputError: a folder without images, an image that can't be decoded, damaged settings, a dataset that is gone.
    """
    run = RunFolder.of(path)
    if folder is not None:
        return _from_folder(Path(folder), image_size, run.view if run else {}, on_corrupt)
    if run:
        return _from_run(run, image_size, on_corrupt)
    from keras_mobattn.data import sample_photos

    return Images(
        sample_photos(NUM_CHECK, image_size),
        sample_photos(NUM_REPRESENTATIVE, image_size, seed=1),
        "Images: crops of scikit-learn's two sample photographs. For figures on your own, give a folder of images.",
    )


def _from_run(run, image_size, on_corrupt):
    from keras_mobattn.data import take_images

    source = run.open_source(on_corrupt=on_corrupt)

    def take(split, count):
        return take_images(source, split, min(count, source.num_examples[split]), image_size, **run.view)[0]

    check, representative = take("test", NUM_CHECK), take("train", NUM_REPRESENTATIVE)
    return Images(
        check,
        representative,
        f"Images: dataset {run.settings.dataset!r}, test images for the check, training images for int8 activations.",
        source,
    )


def few_images(count, image_size, folder=None, on_corrupt="error", input_scale=None, input_bias=None):
    """Up to `count` images of a folder, of photographs without one, at `image_size` (H, W): float32 [n, H, W, 3].

    They are 0..255, times `input_scale` plus `input_bias` where these are told, numbers or one for each channel.
    `on_corrupt` is open_source's.

    Raises:
        InputError: a folder without images, an image that can't be decoded, a scale or bias that is none.
    """
    from keras_mobattn.data import sample_photos

    told = {"scale": input_scale, "bias": input_bias}
    taken = ImageRange(**{name: value for name, value in told.items() if value is not None}).of_channels(3)
    if folder is None:
        return taken.from_pixels(sample_photos(count, image_size))
    return taken.from_pixels(_taken(_files(Path(folder), count, on_corrupt), image_size, {}))


def _from_folder(folder, image_size, view, on_corrupt):
    files = _files(folder, NUM_CHECK + NUM_REPRESENTATIVE, on_corrupt)
    split = min(NUM_CHECK, -(-len(files) // 3))
    check, rest = files[:split], files[split : split + NUM_REPRESENTATIVE]
    representative = rest or files
    others = f"{len(rest)} others" if rest else "the same"
    return Images(
        _taken(check, image_size, view),
        _taken(representative, image_size, view),
        f"Images: {len(check)} of {str(folder)!r} for the check, {others} for int8 activations.",
    )


def _files(folder, count, on_corrupt):
    """Up to `count` of a folder's image files in random order, [(path, ImageFacts)]."""
    from keras_mobattn.data.checking import decodable_images
    from keras_mobattn.data.image_file import SUFFIXES
    from keras_mobattn.data.listing import find_images, tell_left_out

    if not folder.is_dir():
        raise InputError(
            f"Expected a folder of images. Received: {str(folder)!r}, which isn't a folder. Check its path."
        )
    left_out = collections.Counter()
    files = find_images(folder, left_out)
    if not files:
        raise InputError(f"Expected images ({', '.join(SUFFIXES)}). Received: none in {str(folder)!r}. Check its path.")
    tell_left_out(folder, left_out)
    files = [files[i] for i in np.random.RandomState(0).permutation(len(files))]
    seen = decodable_images(folder, files[:count], on_corrupt)
    if not seen:
        raise InputError(f"Expected an image that can be decoded. Received: none in {str(folder)!r}. Check its files.")
    return list(seen.items())


def _taken(files, image_size, view):
    """Image files [(path, ImageFacts)] as evaluation sees them: uint8 [n, H, W, 3]."""
    from keras_mobattn.data import take_images
    from keras_mobattn.data.folder_source import files_source

    return take_images(files_source("images", dict(files)), "test", len(files), image_size, **view)[0]
