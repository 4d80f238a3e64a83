"""The digits of `digit_scenes` one by one: 32x32 pixels around each, on their texture, labelled with the digit.

A model that has learnt to read them can learn the scenes, whose label only comparing digits tells; from random weights
it hardly can (docs/measurements.md).

Importing this module registers the builder, so `tfds.builder("digit_crops")` finds it.
"""

import numpy as np
import tensorflow_datasets as tfds

from keras_mobattn.data.builders import labelled_images
from keras_mobattn.data.digit_scenes import CANVAS, DigitScenesConfig
from keras_mobattn.data.digits import CLASS_NAMES, SPLITS
from keras_mobattn.data.scenes import encode_png

SIDE = 32  # pixels
JITTER = 3  # pixels: the digit need not be in the middle
_DESCRIPTION = """\
Each digit of each scene of `digit_scenes` of the same seed and split, cut out with 32x32 pixels around it: some 5 crops
a scene, in which a neighbour may show. 6000 scenes to train on and 1000 to test.
"""


def crop_digits(rng, scene):
    """The digits of a scene of `draw_scene`, cut out: uint8 [objects, 32, 32, 3].

    `rng` moves each window by 0 to 3 pixels; at the canvas's edge it moves inside.
    """
    centres = CANVAS * (scene["boxes"][:, :2] + scene["boxes"][:, 2:]) / 2  # [objects, 2] of (y, x)
    moved = centres - SIDE / 2 + rng.randint(-JITTER, JITTER + 1, centres.shape)
    corners = moved.clip(0, CANVAS - SIDE).astype(int)
    return np.stack([scene["image"][top : top + SIDE, left : left + SIDE] for top, left in corners])


class DigitCrops(tfds.core.GeneratorBasedBuilder):
    """tfds builder over `crop_digits`: {"image": uint8 [32, 32, 3], "label": 0..9} (100 MB on disk)."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    BUILDER_CONFIGS = [DigitScenesConfig(name="seed0")]

    def _info(self):
        return labelled_images(self, _DESCRIPTION, (SIDE, SIDE, 3), CLASS_NAMES)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split):
        for key, rng, scene in self.builder_config.draw(split):
            for place, crop in enumerate(crop_digits(rng, scene)):
                yield f"{key}_{place}", {"image": encode_png(crop), "label": scene["box_labels"][place]}
