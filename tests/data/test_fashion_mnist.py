"""Fashion-MNIST from its IDX files."""

import gzip

import numpy as np

from keras_mobattn.data import fashion_mnist_quarter, open_source, take_images
from keras_mobattn.data.fashion_mnist_quarter import SPLITS, read_idx


def test_fashion_mnist_is_read_from_idx_files(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for split, (stem, count) in {"train": ("train", 30), "test": ("t10k", 20)}.items():
        images, labels = rng.integers(0, 256, (count + 2, 28, 28), "uint8"), rng.integers(0, 10, count + 2, "uint8")
        for name, header, array in (("images-idx3", 16, images), ("labels-idx1", 8, labels)):
            with gzip.open(tmp_path / f"{stem}-{name}-ubyte.gz", "wb") as file:
                file.write(bytes(header) + array.tobytes())
        read = read_idx(*(tmp_path / f"{stem}-{name}-ubyte.gz" for name in ("images-idx3", "labels-idx1")), count)
        np.testing.assert_array_equal(read[0][..., 0], images[:count])
        np.testing.assert_array_equal(read[1], labels[:count])
        monkeypatch.setitem(SPLITS, split, (stem, count))
    monkeypatch.setattr(fashion_mnist_quarter, "DEBIAN", tmp_path)
    source = open_source("fashion_mnist_quarter", tmp_path / "tfds")
    assert source.num_examples == {"train": 30, "test": 20}
    assert source.class_names[-1] == "Ankle boot"
    images, found = take_images(source, "test", 20, (28, 28))
    assert sorted(found) == sorted(labels[:20])
