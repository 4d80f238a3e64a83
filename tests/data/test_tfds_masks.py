"""Masks of tfds sets: the real sets' features and code, filled with made-up images, written and read as tfds does."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_mobattn import InputError
from keras_mobattn.data import open_source
from keras_mobattn.data.augment import NONE
from keras_mobattn.data.decode import decode_mask
from keras_mobattn.data.example_view import example_view
from keras_mobattn.data.targets import WHOLE_MASK

SHAPE, COUNT = (40, 60), 4
STEP = 20  # grey levels
SETS = {  # set -> (the feature of its masks, its values, the classes that these are)
    "oxford_iiit_pet": ("segmentation_mask", (1, 2, 3), ("pet", "background", "border")),
    "digit_scenes": ("mask", range(11), ("background", *"0123456789")),
    "photo_scenes": (
        "mask",
        range(8),
        ("background", "bird", "fish", "fruit", "insect", "mammal", "vegetable", "vehicle"),
    ),
}


def example(features, name, number):
    """Made up: a grey image of STEP times the mask's values, in blocks of 8 pixels, which JPEG keeps."""
    feature, values, _ = SETS[name]
    shape = features[feature].shape[:2] if features[feature].shape[0] else SHAPE
    blocks = np.random.default_rng(number).choice(values, [-(-side // 8) for side in shape]).astype(np.uint8)
    mask = np.kron(blocks, np.ones((8, 8), np.uint8))[: shape[0], : shape[1], None]
    made = {"image": STEP * np.repeat(mask, 3, -1), feature: mask}
    made |= {"file_name": f"{number}.jpg", "species": 0, "head_bbox": tfds.features.BBox(0.0, 0.0, 1.0, 1.0)}
    made |= {"label": 0, "objects": []}
    return {key: made[key] for key in features}


@pytest.fixture(params=SETS)
def opened(request, tmp_path, monkeypatch):
    """(name, Source) of a set whose builder writes an `example` for each number."""
    name = request.param
    if name != "oxford_iiit_pet":
        __import__(f"keras_mobattn.data.{name}")  # registers the builder
    builder = tfds.builder(name, data_dir=tmp_path)
    features = builder.info.features

    def generate(split):
        yield from ((f"{split}{number}", example(features, name, number)) for number in range(COUNT))

    splits = ("train", "test")
    monkeypatch.setattr(
        type(builder), "_split_generators", lambda self, *given: {split: generate(split) for split in splits}
    )
    return name, open_source(name, tmp_path, targets=("mask",))


def test_values_are_places_of_the_classes(opened):
    name, source = opened
    _, values, names = SETS[name]
    assert (source.class_names, source.targets) == (names, ("mask",))
    for split in ("train", "test"):
        seen = list(source.open(split).as_numpy_iterator())
        assert len(seen) == COUNT
        for each in seen:
            assert each["mask"].shape == (*each["image"].shape[:2], 1)
            assert set(np.unique(each["mask"])) <= set(range(len(names)))
            np.testing.assert_array_equal(np.rint(each["image"][..., :1] / STEP), each["mask"] + min(values))


def test_the_whole_mask_stands_beside_the_views(opened):
    _, source = opened
    view = example_view(NONE, 0, ("mask",))
    for each in source.open_encoded("train"):
        seen = view(each, (16, 16), tf.constant(0, tf.int64))
        assert each["mask"].dtype == tf.string
        assert seen["mask"].shape == (16, 16, 1)
        np.testing.assert_array_equal(decode_mask(seen[WHOLE_MASK]), decode_mask(each["mask"]))


def test_other_classes_by_name(opened):
    _, source = opened
    names = ("other", *source.class_names[::-1])
    again = source.with_classes(names)
    for before, after in zip(source.open("train"), again.open("train"), strict=True):
        expected = np.array([names.index(name) for name in source.class_names])[before["mask"]]
        np.testing.assert_array_equal(after["mask"], expected)
    with pytest.raises(InputError, match="up to 255 classes.*Received: 300 classes, for mask"):
        source.with_classes((*source.class_names, *map(str, range(300 - len(source.class_names)))))


def test_sets_of_other_masks_are_refused(tmp_path):
    with pytest.raises(InputError, match="'scene_parse150', which tells single things of 100 categories apart"):
        open_source("scene_parse150", tmp_path, targets=("mask",))
