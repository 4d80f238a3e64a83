"""Scenes of photographed things, drawn here from made-up cut-outs."""

import numpy as np
import pytest
from PIL import Image

from keras_mobattn import InputError
from keras_mobattn.data import open_source, photo_scenes
from keras_mobattn.data.photo_scenes import CANVAS, CLASS_NAMES, FOLDERS, SIDES, THINGS, draw_scene, read_things
from keras_mobattn.files import CACHE, cache_folder


@pytest.fixture
def stamps(tmp_path, monkeypatch):
    """A cache with made-up stamps: five things a class, plain ellipses of a colour of their own, and a drawing."""
    monkeypatch.setenv(CACHE, str(tmp_path))
    folder = cache_folder(photo_scenes.PACKAGE) / photo_scenes.STAMPS
    monkeypatch.setattr(photo_scenes, "_debian", None)  # nothing is to be fetched
    for label, place in enumerate(FOLDERS.values()):
        (folder / place / "cartoon").mkdir(parents=True)
        for number in range(5):
            y, x = np.mgrid[:60, :90]
            inside = ((y - 30) / 25) ** 2 + ((x - 45) / 40) ** 2 < 1
            pixels = np.zeros((60, 90, 4), np.uint8)
            pixels[inside] = (30 * label, 40 * number, 200, 255)
            Image.fromarray(pixels).save(folder / place / f"thing{number}.png")
        Image.new("RGBA", (9, 9)).save(folder / place / "cartoon" / "thing9.png")
    return folder


def colours(images):
    return {tuple(np.asarray(image).reshape(-1, 4).max(0)) for image in images}


def test_no_thing_is_in_both_splits(stamps):
    train, test = (read_things(stamps, split) for split in ("train", "test"))
    for name in CLASS_NAMES:
        assert (len(train[name]), len(test[name])) == (3, 2)
        assert not colours(train[name]) & colours(test[name])
        assert {image.size for image in train[name]} <= {(79, 49), (80, 50), (79, 50), (80, 49)}  # cut to what is seen


def test_boxes_and_masks_are_exact(stamps):
    things, photos = read_things(stamps, "train"), photo_scenes.background_photos("train")
    seen = np.zeros(len(CLASS_NAMES), int)
    for key in range(20):
        scene = draw_scene(np.random.RandomState([3, key]), things, photos)
        again = draw_scene(np.random.RandomState([3, key]), things, photos)
        for name, values in scene.items():
            np.testing.assert_array_equal(values, again[name])
        assert scene["image"].shape == (CANVAS, CANVAS, 3)
        assert 0 < len(scene["boxes"]) < THINGS[1]
        np.add.at(seen, scene["box_labels"], 1)
        mask = scene["mask"][..., 0]
        assert set(np.unique(mask)) - {0} == set(scene["box_labels"] + 1)
        for box, label in zip(scene["boxes"], scene["box_labels"], strict=True):
            top, left, bottom, right = np.rint(box * CANVAS).astype(int)
            inside = mask[top:bottom, left:right] == 1 + label
            assert inside[0].any()
            assert inside[-1].any()
            assert inside[:, 0].any()
            assert inside[:, -1].any()
            assert max(bottom - top, right - left) <= SIDES[1] + 1
        outside = np.ones_like(mask, bool)
        for top, left, bottom, right in np.rint(scene["boxes"] * CANVAS).astype(int):
            outside[top:bottom, left:right] = False
        assert (mask[outside] == 0).all()
    assert (seen > 0).all()


def test_it_is_a_source(stamps, tmp_path, monkeypatch):
    monkeypatch.setattr(photo_scenes.PhotoScenes.BUILDER_CONFIGS[0], "train", 6)
    monkeypatch.setattr(photo_scenes.PhotoScenes.BUILDER_CONFIGS[0], "test", 3)
    source = open_source("photo_scenes", tmp_path / "tfds", targets=("boxes", "box_labels", "mask"))
    assert (source.class_names, source.num_examples) == (CLASS_NAMES, {"train": 6, "test": 3})
    example = next(iter(source.open("train")))
    assert example["image"].shape == (CANVAS, CANVAS, 3)
    assert example["mask"].shape == (CANVAS, CANVAS, 1)
    assert len(example["boxes"]) == len(example["box_labels"]) > 0


def test_without_stamps(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path))
    monkeypatch.setattr(photo_scenes, "STAMPS", photo_scenes.STAMPS / "nowhere")
    monkeypatch.setattr(photo_scenes._debian, "TOOLS", ("no-such-apt",))
    with pytest.raises(InputError, match="Tux Paint's stamps.*they can't be had.*apt-get install tuxpaint-stamps"):
        photo_scenes.find_stamps()
    assert not list(tmp_path.iterdir())


def test_the_parts_of_photographs_are_apart():
    train, test = (photo_scenes.background_photos(split) for split in ("train", "test"))
    for one, other in zip(train, test, strict=True):
        assert one.width + other.width == 640
        assert min(one.size + other.size) >= 160
