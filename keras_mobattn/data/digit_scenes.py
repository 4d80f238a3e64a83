"""Scenes of several handwritten digits on a textured canvas, with boxes, a mask and a label for the whole scene.

One digit occurs exactly twice, in two different handwritings, and every other digit at most once; the image's label is
the digit that occurs twice. Nothing local tells which, so a model has to compare distant places.

Importing this module registers the builder, so `tfds.builder("digit_scenes")` finds it.
"""

import dataclasses

import numpy as np
import tensorflow_datasets as tfds

from keras_mobattn.data.digits import CLASS_NAMES, SPLITS, read_digits
from keras_mobattn.data.scenes import box_around, scene_example, scene_features
from keras_mobattn.data.texture import enlarge, texture

CANVAS = 96  # pixels a side
DIGIT_SIZES = (16, 30)  # pixels a side, the second one excluded
PLACINGS = 128  # how many ways to place the digits are tried at once
SINGLE_DIGITS = (2, 5)  # how many digits occur once, the second one excluded
CONTRASTS = (60, 110)  # grey levels between a digit and the texture under it
_DESCRIPTION = """\
Scenes of 4 to 6 of scikit-learn's handwritten digits at random places, sizes (16 to 29 pixels) and shades on a textured
96x96 canvas. Exactly one digit occurs twice and gives the image its label. The mask holds 1 + digit, and 0 for the
canvas. Scenes of the test split are made of digits of the test split of `digits` only.
"""


def draw_scene(rng, digits, labels):
    """One scene from handwritten digits (uint8 [n, 8, 8, 1] and int64 [n], every class present), drawn with `rng`.

    Returns {"image": uint8 [96, 96, 3], "mask": uint8 [96, 96, 1] of 1 + digit or 0, "boxes": float32 [objects, 4] of
    (ymin, xmin, ymax, xmax) in 0..1 around each digit's mask, "box_labels": int64 [objects], "label": the digit that
    occurs twice}.
    """
    chosen = rng.permutation(len(CLASS_NAMES))[: rng.randint(*SINGLE_DIGITS) + 1]
    classes = [chosen[0], *chosen]
    pools = [rng.permutation(np.flatnonzero(labels == digit)) for digit in chosen]
    handwritings = [pools[0][1], *(pool[0] for pool in pools)]  # indices into digits, the first two of one class

    canvas = texture(rng, CANVAS)
    mask = np.zeros((CANVAS, CANVAS, 1), np.uint8)
    boxes = []
    for digit, index, (top, left, size) in zip(classes, handwritings, _places(rng, len(classes)), strict=True):
        window = np.s_[top : top + size, left : left + size]
        ink = enlarge(digits[index] / 255.0, size)  # [size, size, 1], 0..1
        under = canvas[window].mean(axis=(0, 1))  # [3]
        shade = under + rng.choice((-1, 1)) * rng.uniform(*CONTRASTS) + rng.normal(0, 12, 3)
        canvas[window] += ink * (shade - canvas[window])
        inked = ink[..., 0] > 0.5
        mask[window][inked] = 1 + digit
        boxes.append(np.add(box_around(inked), (top, left, top, left)))
    return {
        "image": np.rint(canvas).clip(0, 255).astype(np.uint8),
        "mask": mask,
        "boxes": np.array(boxes, np.float32) / CANVAS,
        "box_labels": np.array(classes, np.int64),
        "label": int(chosen[0]),
    }


def _places(rng, count):
    """`count` squares (top, left, size) inside the canvas that do not overlap, by drawing all anew until they fit."""
    one, other = np.triu_indices(count, 1)
    while True:  # of the draws 15 % fit with 4 digits, 0.8 % with 6, so many are tried at once
        sizes = rng.randint(*DIGIT_SIZES, size=(PLACINGS, count))
        starts = [rng.randint(0, CANVAS - sizes + 1) for _ in range(2)]
        apart = [
            (a[:, one] >= (a + sizes)[:, other]) | (a[:, other] >= (a + sizes)[:, one])  # [PLACINGS, pairs]
            for a in starts
        ]
        fitting = np.flatnonzero(np.all(apart[0] | apart[1], axis=1))
        if len(fitting):
            return list(zip(*(values[fitting[0]] for values in (*starts, sizes)), strict=True))


@dataclasses.dataclass(kw_only=True)
class DigitScenesConfig(tfds.core.BuilderConfig):
    """How many scenes a split has, and their seed."""

    train: int = 6000
    test: int = 1000
    seed: int = 0

    def draw(self, split):
        """Yield (i, rng, scene) for each scene of a split; it depends on seed, split and i alone, and `rng` drew it."""
        digits, labels = read_digits(split)
        for key in range(getattr(self, split)):
            rng = np.random.RandomState([self.seed, SPLITS.index(split), key])
            yield key, rng, draw_scene(rng, digits, labels)


class DigitScenes(tfds.core.GeneratorBasedBuilder):
    """tfds builder over `draw_scene`: image, mask, objects (a sequence of bbox and label), label (100 MB on disk)."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    BUILDER_CONFIGS = [DigitScenesConfig(name="seed0")]

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                scene_features(CANVAS, CLASS_NAMES) | {"label": tfds.features.ClassLabel(names=CLASS_NAMES)}
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split):
        for key, _, scene in self.builder_config.draw(split):
            yield key, scene_example(scene) | {"label": scene["label"]}
