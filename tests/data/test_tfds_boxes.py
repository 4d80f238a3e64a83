"""Boxes of tfds sets: the real sets' features and code, filled with made-up images, written and read as tfds does."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_mobattn import InputError
from keras_mobattn.data import open_source
from keras_mobattn.data.tfds_boxes import box_features

TARGETS = ("boxes", "box_labels")
COUNT = {"train": 6, "validation": 3, "test": 3}
SETS = {  # set -> (its splits, the sequence of objects, the first classes' names)
    # tfds takes its names out of the annotations that it downloads
    "coco/2017": (("train", "validation", "test"), "objects", ("0", "1")),
    "voc/2007": (("train", "validation", "test"), "objects", ("aeroplane", "bicycle")),
    "wider_face": (("train", "validation", "test"), "faces", ("face",)),
    "kitti": (("train", "validation", "test"), "objects", ("Car", "Van")),
    "oxford_iiit_pet": (("train", "test"), "head_bbox", ("Cat", "Dog")),
}


def blank(feature):
    """A value for a feature that nobody looks at."""
    if isinstance(feature, tfds.features.Sequence):
        return []
    if isinstance(feature, tfds.features.Image | tfds.features.BBoxFeature):
        return None  # the examples have their own
    dtype = np.dtype(feature.np_dtype) if feature.np_dtype not in (object, str) else None
    return "x" if dtype is None or dtype.kind in "OSU" else np.zeros(feature.shape, dtype)


def examples(features, sequence, split):
    """Made-up examples; the second image has no object, nor has coco's test."""
    rng = np.random.default_rng(len(split))
    for number in range(COUNT[split]):
        corners = np.sort(rng.uniform(0, 1, (5, 2, 2)), 1).reshape(5, 4)
        boxes = [tfds.features.BBox(*corner) for corner in corners]
        example = {name: blank(feature) for name, feature in features.items()}
        example["image"] = rng.integers(0, 255, (40, 60, 3), np.uint8)
        if sequence == "head_bbox":
            box = boxes[0] if number != 1 else tfds.features.BBox(0.0, 0.0, 0.0, 0.0)
            example |= {sequence: box, "segmentation_mask": example["image"][..., :1]}
        else:
            own = dict(features[sequence].feature)
            rows = [{name: blank(feature) for name, feature in own.items()} | {"bbox": box} for box in boxes]
            for place, row in enumerate(rows):
                row |= {name: place % 2 for name in ("label", "type") if name in own}
                row |= {name: place == 4 for name in ("is_crowd", "invalid") if name in own}
            example[sequence] = [] if number == 1 or (split == "test" and "is_crowd" in own) else rows
        yield f"{split}{number}", example


@pytest.fixture(params=SETS)
def opened(request, tmp_path, monkeypatch):
    """(name, features, Source) of a set whose builder writes `examples`."""
    name = request.param
    splits, sequence, _ = SETS[name]
    builder = tfds.builder(name, data_dir=tmp_path)
    features = builder.info.features
    monkeypatch.setattr(
        type(builder),
        "_split_generators",
        lambda self, *given: {split: examples(features, sequence, split) for split in splits},
    )
    return name, features, open_source(name, tmp_path, targets=TARGETS)


def test_boxes_and_classes(opened):
    name, features, source = opened
    splits, sequence, names = SETS[name]
    assert source.class_names[: len(names)] == names
    # Of coco the test has no annotations, and its validation becomes the test.
    assert set(source.num_examples) == ({"train", "test"} if name in ("coco/2017",) else set(splits))
    seen = list(source.open("train").as_numpy_iterator())
    assert [len(example["boxes"]) == len(example["box_labels"]) for example in seen] == [True] * COUNT["train"]
    lone = sequence == "head_bbox"
    left_out = {"is_crowd", "invalid"} & set(() if lone else features[sequence].feature)
    expected = 1 if lone else 4 if left_out else 5
    assert sorted(len(example["boxes"]) for example in seen) == [0] + [expected] * (COUNT["train"] - 1)
    for example in seen:
        assert (example["boxes"][:, 2:] > example["boxes"][:, :2]).all()
        if not lone and len(source.class_names) > 1:
            assert example["box_labels"].tolist() == [number % 2 for number in range(len(example["boxes"]))]
    expected = {corner.tobytes() for _, corner in _all_boxes(features, sequence)}
    assert {box.astype(np.float32).tobytes() for example in seen for box in example["boxes"]} <= expected


def _all_boxes(features, sequence):
    for key, example in examples(features, sequence, "train"):
        rows = [example[sequence]] if sequence == "head_bbox" else [row["bbox"] for row in example[sequence]]
        for box in rows:
            yield key, np.float32([box.ymin, box.xmin, box.ymax, box.xmax])


def test_sets_without_boxes(tmp_path):
    assert box_features(tfds.builder("mnist", data_dir=tmp_path).info.features) is None
    with pytest.raises(InputError, match="Expected a dataset with image: Image, objects: Sequence with bbox"):
        open_source("digits", tmp_path, targets=TARGETS)
