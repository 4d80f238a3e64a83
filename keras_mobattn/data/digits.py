"""scikit-learn's handwritten digits as a tfds builder: real images that need no download.

Importing this module registers the builder, so `tfds.builder("digits")` finds it.
"""

import numpy as np
import tensorflow_datasets as tfds

from keras_mobattn._packages import needs
from keras_mobattn.data.builders import labelled_images

CLASS_NAMES = tuple("0123456789")
SPLITS = ("train", "test")
TEST_SHARE = 0.2
_DESCRIPTION = """\
1797 grey 8x8 images of handwritten digits, as scikit-learn ships them (values 0..16 are spread to 0..255). The test
split is a fifth of each class, drawn once with a fixed seed: 1438 images to train on and 359 to test.
"""
_CITATION = """\
@misc{optdigits, author = {Alpaydin, E. and Kaynak, C.}, title = {Optical Recognition of Handwritten Digits},
  year = {1998}, howpublished = {UCI Machine Learning Repository}, doi = {10.24432/C50P49}}
"""


def read_digits(split):
    """The images of one split ("train" or "test"), in scikit-learn's order: uint8 [n, 8, 8, 1], int64 [n]."""
    needs("scikit-learn")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    labels = bunch.target.astype(np.int64)
    rng = np.random.RandomState(0)  # the legacy generator: numpy promises that its stream never changes
    in_test = np.zeros(len(labels), bool)
    for digit in range(len(CLASS_NAMES)):
        of_digit = rng.permutation(np.flatnonzero(labels == digit))
        in_test[of_digit[: round(TEST_SHARE * len(of_digit))]] = True
    chosen = in_test if split == "test" else ~in_test
    return images[chosen], labels[chosen]


class Digits(tfds.core.GeneratorBasedBuilder):
    """tfds builder over `read_digits`: {"image": uint8 [8, 8, 1], "label": 0..9}, splits "train" and "test"."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}

    def _info(self):
        return labelled_images(self, _DESCRIPTION, (8, 8, 1), CLASS_NAMES, _CITATION)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split):
        for key, (image, label) in enumerate(zip(*read_digits(split), strict=True)):
            yield key, {"image": image, "label": label}
