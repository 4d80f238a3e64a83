"""Scenes of photographed things on textures and photographs, with boxes, masks and classes: the nearest to photographs
with exact boxes that can be had without a download of gigabytes.

The things are cut-outs of Tux Paint's stamps (Bill Kendrick and others, GPL-2): read where Debian's package
tuxpaint-stamps-default is installed, else fetched with the machine's own apt, without root, and unpacked into the cache
(161 MB, then 220). They are no part of this package, and what is drawn of them comes under their licence. The
backgrounds are parts of scikit-learn's two photographs, and textures. No thing and no part of a photograph is in both
splits.

Importing this module registers the builder, so `tfds.builder("photo_scenes")` finds it.
"""

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from keras_mobattn import _debian
from keras_mobattn.data.photos import whole_photos
from keras_mobattn.data.scenes import box_around, scene_example, scene_features
from keras_mobattn.data.texture import texture
from keras_mobattn.errors import InputError
from keras_mobattn.files import cache_folder, replacing

PACKAGE = "tuxpaint-stamps-default"
STAMPS = Path("usr/share/tuxpaint/stamps")
FOLDERS = {  # class -> its folder of stamps. No flowers: one of the photographs behind them shows one.
    "bird": "animals/birds", "fish": "animals/fish", "fruit": "food/fruit",
    "insect": "animals/insects", "mammal": "animals/mammals", "vegetable": "food/vegetables", "vehicle": "vehicles",
}  # fmt: skip
CLASS_NAMES = tuple(FOLDERS)
DRAWINGS = "cartoon"  # a part of the names of folders and files of what is no photograph
TEST_EVERY = 4  # of a class's things, by name, one is for the test
CANVAS = 256  # pixels a side
SIDES = (36, 150)  # pixels of a thing's longer side, log-uniform
THINGS = (1, 6)  # in a scene, the second one excluded
LARGEST = 2.0  # times a thing's own size
LIGHTS = (0.7, 1.25)  # factors of brightness
LEAST_SEEN = 0.5  # of a thing that others hide: below, it is taken out again
TRIES = 10  # places for a thing
PHOTO_SHARE = 0.7  # of the backgrounds that are parts of photographs
SPLITS = ("train", "test")
_DESCRIPTION = f"""\
Scenes of 1 to 5 photographed things (cut-outs, 36 to 150 pixels) on parts of photographs and textures, 256x256 pixels.
Classes: {", ".join(CLASS_NAMES)}. The mask holds 1 + class of what is in front, and 0 for the background. The things
of the test are others than those of the training. Made from Tux Paint's stamps, GPL-2.
"""


def find_stamps():
    """The folder of Tux Paint's stamps: the system's, else the cache's, which is filled where it is empty.

    Raises:
        InputError: they are not installed, and can't be had by apt.
    """
    cached = cache_folder(PACKAGE)
    found = next((root / STAMPS for root in (Path("/"), cached) if (root / STAMPS).is_dir()), None)
    if found:
        return found
    try:
        with _debian.apt(_debian.codename()) as packages, replacing(cached, folder=True) as beside:
            packages.unpack([PACKAGE], beside)
    except InputError as error:
        raise InputError(
            f"Expected Tux Paint's stamps, of Debian's package {PACKAGE}. Received: none, and they can't be had: "
            f"{error} Install them: apt-get install {PACKAGE}."
        ) from error
    return cached / STAMPS


def read_things(stamps, split):
    """{class: [uint8 [h, w, 4] RGBA, ..]} of a split, cut to what is visible, at most SIDES pixels.

    Raises:
        InputError: a class with too few of them.
    """
    things = {}
    for name, folder in FOLDERS.items():
        paths = sorted(
            path for path in (stamps / folder).rglob("*.png") if DRAWINGS not in str(path.relative_to(stamps))
        )
        chosen = [path for number, path in enumerate(sorted(paths)) if (number % TEST_EVERY == 0) == (split == "test")]
        if not chosen:
            raise InputError(
                f"Expected photographs in {stamps / folder}. Received: {len(paths)}. Install {PACKAGE} anew."
            )
        things[name] = [_thing(path) for path in chosen]
    return things


def _thing(path):
    with Image.open(path) as image:
        image = image.convert("RGBA")
    image = image.crop(image.getchannel("A").point(lambda alpha: 255 * (alpha > 127)).getbbox())
    image.thumbnail((SIDES[1], SIDES[1]), Image.Resampling.LANCZOS)
    return image


def draw_scene(rng, things, photos):
    """One scene, drawn with `rng`: {"image": uint8 [256, 256, 3], "mask": uint8 [256, 256, 1] of 1 + class or 0,
    "boxes": float32 [n, 4] of (ymin, xmin, ymax, xmax) in 0..1 around what is visible, "box_labels": int64 [n]}."""
    canvas = _background(rng, photos)
    owners = np.full((CANVAS, CANVAS), -1)  # the number of the thing in front
    labels, areas = [], []
    for _ in range(rng.randint(*THINGS)):
        label = rng.randint(len(CLASS_NAMES))
        pixels = _varied(rng, things[CLASS_NAMES[label]])
        place = _free_place(rng, owners, areas, pixels[..., 3] > 127)
        if place is None:
            continue
        height, width = pixels.shape[:2]
        window = np.s_[place[0] : place[0] + height, place[1] : place[1] + width]
        alpha = pixels[..., 3:] / 255.0
        canvas[window] += alpha * (pixels[..., :3] - canvas[window])
        owners[window][pixels[..., 3] > 127] = len(labels)
        labels.append(label)
        areas.append(int((pixels[..., 3] > 127).sum()))
    mask = np.where(owners < 0, 0, 1 + np.array([*labels, -1])[owners]).astype(np.uint8)
    boxes = [box_around(owners == number) for number in range(len(labels))]
    return {
        "image": np.rint(canvas).clip(0, 255).astype(np.uint8),
        "mask": mask[..., None],
        "boxes": np.array(boxes, np.float32).reshape(-1, 4) / CANVAS,
        "box_labels": np.array(labels, np.int64),
    }


def _background(rng, photos):
    """Float [256, 256, 3]: a part of a photograph at another size, or a texture."""
    if rng.uniform() >= PHOTO_SHARE:
        return texture(rng, CANVAS)
    photo = photos[rng.randint(len(photos))]
    side = rng.randint(min(photo.size) // 3, min(photo.size) + 1)
    left, top = (rng.randint(0, whole - side + 1) for whole in photo.size)
    part = photo.resize((CANVAS, CANVAS), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return np.asarray(part, np.float64)[:, :: rng.choice((-1, 1))].copy()


def _varied(rng, images):
    """One of the things at some size, in some light, perhaps mirrored: float [h, w, 4]."""
    image = images[rng.randint(len(images))]
    side = np.exp(rng.uniform(*np.log(SIDES)))
    scale = min(side / max(image.size), LARGEST)
    size = [max(round(each * scale), 2) for each in image.size]
    pixels = np.asarray(image.resize(size, Image.Resampling.LANCZOS), np.float64)[:, :: rng.choice((-1, 1))].copy()
    pixels[..., :3] = (pixels[..., :3] * rng.uniform(*LIGHTS)).clip(0, 255)
    return pixels


def _free_place(rng, owners, areas, shape):
    """(top, left) where a thing of this shape hides none of the others by too much; None after TRIES."""
    for _ in range(TRIES):
        place = [rng.randint(0, CANVAS - side + 1) for side in shape.shape]
        window = owners[place[0] : place[0] + shape.shape[0], place[1] : place[1] + shape.shape[1]]
        left = [(owners == number).sum() - (window[shape] == number).sum() for number in range(len(areas))]
        if all(seen >= LEAST_SEEN * area for seen, area in zip(left, areas, strict=True)):
            return place
    return None


def background_photos(split):
    """The parts of scikit-learn's photographs for a split, as Pillow images: the left three quarters, or the rest."""
    photos = [Image.fromarray(pixels) for pixels in whole_photos().values()]
    edges = [(0, 3 * photo.width // 4) if split == "train" else (3 * photo.width // 4, photo.width) for photo in photos]
    return [photo.crop((left, 0, right, photo.height)) for photo, (left, right) in zip(photos, edges, strict=True)]


@dataclasses.dataclass(kw_only=True)
class PhotoScenesConfig(tfds.core.BuilderConfig):
    """How many scenes a split has, and their seed."""

    train: int = 6000
    test: int = 1000
    seed: int = 0

    def draw(self, split):
        """Yield (i, scene) for each scene of a split; it depends on seed, split, i and the stamps alone."""
        things, photos = read_things(find_stamps(), split), background_photos(split)
        for key in range(getattr(self, split)):
            rng = np.random.RandomState([self.seed, SPLITS.index(split), key])
            yield key, draw_scene(rng, things, photos)


class PhotoScenes(tfds.core.GeneratorBasedBuilder):
    """tfds builder over `draw_scene`: image, mask, objects (a sequence of bbox and label)."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    BUILDER_CONFIGS = [PhotoScenesConfig(name="seed0")]

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            license="Made from Tux Paint's stamps, which are under the GNU General Public License, version 2.",
            features=tfds.features.FeaturesDict(scene_features(CANVAS, CLASS_NAMES)),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split):
        for key, scene in self.builder_config.draw(split):
            yield key, scene_example(scene)
