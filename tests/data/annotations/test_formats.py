"""COCO, Pascal VOC and YOLO: the same folder three times; and what is wrong with one, counted or refused."""

import shutil
import warnings

import numpy as np
import pytest
from PIL import Image

from helpers.annotated_folders import (
    NAMES,
    SPLITS,
    WORDS,
    WRITERS,
    objects,
    shares,
    voc_xml,
    write_coco,
    write_voc,
    write_yolo,
)
from keras_mobattn.data.annotations import read_annotated
from keras_mobattn.errors import InputError


@pytest.mark.parametrize("kind", WRITERS)
def test_each_format_gives_the_same(kind, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names, splits = read_annotated(WRITERS[kind](tmp_path / "set"))
    assert names == NAMES
    assert {split: len(files) for split, files in splits.items()} == {WORDS[each]: n for each, n in SPLITS.items()}
    for split in SPLITS:
        expected = objects(split)
        for file in splits[WORDS[split]]:
            labels, boxes = shares(expected.pop(file.path.name))
            assert file.box_labels.tolist() == labels
            np.testing.assert_allclose(file.boxes, boxes, atol=1e-6)
            assert file.boxes.dtype == np.float32
        assert expected == {}


@pytest.mark.parametrize("kind", WRITERS)
def test_without_a_test_a_fifth_is_held_out(kind, tmp_path):
    folder = WRITERS[kind](tmp_path / "set")
    for path in sorted(folder.rglob("*"), reverse=True):
        if any(word in path.name for word in ("test", "val")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    yaml = folder / "data.yaml"
    if yaml.exists():
        yaml.write_text("".join(line for line in yaml.open() if not line.startswith(("val", "test"))))
    _, splits = read_annotated(folder)
    assert {split: len(files) for split, files in splits.items()} == {"train": 5, "test": 1}
    other, _ = read_annotated(folder, seed=1)
    assert other == NAMES


def test_roboflow_puts_everything_beside_its_images(tmp_path):
    """train/_annotations.coco.json; and train/a.xml beside train/a.png."""
    coco, voc = write_coco(tmp_path / "coco"), tmp_path / "voc"
    for split in SPLITS:
        (coco / "annotations" / f"instances_{split}2017.json").rename(coco / split / "_annotations.coco.json")
        for name, rows in objects(split).items():
            (voc / split).mkdir(parents=True, exist_ok=True)
            shutil.copy(coco / split / name, voc / split)
            (voc / split / name.replace("png", "xml")).write_text(voc_xml(name, rows))
    for folder in (coco, voc):
        names, splits = read_annotated(folder)
        assert names == NAMES
        assert {split: len(files) for split, files in splits.items()} == {WORDS[each]: n for each, n in SPLITS.items()}


def test_a_polygon_is_the_box_around_it(tmp_path):
    lines = {"train0.png": "2 .1 .2 .5 .3 .4 .8\n"}
    _, splits = read_annotated(write_yolo(tmp_path / "set", lambda text, name: lines.get(name, text)))
    (file,) = (file for file in splits["train"] if file.path.name == "train0.png")
    np.testing.assert_allclose(file.boxes, [[0.2, 0.1, 0.8, 0.5]], atol=1e-6)


def coco_box(bbox, **more):
    def change(record, split):
        if split == "train":
            record["annotations"].append({"image_id": 100, "category_id": 10, "bbox": bbox, **more})

    return change


COUNTED = {  # what is wrong -> (the change of COCO's record, what the warning says, boxes that are left)
    "no area": (coco_box([3, 3, 0, 5]), r"1 boxes without an area .train0.png.", 0),
    "negative": (coco_box([13, 3, -5, 5]), "1 boxes without an area", 0),
    "outside": (coco_box([70, 3, 5, 5]), "1 boxes outside of their image", 0),
    "partly outside": (coco_box([50, 3, 20, 5]), "1 parts of boxes beyond their image", 1),
    "NaN": (coco_box([float("nan"), 3, 5, 5]), "1 boxes of numbers that are none", 0),
    "crowd": (coco_box([3, 3, 5, 5], iscrowd=1), "1 crowds", 0),
    "no image": (
        lambda record, split: record["images"].append({"id": 7, "file_name": "gone.png", "height": 5, "width": 5}),
        r"3 images that are not there .gone.png.",
        0,
    ),
}


@pytest.mark.parametrize("name", COUNTED)
def test_what_is_left_out_is_counted_and_named(name, tmp_path):
    change, text, more = COUNTED[name]
    with pytest.warns(UserWarning, match=f"^Left out of .*set: {text}"):
        _, splits = read_annotated(write_coco(tmp_path / "set", change))
    (file,) = (file for file in splits["train"] if file.path.name == "train0.png")
    assert len(file.boxes) == len(objects("train")["train0.png"]) + more
    assert file.boxes.max() <= 1


def no_boxes(record, split):
    record["annotations"].clear()


def other_classes(record, split):
    if split == "val":
        record["categories"].append({"id": 99, "name": "elk"})


def added(line):
    """A change of YOLO's text."""
    return lambda text, _: f"{text}{line}\n"


def replaced(old, new, only=""):
    """A change of VOC's text, of images whose name holds `only`."""
    return lambda text, name: text.replace(old, new) if only in name else text


REFUSED = {  # what is wrong -> (the format, its change, what the error says)
    "unknown class": (write_coco, coco_box([1, 2, 3, 4], category_id=77), "category_id 77"),
    "unknown image": (write_coco, coco_box([1, 2, 3, 4], image_id=77), "image_id 77"),
    "no box": (write_coco, coco_box([1, 2, 3]), r"bbox of four numbers .*Received: \[1, 2, 3\]"),
    "no boxes": (write_coco, no_boxes, "Expected boxes in the train images of .*Received: none in 6"),
    "other classes": (write_coco, other_classes, "the same classes in all splits.*Received: elk in one"),
    "no lists": (write_coco, lambda record, _: record.clear(), "images, annotations, categories.*without"),
    "no name of an image": (write_coco, lambda record, _: record["images"][0].pop("file_name"), "file_name, width"),
    "a class twice": (
        write_coco, lambda record, _: record["categories"].append({"id": 0, "name": "ant"}), "another name for each",
    ),
    "a class with a space": (
        write_coco, lambda record, _: record["categories"].append({"id": 0, "name": "cat "}), "Received: 'cat '. Ren",
    ),
    "a class that is a number": (
        write_coco, lambda record, _: record["categories"].append({"id": 0, "name": 3}), "Received: 3. Rename it",
    ),
    "XML cut off": (write_voc, lambda text, _: text[:90], "which is damaged .*Write it again"),
    "no name": (write_voc, replaced("<name>ant</name>", ""), "Expected <name> in every"),
    "no number": (write_voc, replaced("<xmin>3<", "<xmin>x<"), "a number in <bndbox/xmin>"),
    "a class of the test": (write_voc, replaced("bee", "elk", "test"), "the training images in test. Received: elk"),
    "pixels": (write_yolo, added("1 20 20 5 5"), "shares of the image's sides.*Divide"),
    "a class too many": (write_yolo, added("4 .5 .5 .1 .1"), "a class from 0 to 3.*: 4"),
    "a line cut off": (write_yolo, added("1 .5 .5"), "'class x y width height' or a polygon"),
    "a word": (write_yolo, added("ant .5 .5 .1 .1"), "Received: 'ant .5 .5 .1 .1'"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name, tmp_path):
    write, change, text = REFUSED[name]
    write(tmp_path / "set", change)
    with pytest.raises(InputError, match=text):
        read_annotated(tmp_path / "set")


def test_folders_that_are_none(tmp_path):
    with pytest.raises(InputError, match="a folder of annotated images. Received: .*nowhere"):
        read_annotated(tmp_path / "nowhere")
    with pytest.raises(InputError, match="COCO's JSON .*with none of their files"):
        read_annotated(tmp_path)
    folder = write_coco(tmp_path / "both")
    (folder / "data.yaml").write_text("names: [a]\n")
    with pytest.raises(InputError, match="with files of COCO and YOLO. Keep one kind"):
        read_annotated(folder)
    missing = write_yolo(tmp_path / "missing")
    shutil.rmtree(missing / "images" / "val")
    with pytest.raises(InputError, match="Received: 'images/val', which is no folder there"):
        read_annotated(missing)
    unread = write_yolo(tmp_path / "unread")
    (unread / "data.yaml").write_text("names: [a\n")
    with pytest.raises(InputError, match="Expected YAML.*damaged"):
        read_annotated(unread)
    gone = write_coco(tmp_path / "gone")
    shutil.rmtree(gone / "val")
    with pytest.raises(InputError, match="none of the 3 that it names, such as 'val0.png'"):
        read_annotated(gone)


@pytest.mark.parametrize("kind", WRITERS)
def test_images_without_an_annotation_are_told(kind, tmp_path):
    """Only those: all others are read as before."""
    folder = WRITERS[kind](tmp_path / "set")
    Image.new("RGB", (9, 9)).save(folder / "stray.png")
    with pytest.warns(UserWarning, match=r"^Left out of .*set: 1 images without an annotation .stray.png.\.$"):
        _, splits = read_annotated(folder)
    assert {split: len(files) for split, files in splits.items()} == {WORDS[each]: n for each, n in SPLITS.items()}


def test_yolos_images_and_texts_that_are_alone(tmp_path):
    """An image without a text has no objects, for YOLO: nobody may have looked yet, so it is told."""
    folder = write_yolo(tmp_path / "set")
    labels = folder / "labels" / "train"
    (labels / "train1.txt").unlink()  # of no objects
    (labels / "classes.txt").write_text("ant")
    with pytest.warns(
        UserWarning, match=r"^1 image has no text file in .*set and so no objects, .*: train1.png\.$"
    ) as told:
        _, splits = read_annotated(folder)
    assert len(told) == 1
    assert len(splits["train"]) == SPLITS["train"]
    (folder / "images" / "train" / "train2.png").unlink()
    with pytest.warns(UserWarning, match=r"^Left out of .*set: 1 label files without an image .train2.txt.\.$"):
        _, splits = read_annotated(folder)
    assert len(splits["train"]) == SPLITS["train"] - 1


@pytest.mark.parametrize("kind", WRITERS)
def test_the_same_image_in_two_splits_is_told(kind, tmp_path):
    """Its boxes are in the test and were learned."""
    folder = WRITERS[kind](tmp_path / "set")
    (train,) = folder.rglob("train0.png")
    (test,) = folder.rglob("test0.png")
    test.write_bytes(train.read_bytes())
    with pytest.warns(
        UserWarning, match=r"^1 image is in two splits of .*train0.png \(train\) = .*test0.png \(test\)\.$"
    ):
        read_annotated(folder)


@pytest.mark.parametrize(("names", "text"), [("[ant, bee, ant, dog]", "one name twice, 'ant'"), ("[ant, '']", "''")])
def test_yolos_names_of_classes(names, text, tmp_path):
    """A class by its name: two of one name would be one."""
    folder = write_yolo(tmp_path / "set")
    yaml = folder / "data.yaml"
    yaml.write_text(yaml.read_text().split("names:")[0] + f"names: {names}\n")
    with pytest.raises(InputError, match=f"data.yaml.*{text}"):
        read_annotated(folder)


def test_corrupt_images_are_named_or_skipped(tmp_path):
    folder = write_coco(tmp_path / "set")
    (folder / "train" / "train2.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="1 of 12 images can't be decoded: train/train2.png"):
        read_annotated(folder)
    with pytest.warns(UserWarning, match="1 of 12 images can't be decoded"):
        _, splits = read_annotated(folder, on_corrupt="skip")
    assert len(splits["train"]) == SPLITS["train"] - 1


def test_an_image_of_another_size_is_refused_and_a_scaled_one_is_not(tmp_path):
    folder = write_coco(tmp_path / "set")
    path = folder / "train" / "train0.png"
    Image.open(path).resize((120, 80)).save(path)
    names, splits = read_annotated(folder)
    (file,) = (file for file in splits["train"] if file.path.name == "train0.png")
    np.testing.assert_allclose(file.boxes, shares(objects("train")["train0.png"])[1], atol=1e-6)
    Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path)
    with pytest.raises(InputError, match="as its annotation says, 60x40 pixels. Received: 80x120, turned upright"):
        read_annotated(folder)


def test_two_images_of_one_name(tmp_path):
    folder = write_coco(tmp_path / "set")
    shutil.copytree(folder / "train", folder / "copies")
    with pytest.warns(UserWarning, match="6 images without an annotation"):
        _, splits = read_annotated(folder)  # the ones in the split's folder
    assert {file.path.parent.name for file in splits["train"]} == {"train"}
    (folder / "annotations" / "instances_train2017.json").rename(folder / "annotations" / "all.json")
    (folder / "train").rename(folder / "images")
    with pytest.raises(InputError, match="one image 'train0.png' for"):
        read_annotated(folder)
