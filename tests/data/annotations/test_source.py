"""A folder of boxes as a Source: examples, batches with boxes that follow their image, classes of a model."""

import numpy as np
import pytest

from helpers.annotated_folders import NAMES, SPLITS, WORDS, WRITERS, objects, shares
from keras_mobattn.data import batches, open_source
from keras_mobattn.errors import InputError
from keras_mobattn.tasks import Task

TARGETS = ("boxes", "box_labels")


class Boxes(Task):
    """What detection learns from, as it is."""

    targets = TARGETS


@pytest.mark.parametrize("kind", WRITERS)
def test_examples(kind, tmp_path):
    source = open_source(WRITERS[kind](tmp_path / "set"), targets=TARGETS)
    assert (source.class_names, source.targets) == (NAMES, TARGETS)
    assert source.num_examples == {WORDS[split]: count for split, count in SPLITS.items()}
    found = [example["box_labels"].numpy().tolist() for example in source.open("train")]
    expected = [shares(rows)[0] for rows in objects("train").values()]
    assert sorted(found) == sorted(expected)
    assert source.fingerprint == open_source(tmp_path / "set", targets=TARGETS).fingerprint


def test_another_box_is_another_fingerprint(tmp_path):
    write = WRITERS["YOLO"]
    one = open_source(write(tmp_path / "one"), targets=TARGETS)
    moved = write(tmp_path / "two", lambda text, name: text + "0 .5 .5 .1 .1\n" if name == "train0.png" else text)
    assert open_source(moved, targets=TARGETS).fingerprint != one.fingerprint


def test_batches_are_filled_up(tmp_path):
    source = open_source(WRITERS["COCO"](tmp_path / "set"), targets=TARGETS)
    ((images, learned),) = batches(source, "train", image_size=(40, 60), batch_size=6, task=Boxes())
    assert images.shape == (6, 40, 60, 3)
    most = max(map(len, objects("train").values()))
    assert learned["boxes"].shape == (6, most, 4)
    labels = sorted(tuple(row[row >= 0]) for row in learned["box_labels"].numpy())
    assert labels == sorted(tuple(shares(rows)[0]) for rows in objects("train").values())


def test_classes_of_a_model(tmp_path):
    source = open_source(WRITERS["YOLO"](tmp_path / "set"), targets=TARGETS).with_classes(NAMES[::-1])
    found = [example["box_labels"].numpy() for example in source.open("train")]
    expected = [3 - np.array(shares(rows)[0], int) for rows in objects("train").values()]
    assert sorted(map(tuple, found)) == sorted(map(tuple, expected))


def test_for_a_test_no_training_images_are_needed(tmp_path):
    folder = WRITERS["COCO"](tmp_path / "set")
    for split in ("train", "val"):
        (folder / "annotations" / f"instances_{split}2017.json").unlink()
    with pytest.raises(InputError, match="Expected training images in .*Received: test alone"):
        open_source(folder, targets=TARGETS)
    source = open_source(folder, targets=TARGETS, for_test=True)
    assert source.num_examples == {"test": SPLITS["test"]}
