"""Each layout gives the same masks, through the whole of `open_source`."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.masked_folders import (
    COUNT,
    IGNORED,
    NAMES,
    WRITERS,
    coloured,
    expected_names,
    masks,
    save,
    save_image,
    write_coco,
    write_colours,
    write_cvat,
    write_pairs,
)
from keras_mobattn.data import batches, open_source
from keras_mobattn.data.masks import is_masks
from keras_mobattn.data.targets import WHOLE_MASK
from keras_mobattn.errors import InputError
from keras_mobattn.tasks import Task

TARGETS = ("mask",)
pytestmark = pytest.mark.filterwarnings("ignore:.*classes are in no training mask", "ignore:Left out of")


class Masks(Task):
    """What segmentation learns from, as it is."""

    targets, truth = TARGETS, ("mask", WHOLE_MASK)


def told(example):
    """A mask as the image tells it."""
    grey = np.rint(example["image"][..., :1] / 50).astype(int)
    return np.where(grey == 3, IGNORED, grey)


@pytest.mark.parametrize("name", WRITERS)
def test_each_layout_gives_the_same(name, tmp_path):
    source = open_source(WRITERS[name](tmp_path / "set"), targets=TARGETS)
    assert (source.class_names, source.targets) == (expected_names(name), TARGETS)
    assert source.num_examples == {"train": COUNT["train"], "test": COUNT["val"]}
    for split, theirs in (("train", "train"), ("test", "val")):
        seen = list(source.open(split).as_numpy_iterator())
        for example in seen:
            np.testing.assert_array_equal(example["mask"], told(example))
        expected = {mask.tobytes() for mask in masks(theirs).values()}
        assert {example["mask"][..., 0].tobytes() for example in seen} == expected
    for example in source.open_encoded("train"):
        assert example["mask"].dtype == tf.string
    assert source.fingerprint == open_source(tmp_path / "set", targets=TARGETS).fingerprint
    assert is_masks(tmp_path / "set") == (name != "COCO")


def test_colours(tmp_path):
    """Of a table; and of CVAT's labelmap.txt, in which black is no class."""
    source = open_source(write_colours(tmp_path / "set"), targets=TARGETS)
    assert source.class_names == NAMES
    for example in source.open("train").as_numpy_iterator():
        np.testing.assert_array_equal(example["mask"], np.where(told(example) == IGNORED, 0, told(example)))
    folder = write_cvat(tmp_path / "cvat")
    with pytest.raises(InputError, match="colours of 3 classes in .*Received: 0 0 0, red, green and blue"):
        open_source(folder, targets=TARGETS)
    with (folder / "labelmap.txt").open("a") as file:
        file.write("\nnothing:0,0,0::\n")
    source = open_source(folder, targets=TARGETS)
    assert source.class_names == (*NAMES, "nothing")
    for example in source.open("train").as_numpy_iterator():
        np.testing.assert_array_equal(example["mask"], np.where(told(example) == IGNORED, 3, told(example)))


def test_batches_hold_masks_and_whole_masks(tmp_path):
    source = open_source(write_pairs(tmp_path / "set"), targets=TARGETS)
    ((images, learned),) = batches(source, "test", image_size=(20, 30), batch_size=8, crop=1.0, task=Masks())
    assert (images.shape, learned["mask"].shape) == ((3, 20, 30, 3), (3, 20, 30, 1))
    whole = {tf.io.decode_png(each).numpy()[..., 0].tobytes() for each in learned[WHOLE_MASK]}
    assert whole == {mask.tobytes() for mask in masks("val").values()}


def test_another_mask_is_another_fingerprint(tmp_path):
    one = open_source(write_pairs(tmp_path / "one"), targets=TARGETS).fingerprint
    other = write_pairs(tmp_path / "two", lambda mask, stem: np.flip(mask, 0) if stem == "val_1" else mask)
    assert open_source(other, targets=TARGETS).fingerprint != one


def test_an_image_turned_by_exif_has_its_mask_upright(tmp_path):
    """A mask of the image as it is shown goes with it; one of the stored image has another size."""
    from PIL import Image

    folder = write_pairs(tmp_path / "set")
    path = folder / "images" / "train" / "train_0.png"
    stored = Image.open(path).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    path.unlink()
    stored.save(path.with_suffix(".jpg"), exif=exif, quality=100)
    source = open_source(folder, targets=TARGETS)
    for example in source.open("train").as_numpy_iterator():
        assert (example["mask"] == told(example)).mean() > 0.99
    save(folder / "masks" / "train" / "train_0.png", np.rot90(masks("train")["train_0"]).copy())
    with pytest.raises(InputError, match="train_0.png' to have the size of its image.*60x40 pixels. Received: 40x60"):
        open_source(folder, targets=TARGETS)


def test_of_overlapping_objects_the_smaller_is_in_front(tmp_path):
    def change(record):
        for one in record["annotations"]:
            if one["image_id"] == 0:
                one["segmentation"] = [[0, 0, 1, 0, 1, 1, 0, 1]]
        outlines = [(4, 0, 20), (9, 0, 40), (9, 1, 60), (4, 0, 10)]  # squares of other sides at one corner
        for category, crowd, side in outlines:
            square = [[0, 0, side, 0, side, side, 0, side]]
            record["annotations"].append(
                {"image_id": 0, "category_id": category, "iscrowd": crowd, "bbox": [0, 0, 1, 1], "segmentation": square}
            )

    source = open_source(write_coco(tmp_path / "set", change), targets=TARGETS)
    expected = np.full((40, 60), IGNORED, np.uint8)
    expected[:40, :40], expected[:20, :20], expected[0, 0] = 2, 1, 1
    found = [example["mask"][..., 0] for example in source.open("train").as_numpy_iterator()]
    same = [mask for mask in found if mask[30, 50] == IGNORED and (mask[1:, 1:] == expected[1:, 1:]).all()]
    assert len(same) == 1


def test_a_fifth_is_held_out_where_nothing_is(tmp_path):
    for stem, mask in masks("train").items():
        save_image(tmp_path / "images" / f"{stem}.png", mask)
        save(tmp_path / "labels" / f"{stem}_mask.png", mask)
    (tmp_path / "classes.txt").write_text("\n".join(NAMES))
    assert open_source(tmp_path, targets=TARGETS).num_examples == {"train": 4, "test": 1}
    assert open_source(tmp_path, targets=TARGETS, for_test=True).num_examples == {"test": 5}


def test_folders_without_masks_are_none(tmp_path):
    for split in COUNT:
        for stem, mask in masks(split).items():
            save(tmp_path / split / stem[-1] / f"{stem}.png", coloured(mask))
    assert not is_masks(tmp_path)
    assert not is_masks("digits")
    assert not is_masks(tmp_path / "nowhere")
    with pytest.raises(InputError, match="Expected images/ and masks/ with PNGs of the same names.*none of these"):
        open_source(tmp_path, targets=TARGETS)
