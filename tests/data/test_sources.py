"""The embedded tfds builders, and tfds sets by name: good ones, unknown ones, and ones that can't be had."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_mobattn.data import open_source, take_images
from keras_mobattn.data.digit_crops import SIDE, DigitCrops, crop_digits
from keras_mobattn.data.digit_scenes import CANVAS, DigitScenes, DigitScenesConfig, draw_scene
from keras_mobattn.data.digits import read_digits
from keras_mobattn.errors import InputError


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("tfds")


@pytest.fixture(scope="module")
def scenes(data_dir):
    builder = DigitScenes(data_dir=data_dir, config=DigitScenesConfig(name="few", train=40, test=10))
    builder.download_and_prepare()
    return builder


def test_digits_split_is_stratified_and_whole():
    (train, train_labels), (test, test_labels) = read_digits("train"), read_digits("test")
    assert train.shape == (1438, 8, 8, 1)
    assert test.shape == (359, 8, 8, 1)
    assert train.dtype == np.uint8
    assert train.min() == 0
    assert train.max() == 255
    share = np.bincount(test_labels) / (np.bincount(test_labels) + np.bincount(train_labels))
    assert np.abs(share - 0.2).max() < 0.003
    from sklearn.datasets import load_digits

    whole = np.concatenate([train, test]).reshape(1797, 64)
    assert (np.sort(whole.sum(axis=1)) == np.sort(np.rint(load_digits().data * 255 / 16).sum(axis=1))).all()
    assert test_labels[:8].tolist() == SPLIT_HEAD  # fixed for good: published accuracies hang on it


SPLIT_HEAD = [3, 7, 3, 9, 0, 8, 7, 0]


def test_digits_through_tfds(data_dir):
    source = open_source("digits", data_dir=data_dir)
    assert source.class_names == tuple("0123456789")
    assert source.num_examples == {"train": 1438, "test": 359}
    for split, count in source.num_examples.items():
        images, labels = take_images(source, split, count, (8, 8))
        expected, expected_labels = read_digits(split)
        key, expected_key = (np.lexsort(x.reshape(count, -1)[:, :: x.shape[-1]].T) for x in (images, expected))
        np.testing.assert_array_equal(images[key], np.repeat(expected[expected_key], 3, axis=-1))
        np.testing.assert_array_equal(labels[key], expected_labels[expected_key])
    assert tfds.builder("digits", data_dir=data_dir).info.features["image"].shape == (8, 8, 1)


def test_scene_label_is_the_only_digit_that_occurs_twice():
    digits, labels = read_digits("train")
    seen = set()
    for seed in range(100):
        scene = draw_scene(np.random.RandomState(seed), digits, labels)
        counts = np.bincount(scene["box_labels"], minlength=10)
        assert counts[scene["label"]] == 2
        assert sorted(counts)[-2] == 1
        assert 4 <= counts.sum() <= 6
        seen.add(scene["label"])
        assert scene["image"].shape == (CANVAS, CANVAS, 3)
        assert scene["image"].dtype == np.uint8
        for (ymin, xmin, ymax, xmax), digit in zip(
            np.rint(scene["boxes"] * CANVAS).astype(int), scene["box_labels"], strict=True
        ):
            window = scene["mask"][ymin:ymax, xmin:xmax, 0]
            assert set(np.unique(window)) <= {0, 1 + digit}  # boxes don't overlap
            own = window == 1 + digit
            assert own[0].any()
            assert own[-1].any()
            assert own[:, 0].any()
            assert own[:, -1].any()
            inside, outside = (scene["image"][ymin:ymax, xmin:xmax][m].mean(axis=0) for m in (own, ~own))
            assert np.abs(inside - outside).max() > 15  # the digit can be told from the texture
            scene["mask"][ymin:ymax, xmin:xmax] = 0
        assert not scene["mask"].any()  # nothing outside the boxes
    assert seen == set(range(10))


def test_scenes_use_digits_of_their_own_split(scenes):
    """Redraw the test scenes from test digits alone: were a training digit in one of them, it would differ."""
    digits, labels = read_digits("test")
    stored = {example["image"].tobytes() for example in tfds.as_numpy(scenes.as_dataset(split="test"))}
    redrawn = {draw_scene(np.random.RandomState([0, 1, i]), digits, labels)["image"].tobytes() for i in range(10)}
    assert stored == redrawn


def test_scenes_through_tfds(scenes):
    examples = list(tfds.as_numpy(scenes.as_dataset(split="train")))
    assert len(examples) == 40
    for example in examples:
        assert example["image"].shape == (96, 96, 3)
        assert example["mask"].shape == (96, 96, 1)
        assert (example["objects"]["label"] == example["label"]).sum() == 2
        boxes = example["objects"]["bbox"]
        assert (boxes >= 0).all()
        assert (boxes <= 1).all()
        assert (boxes[:, :2] < boxes[:, 2:]).all()
        assert set(np.unique(example["mask"])) == {0, *(example["objects"]["label"] + 1)}


def test_scenes_depend_on_seed_alone(scenes, tmp_path):
    def images(seed, folder):
        builder = DigitScenes(data_dir=folder, config=DigitScenesConfig(name=f"s{seed}", train=8, test=2, seed=seed))
        builder.download_and_prepare()
        return {example["image"].tobytes() for example in tfds.as_numpy(builder.as_dataset(split="train"))}

    stored = {example["image"].tobytes() for example in tfds.as_numpy(scenes.as_dataset(split="train"))}
    assert images(0, tmp_path) < stored  # a smaller set is the beginning of a larger one
    assert not images(5, tmp_path) & stored


def test_crops_hold_the_digit_in_the_middle():
    digits, labels = read_digits("train")
    for seed in range(30):
        rng = np.random.RandomState(seed)
        scene = draw_scene(rng, digits, labels)
        rows, columns = np.mgrid[:CANVAS, :CANVAS].astype(np.uint8)
        places = np.stack([rows, columns, scene["mask"][..., 0]], axis=-1)  # a canvas whose pixels tell their place
        crops = crop_digits(rng, {**scene, "image": places})
        assert crops.shape == (len(scene["boxes"]), SIDE, SIDE, 3)
        centres = CANVAS * (scene["boxes"][:, :2] + scene["boxes"][:, 2:]) / 2
        counts = np.bincount(scene["mask"].ravel(), minlength=11)
        for crop, centre, digit in zip(crops, centres, scene["box_labels"], strict=True):
            middle = (crop[0, 0, :2].astype(float) + crop[-1, -1, :2] + 1) / 2
            moved_in = (crop[0, 0, :2] == 0) | (crop[-1, -1, :2] == CANVAS - 1)
            assert ((np.abs(middle - centre) <= 4) | moved_in).all()
            of_both = counts[1 + digit] / (scene["box_labels"] == digit).sum()
            assert (crop[..., 2] == 1 + digit).sum() > 0.5 * of_both  # the pair's two differ in size


def test_crops_are_those_of_the_scenes(scenes, data_dir):
    builder = DigitCrops(data_dir=data_dir, config=DigitScenesConfig(name="few", train=40, test=10))
    builder.download_and_prepare()
    for split in ("train", "test"):
        crops = [(crop["image"], crop["label"]) for crop in tfds.as_numpy(builder.as_dataset(split=split))]
        wholes = list(tfds.as_numpy(scenes.as_dataset(split=split)))
        digits = np.concatenate([whole["objects"]["label"] for whole in wholes])
        np.testing.assert_array_equal(np.bincount([label for _, label in crops]), np.bincount(digits))
        windows = np.lib.stride_tricks.sliding_window_view(wholes[0]["image"], (SIDE, SIDE, 3))
        found = {label for image, label in crops if (windows[..., 0, :, :, :] == image).all((-3, -2, -1)).any()}
        assert found == set(wholes[0]["objects"]["label"])


def test_an_interrupted_preparation_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(self, split):
        yield 0, {"image": np.zeros((8, 8, 1), np.uint8), "label": 0}
        raise KeyboardInterrupt

    from keras_mobattn.data.digits import Digits

    with monkeypatch.context() as patch:
        patch.setattr(Digits, "_generate_examples", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_source("digits", data_dir=tmp_path)
    assert open_source("digits", data_dir=tmp_path).num_examples == {"train": 1438, "test": 359}


def test_two_processes_prepare_the_same_set(tmp_path, monkeypatch):
    """The one that finishes second finds the set in place, and uses it."""
    from keras_mobattn.data.digits import Digits

    generate = Digits._generate_examples

    def overtaken(self, split):
        monkeypatch.setattr(Digits, "_generate_examples", generate)
        open_source("digits", data_dir=tmp_path)
        return generate(self, split)

    monkeypatch.setattr(Digits, "_generate_examples", overtaken)
    assert open_source("digits", data_dir=tmp_path).num_examples == {"train": 1438, "test": 359}


class Stand(tfds.core.GeneratorBasedBuilder):
    """A stand-in for a set of tfds's, whose features and splits each test chooses."""

    VERSION = tfds.core.Version("1.0.0")
    shape = (6, 5, 3)
    splits = {"train": (10, 0), "test": (4, 0)}  # split: (images, what is added to their label 0)
    features = ("image", "label")

    def _info(self):
        known = {"image": tfds.features.Image(shape=self.shape), "label": tfds.features.ClassLabel(names=["a", "b"])}
        features = {key: known.get(key, tfds.features.Text()) for key in self.features}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(*content) for split, content in self.splits.items()}

    def _generate_examples(self, count, label):
        for i in range(count):
            yield i, {"image": np.full(self.shape, 10 * i, np.uint8), "label": label}


SPLITS = {  # what the set has: what we use for the test, and how many images that is
    "three": ({"train": (10, 0), "test": (4, 0), "validation": (3, 0)}, {"train": 10, "validation": 3, "test": 4}),
    "unlabelled test": ({"train": (10, 0), "test": (4, -1), "validation": (3, 0)}, {"train": 10, "test": 3}),
    "validation": ({"train": (10, 0), "validation": (3, 0)}, {"train": 10, "test": 3}),
    "train alone": ({"train": (10, 0)}, {"train": 8, "test": 2}),
    "val": ({"train": (5, 0), "val": (3, 0)}, {"train": 5, "test": 3}),
    "other case": ({"Train": (5, 0), "Valid": (3, 0), "Test": (2, 0)}, {"train": 5, "validation": 3, "test": 2}),
    "other labels": ({"train": (5, 0), "validation": (3, 0), "test": (2, 1)}, {"train": 5, "validation": 3, "test": 2}),
    "dev": ({"train": (5, 0), "dev": (3, 0), "test": (2, -1)}, {"train": 5, "test": 3}),
    "neither": ({"train": (5, 0), "extra": (9, 0)}, {"train": 4, "test": 1}),
}


@pytest.mark.parametrize("name", SPLITS)
def test_which_split_is_the_test(tmp_path, monkeypatch, name):
    splits, expected = SPLITS[name]
    monkeypatch.setattr(Stand, "splits", splits)
    source = open_source("stand", data_dir=tmp_path)
    assert source.num_examples == expected
    assert {split: len(list(source.open(split))) for split in expected} == expected


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_become_rgb(tmp_path, monkeypatch, channels):
    monkeypatch.setattr(Stand, "shape", (6, 5, channels))
    source = open_source("stand", data_dir=tmp_path)
    example = next(iter(source.open("train")))
    assert example["image"].shape == (6, 5, 3)
    assert example["image"].dtype == tf.uint8
    assert example["label"].dtype == tf.int64
    assert source.class_names == ("a", "b")


def test_a_set_without_image_and_label(tmp_path, monkeypatch):
    monkeypatch.setattr(Stand, "features", ("image", "text"))
    with pytest.raises(
        InputError,
        match="a dataset with image: Image, label: ClassLabel. Received: 'stand' with image: Image, text: Text",
    ):
        open_source("stand", data_dir=tmp_path)


def test_a_set_without_train(tmp_path, monkeypatch):
    monkeypatch.setattr(Stand, "splits", {"test": (4, 0)})
    with pytest.raises(InputError, match="Expected a 'train' split in 'stand'. Received: 'test'"):
        open_source("stand", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "imagnet2012",
            "'digit_crops', 'digit_scenes', a tfds name or a folder.*'imagnet2012'.*; did you mean .*'imagenet2012'",
        ),
        ("qqqqqqqq", "'qqqqqqqq'.*; tensorflow.org/datasets"),
        ("my photos", "a tfds name or a folder.*'my photos', which is no folder in /"),
        ("mnist_corrupted/nosuch", "a tfds dataset that opens. Received: 'mnist_corrupted/nosuch': "),
        ("nowhere/at/all", "which is not there"),
    ],
)
def test_unknown_names(tmp_path, name, message):
    with pytest.raises(InputError, match=message) as error:
        open_source(name, data_dir=tmp_path)
    assert "\n" not in str(error.value)


def test_a_set_that_must_be_fetched_by_hand(tmp_path):
    with pytest.raises(
        InputError, match="'imagenet2012' is not in .* and could not be prepared there: .*data_dir"
    ) as error:
        open_source("imagenet2012", data_dir=tmp_path)
    assert "\n" not in str(error.value)


def test_a_set_that_cannot_be_downloaded(tmp_path, monkeypatch):
    def download(self, dl_manager):
        raise ConnectionError("Max retries exceeded\nand a second line")

    monkeypatch.setattr(Stand, "_split_generators", download)
    with pytest.raises(
        InputError, match="'stand' is not in .* could not be prepared there: Max retries exceeded[.] Prep"
    ):
        open_source("stand", data_dir=tmp_path)


def test_unwritable_data_dir(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="'digits' is not in .*file.* could not be prepared"):
        open_source("digits", data_dir=tmp_path / "file")


# TF_USE_LEGACY_KERAS changes keras-cv alone, and mobilevitv2 has every operation of ours.
@pytest.mark.sampled
@pytest.mark.parametrize(("legacy", "names"), [("0", ("digits", "mobilevitv2")), ("1", ("digits",))])
def test_quiet_and_lazy(tmp_path, legacy, names):
    """Nothing on stdout, no chatter of keras-cv or tfds on stderr besides progress bars, and no early heavy imports."""
    program = (
        "import sys; import keras_mobattn.data as d\n"
        "assert not {'tensorflow_datasets', 'keras_cv'} & set(sys.modules), 'imported too early'\n"
        f"s = d.open_source('digits', data_dir={str(tmp_path)!r})\n"
        "options = dict(image_size=(16, 16), batch_size=32, shuffle=True)\n"
        f"batches = [next(iter(d.batches(s, 'train', augment=name, **options))) for name in {names!r}]\n"
        "print(*(images.numpy().sum() for images, labels in batches))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"TF_USE_LEGACY_KERAS": legacy, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert [len(line.split()) for line in run.stdout.splitlines()] == [len(names)], run.stdout
    assert not [line for line in run.stderr.splitlines() if "WARNING" in line or "eprecat" in line], run.stderr
