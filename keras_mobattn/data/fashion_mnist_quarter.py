"""A quarter of Fashion-MNIST's training images: real photographs, in a set that a study on two cores can train on.

Its files are read from Debian's package dataset-fashion-mnist where that is installed, else downloaded (30 MB).

Importing this module registers the builder, so `tfds.builder("fashion_mnist_quarter")` finds it.
"""

import gzip
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from keras_mobattn.data.builders import labelled_images

CLASS_NAMES = (
    "T-shirt or top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
SPLITS = {"train": ("train", 15_000), "test": ("t10k", 10_000)}  # -> how its files begin, and how many images
SIDE = 28  # pixels
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"  # tfds's
_DESCRIPTION = """\
The first 15000 training images and the 10000 test images of Fashion-MNIST: grey photographs of Zalando's articles,
28x28 pixels, ten classes.
"""
_CITATION = """\
@article{fashion_mnist, author = {Xiao, Han and Rasul, Kashif and Vollgraf, Roland}, title = {{Fashion-MNIST}: a Novel
  Image Dataset for Benchmarking Machine Learning Algorithms}, journal = {arXiv:1708.07747}, year = {2017}}
"""


def read_idx(images, labels, count):
    """The first `count` images, uint8 [count, 28, 28, 1], and labels, uint8 [count], of two gzipped IDX files.

    Their headers have 16 and 8 bytes.
    """
    with gzip.open(images) as file:
        pixels = np.frombuffer(file.read(16 + count * SIDE**2), np.uint8, offset=16)
    with gzip.open(labels) as file:
        return pixels.reshape(count, SIDE, SIDE, 1), np.frombuffer(file.read(8 + count), np.uint8, offset=8)


class FashionMnistQuarter(tfds.core.GeneratorBasedBuilder):
    """tfds builder over `read_idx`: {"image": uint8 [28, 28, 1], "label": 0..9} (12 MB on disk)."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}

    def _info(self):
        return labelled_images(self, _DESCRIPTION, (SIDE, SIDE, 1), CLASS_NAMES, _CITATION)

    def _split_generators(self, dl_manager):
        names = {
            split: [f"{stem}-images-idx3-ubyte.gz", f"{stem}-labels-idx1-ubyte.gz"]
            for split, (stem, _) in SPLITS.items()
        }
        if DEBIAN.is_dir():
            files = {split: [DEBIAN / name for name in pair] for split, pair in names.items()}
        else:
            files = dl_manager.download({split: [f"{URL}/{name}" for name in pair] for split, pair in names.items()})
        return {split: self._generate_examples(*files[split], count) for split, (_, count) in SPLITS.items()}

    def _generate_examples(self, images, labels, count):
        for key, (image, label) in enumerate(zip(*read_idx(images, labels, count), strict=True)):
            yield key, {"image": image, "label": int(label)}
