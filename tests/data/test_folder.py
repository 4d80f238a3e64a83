"""Folders of images: classes, splits, formats, and every way in which one can be wrong."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_mobattn.data import batches, open_source, take_images
from keras_mobattn.errors import InputError


def paint(path, value=100, size=(12, 8), mode="RGB", **options):
    """Save an image [12, 8] (height, width) of one colour, with noise so that its file can be cut in the middle."""
    noise = np.random.RandomState(value).randint(0, 20, (*size, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((noise + value).astype(np.uint8)).convert(mode).save(path, **options)
    return path


def fill(root, classes=("cat", "dog"), count=5):
    for i, name in enumerate(classes):
        for k in range(count):
            paint(root / name / f"{k}.png", 30 + 100 * i + k)
    return root


def test_classes_labels_and_split(tmp_path):
    fill(tmp_path, ("dog", "cat"), 10)
    (tmp_path / "cat" / "notes.txt").write_text("not an image, not asked for")
    (tmp_path / ".cache").mkdir()
    with pytest.warns(UserWarning, match=r"^Left out of .*: 1 .txt\.$"):
        source = open_source(tmp_path)
    assert source.name == tmp_path.name
    assert source.class_names == ("cat", "dog")
    assert source.num_examples == {"train": 16, "test": 4}
    seen = {split: take_images(source, split, n, (12, 8)) for split, n in source.num_examples.items()}
    assert np.bincount(seen["test"][1]).tolist() == [2, 2]
    images, labels = (np.concatenate([seen["train"][k], seen["test"][k]]) for k in range(2))
    assert len(np.unique(images.reshape(20, -1), axis=0)) == 20  # no image twice, none in both
    np.testing.assert_array_equal(images.mean(axis=(1, 2, 3)) < 90, labels == 1)  # dogs were painted dark
    np.testing.assert_array_equal(take_images(open_source(tmp_path), "train", 16, (12, 8))[0], seen["train"][0])
    other = take_images(open_source(tmp_path, seed=1), "test", 4, (12, 8))[0]
    assert {image.tobytes() for image in other} != {image.tobytes() for image in seen["test"][0]}
    assert len(set(seen["train"][1][:8])) == 2  # mixed, not class by class


@pytest.mark.parametrize("test_name", ["test", "validation", "val"])
def test_split_folders(tmp_path, test_name):
    fill(tmp_path / "train", count=4)
    fill(tmp_path / test_name, count=1)
    assert open_source(tmp_path).num_examples == {"train": 8, "test": 2}
    (tmp_path / test_name / "dog" / "0.png").rename(tmp_path / test_name / "0.png")
    (tmp_path / test_name / "dog").rmdir()
    with pytest.raises(InputError, match="same classes in train and test.*'dog'"):
        open_source(tmp_path)


def test_a_class_may_be_called_train(tmp_path):
    assert open_source(fill(tmp_path, ("train", "bus"))).class_names == ("bus", "train")


DAMAGES = {  # name: what is done to the file "0.png", and what the message says about it
    "text": (lambda path: path.write_text("hello"), "not an image"),
    "empty": (lambda path: path.write_bytes(b""), "not an image"),
    "cut png": (lambda path: path.write_bytes(path.read_bytes()[:200]), "truncated"),
    "flipped png": (
        lambda path: path.write_bytes(path.read_bytes()[:-14] + b"XX" + path.read_bytes()[-12:]),
        "damaged",
    ),
    "broken link": (lambda path: (path.unlink(), path.symlink_to("nowhere.png")), "No such file"),
    "float": (
        lambda path: Image.fromarray(np.ones((8, 8), np.float32)).save(path, "TIFF"),
        "32 bits, whose range the file does not tell",
    ),
    "pdf": (lambda path: Image.new("RGB", (8, 8)).save(path, "PDF"), "not an image"),
    "heic": (lambda path: path.write_bytes(b"....ftypheic" + bytes(40)), "HEIC, which takes"),
    "cut jpeg": (
        lambda path: (paint(path, 60, (60, 80), format="JPEG"), path.write_bytes(path.read_bytes()[:-300])),
        "truncated",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_corrupt_image(tmp_path, capfd, name):
    damage, reason = DAMAGES[name]
    path = fill(tmp_path) / "cat" / "0.png"
    damage(path)
    with pytest.raises(InputError, match=f"1 of 10 images can't be decoded: cat/0.png .*{reason}.*skip") as error:
        open_source(tmp_path)
    assert "\n" not in str(error.value)
    with pytest.warns(UserWarning, match="^Skipping: .*1 of 10 .*cat/0.png") as told:
        source = open_source(tmp_path, on_corrupt="skip")
    assert len(told) == 1
    assert capfd.readouterr().out == ""
    assert sum(source.num_examples.values()) == 9
    for split in source.num_examples:
        assert sum(len(images) for images, _ in batches(source, split, image_size=(8, 8), batch_size=4)) > 0


def test_many_corrupt_images_are_counted(tmp_path):
    for path in sorted((fill(tmp_path) / "dog").iterdir()):
        path.write_text("")
    with pytest.raises(InputError, match="5 of 10 .*dog/0.png.*dog/2.png.* and 2 more"):
        open_source(tmp_path)
    with (
        pytest.raises(InputError, match="can be decoded in every class. Received: none in .*dog"),
        pytest.warns(UserWarning, match="5 of 10"),
    ):
        open_source(tmp_path, on_corrupt="skip")


BAD_FOLDERS = {
    "missing": (lambda root: root / "nowhere", "is not there"),
    "file": (lambda root: paint(root / "cat.png"), "Received: .*cat.png"),
    "empty": (lambda root: root, "with none"),
    "one class": (lambda root: fill(root, ("cat",)), "with only 'cat'"),
    "only test": (lambda root: fill(root / "test").parent, "training images in .*Received: test/ alone"),
    "class without images": (
        lambda root: fill(root, ("cat", "dog", "eel")) and _emptied(root, "dog"),
        "none in dog .1 of 3",
    ),
    "one image a class": (lambda root: fill(root, count=1), "two or more images"),
}


def _emptied(root, name):
    for path in (root / name).iterdir():
        path.unlink()
    return root


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_bad_folder(tmp_path, name):
    make, message = BAD_FOLDERS[name]
    with pytest.raises(InputError, match=message) as error:
        open_source(str(make(tmp_path)))
    assert "\n" not in str(error.value)
    assert "Received: " in str(error.value)


def test_bad_on_corrupt(tmp_path):
    with pytest.raises(InputError, match="one of 'error', 'skip'. Received: 'ignore'"):
        open_source(fill(tmp_path), on_corrupt="ignore")


def test_home_and_relative_paths(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "pets")
    assert open_source("~/pets").class_names == open_source("pets").class_names == open_source("./pets").class_names
    with pytest.raises(InputError, match="not there"):
        open_source("./digits")


def test_small_folder_trains(tmp_path):
    """Odd sizes, a batch larger than the set, cropping augmentation: still whole batches of the asked size."""
    paint(fill(tmp_path) / "cat" / "wide.png", 40, size=(3, 50))
    source = open_source(tmp_path)
    dataset = batches(source, "train", image_size=(32, 48), batch_size=64, augment="imagenet", shuffle=True)
    (images, labels) = next(dataset.as_numpy_iterator())
    assert images.shape == (source.num_examples["train"], 32, 48, 3)
    assert tf.reduce_all(labels.sum(axis=1) == 1)
