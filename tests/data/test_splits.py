"""Folders as people have them: how splits are named, what lies about, links, names of classes, the same photo twice."""

import itertools
import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from keras_mobattn.data import open_source, take_images
from keras_mobattn.data.folder import read_folder
from keras_mobattn.data.listing import LEFTOVERS
from keras_mobattn.data.splits import WORDS, by_split
from keras_mobattn.errors import InputError

counter = itertools.count()


def paint(path):
    """An image that no other file of the tests has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number = next(counter)
    Image.new("RGB", (8, 8), (number % 256, number // 256 % 256, 50)).save(path)
    return path


def fill(root, tree):
    """Make images by a text, one folder a word: "train/cat:3 train/dog:2"."""
    for each in tree.split():
        folder, _, count = each.partition(":")
        (root / folder).mkdir(parents=True, exist_ok=True)
        for k in range(int(count)):
            paint(root / folder / f"{k}.png")
    return root


BOTH = "cat:{0} dog:{0}"


def split_tree(**counts):
    return " ".join(f"{name}/cat:{count} {name}/dog:{count}" for name, count in counts.items())


@pytest.mark.parametrize("spell", [str.lower, str.capitalize, str.upper])
@pytest.mark.parametrize("held_out", [*WORDS["validation"], *WORDS["test"]])
@pytest.mark.parametrize("train", WORDS["train"])
def test_two_splits_by_any_name(train, held_out, spell, tmp_path):
    source = open_source(fill(tmp_path, split_tree(**{spell(train): 3, spell(held_out): 2})))
    assert source.class_names == ("cat", "dog")
    assert source.num_examples == {"train": 6, "test": 4}
    assert source.selection == "test"


@pytest.mark.parametrize(("validation", "test"), [("val", "test"), ("Valid", "Test"), ("dev", "TESTING")])
def test_three_splits(validation, test, tmp_path):
    source = open_source(fill(tmp_path, split_tree(**{"Training": 3, validation: 2, test: 1})))
    assert source.num_examples == {"train": 6, "validation": 4, "test": 2}
    assert source.selection == "validation"
    assert {split: len(list(source.open(split))) for split in source.num_examples} == source.num_examples


ASIDE = {  # tree -> images by split, and what is told
    "train/cat:5 train/dog:5 test/:3": ({"train": 8, "test": 2}, "3 in test/, which has no sub-folders of classes"),
    "train/cat:5 train/dog:5 val/cat:1 val/dog:1 test/:3": ({"train": 10, "test": 2}, "3 in test/, which has no"),
    "train/cat:5 train/dog:5 val/cat:1 val/dog:1 :2": ({"train": 10, "test": 2}, "2 outside of every class's folder"),
    "cat:5 dog:5 :4": ({"train": 8, "test": 2}, "4 outside of every class's folder"),
    "train/cat:5 train/dog:5 train/:4 test/cat:1 test/dog:1": (
        {"train": 10, "test": 2},
        "4 outside of every class's folder",
    ),
}


@pytest.mark.parametrize("tree", ASIDE)
def test_unlabelled_images_are_left_aside(tree, tmp_path):
    expected, told = ASIDE[tree]
    with pytest.warns(UserWarning, match=f"Left out of .*: {told}") as warned:
        source = open_source(fill(tmp_path, tree))
    assert source.num_examples == expected
    assert len(warned) == 1


def test_train_alone_is_held_out_from(tmp_path):
    source = open_source(fill(tmp_path, split_tree(train=5)))
    assert source.class_names == ("cat", "dog")
    assert source.num_examples == {"train": 8, "test": 2}


AMBIGUOUS = {
    "train/:3 test/:2": "Expected sub-folders of classes in the splits of .*test/ and train/ without any",
    "training/:3 validation/:2 x:1": "Expected sub-folders of classes in the splits",
    "train/cat:2 train/dog:2 Train/cat:2": "one name for the train images. Received: 'Train' and 'train'",
    "train/cat:2 train/dog:2 val/cat:1 val/dog:1 valid/cat:1": "one name for the validation images.*'val' and 'valid'",
    "train/cat:2 train/dog:2 eval/cat:1 eval/dog:1": "train/ with sub-folders, like a split, beside eval/",
    "train/cat:2 train/dog:2 labels/a:1": "beside labels/, which is none. Name the folder that holds the classes",
    "test/cat:2 test/dog:2": "the training images in .*Received: test/ alone",
    "train/cat:2 train/dog:2 test/cat:2 test/Dog:2": "the same classes in train and test.*'Dog', 'dog'",
    "train/cat:2 train/dog:2 val/cat:2 val/dog:2 test/cat:1 test/do:1": "same classes in train and test.*'do', 'dog'",
}


@pytest.mark.parametrize("tree", AMBIGUOUS)
def test_what_is_ambiguous_is_an_error(tree, tmp_path):
    with pytest.raises(InputError, match=AMBIGUOUS[tree]) as error:
        open_source(fill(tmp_path, tree))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("tree", ["train:3 bus:3", "val:3 dog:3", "test:4 cat:2 dog:2"])
def test_a_class_may_be_called_as_a_split(tree, tmp_path):
    names = sorted(word.partition(":")[0] for word in tree.split())
    with pytest.warns(UserWarning, match="/ in .* has no sub-folders and is taken for a class. If it holds"):
        assert open_source(fill(tmp_path, tree)).class_names == tuple(names)


def test_roles():
    assert by_split(["Train", "VAL", "photos"]) == {"train": "Train", "validation": "VAL"}


LEFT_OUT = {  # what lies about -> what is told of it, "" for nothing
    "cat/.ipynb_checkpoints/a.png": "1 in .ipynb_checkpoints/",
    "cat/@eaDir/0.png/SYNOPHOTO.jpg": "1 in @eaDir/",
    "__MACOSX/cat/a.png": "",  # beside the classes: an archive's
    "cat/__MACOSX/._0.png": "1 in __MACOSX/",
    "cat/._0.png": "1 hidden",
    "cat/notes.txt": "1 .txt",
    "cat/film.MOV": "1 .mov",
    "cat/raw.dng": "1 .dng",
    "cat/noname": "1 without a suffix",
    "cat/Thumbs.db": "",
    "cat/.DS_Store": "",
    "cat/.hidden/notes.txt": "",
}


@pytest.mark.parametrize("path", LEFT_OUT)
def test_what_lies_about_is_counted_and_named(path, tmp_path, recwarn):
    fill(tmp_path, BOTH.format(5))
    paint(tmp_path / "whole.png").rename(tmp_path.parent / f"{tmp_path.name}.png")
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_bytes((tmp_path.parent / f"{tmp_path.name}.png").read_bytes())
    source = open_source(tmp_path)
    assert source.num_examples == {"train": 8, "test": 2}
    assert [str(w.message).partition(": ")[2] for w in recwarn] == [f"{LEFT_OUT[path]}."] * bool(LEFT_OUT[path])


def test_all_that_lies_about_is_told_in_one_sentence(tmp_path):
    fill(tmp_path, "cat:3 dog:3 :2")
    for k in range(3):
        (tmp_path / "dog" / f"{k}.txt").write_text("")
    with pytest.warns(UserWarning, match="Left out") as told:
        open_source(tmp_path)
    assert [str(each.message).partition(": ")[2] for each in told] == ["3 .txt, 2 outside of every class's folder."]


@pytest.mark.parametrize("name", sorted(LEFTOVERS))
def test_leftovers_are_no_classes(name, tmp_path):
    fill(tmp_path, f"{BOTH.format(2).replace(' ', '|')}".replace("|", " "))
    paint(tmp_path / name.upper() / "a.png")
    assert open_source(tmp_path).class_names == ("cat", "dog")


def test_a_class_may_begin_with_underscores(tmp_path):
    names = ("__background__", "_other", "@home", "#1")
    for name in names:
        paint(tmp_path / name / "a.png"), paint(tmp_path / name / "b.png")
    assert open_source(tmp_path).class_names == tuple(sorted(names))


def test_links_are_followed_each_folder_once(tmp_path):
    photos = tmp_path / "photos"
    fill(photos, "cat:4 dog:2")
    fill(tmp_path / "elsewhere", "dogs:3 more:2")
    (photos / "dog" / "linked").symlink_to(tmp_path / "elsewhere" / "dogs")
    (photos / "dog" / "again").symlink_to(tmp_path / "elsewhere" / "dogs")
    (photos / "dog" / "loop").symlink_to(photos / "dog")
    (photos / "dog" / "up").symlink_to(photos / "dog" / "linked")
    (photos / "eel").symlink_to(tmp_path / "elsewhere" / "more")
    source = open_source(photos)
    assert source.class_names == ("cat", "dog", "eel")
    labels = np.concatenate([take_images(source, split, n, (8, 8))[1] for split, n in source.num_examples.items()])
    assert np.bincount(labels).tolist() == [4, 5, 2]


def test_a_broken_link_is_named(tmp_path):
    fill(tmp_path, BOTH.format(3))
    (tmp_path / "cat" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(InputError, match="1 of 7 images can't be decoded: cat/gone.jpg .No such file"):
        open_source(tmp_path)


BAD_NAMES = {"new\nline": r"new.nline", " cat": "' cat'|/ cat", "cat ": "cat '", "bell\a": "bell", "tab\tbed": "tab"}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_no_label_file_can_hold(name, tmp_path):
    fill(tmp_path, "dog:2")
    paint(tmp_path / name / "a.png")
    with pytest.raises(InputError, match="printable names of classes.*Rename the folder") as error:
        open_source(tmp_path)
    assert "\n" not in str(error.value)


def test_a_name_that_is_no_text(tmp_path):
    fill(tmp_path, "dog:2")
    os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")
    with pytest.raises(InputError, match="printable names of classes"):
        open_source(tmp_path)


def test_a_file_name_that_is_no_text(tmp_path):
    fill(tmp_path, BOTH.format(2))
    for label in ("cat", "dog"):
        os.rename(tmp_path / label / "0.png", os.fsencode(tmp_path / label) + b"/caf\xe9\n.png")
    source = open_source(tmp_path)
    assert sum(len(take_images(source, split, n, (8, 8))[0]) for split, n in source.num_examples.items()) == 4


def test_accents_of_a_mac_and_of_others_are_the_same(tmp_path):
    """macOS writes é as two characters, others as one."""
    apart, together = (unicodedata.normalize(form, "café") for form in ("NFD", "NFC"))
    assert apart != together
    fill(tmp_path, f"train/{apart}:2 train/dog:2 test/{together}:2 test/dog:2")
    assert open_source(tmp_path).class_names == ("café", "dog")
    paint(tmp_path / "train" / together / "a.png")
    with pytest.raises(InputError, match="another name for each class.*look the same"):
        open_source(tmp_path)


def copied(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


def test_the_same_photo_in_two_splits_is_named(tmp_path):
    fill(tmp_path, split_tree(train=3, test=2))
    copied(tmp_path / "train" / "cat" / "0.png", tmp_path / "test" / "cat" / "copy.png")
    copied(tmp_path / "train" / "cat" / "1.png", tmp_path / "train" / "cat" / "twice.png")  # no harm in that
    told = r"1 image is in two splits of .*: train/cat/0.png \(train\) = test/cat/copy.png \(test\)\."
    with pytest.warns(UserWarning, match=told) as warned:
        open_source(tmp_path)
    assert len(warned) == 1


def test_the_same_photo_in_two_classes_is_named(tmp_path):
    fill(tmp_path, BOTH.format(5))
    for k in range(5):
        copied(tmp_path / "cat" / f"{k}.png", tmp_path / "dog" / f"copy{k}.png")
    with pytest.warns(UserWarning, match="two classes") as warned:
        open_source(tmp_path)
    (told,) = [str(each.message) for each in warned if "two classes" in str(each.message)]
    assert told.startswith("5 images are in two classes of ")
    assert told.endswith("; ....")
    assert told.count(" = ") == 3


@pytest.mark.parametrize(
    ("tree", "count"), [(BOTH.format(4), 8), ("cat:3", 3), (split_tree(train=3, test=2), 4), (split_tree(test=2), 4)]
)
def test_a_folder_for_a_test_alone_is_tested_whole(tree, count, tmp_path):
    source = open_source(fill(tmp_path, tree), for_test=True)
    assert source.num_examples["test"] == count


def test_a_class_may_have_nothing_to_test(tmp_path):
    fill(tmp_path, "cat:2 dog:0")
    class_names, splits = read_folder(tmp_path, for_test=True)
    assert class_names == ("cat",)
    assert len(splits["test"]) == 2
    with pytest.raises(InputError, match="in every class. Received: none in dog"):
        read_folder(tmp_path)
