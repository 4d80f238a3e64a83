"""Cut the digits out of `digit_scenes`, 32x32 pixels around each, into a folder of images with one sub-folder a digit.

python tests/make_scene_crops.py runs/crops

A model that has learnt to read them first (97 % in 5 epochs) learns the scenes in 8 epochs (82 %); from random weights
it was at 10 to 18 % after 14. README.md's figures on what int8 costs are from such a model.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

import keras_mobattn.data.digit_scenes

SIDE = 32
JITTER = 3  # pixels: the digit need not be in the middle


def main(folder):
    """Write FOLDER/train/DIGIT/*.png and FOLDER/test/DIGIT/*.png."""
    builder = tfds.builder("digit_scenes")
    builder.download_and_prepare()
    farthest = keras_mobattn.data.digit_scenes.CANVAS - SIDE
    for split in ("train", "test"):
        rng = np.random.RandomState(0)
        for number, scene in enumerate(tfds.as_numpy(builder.as_dataset(split=split))):
            for place, (box, digit) in enumerate(zip(*scene["objects"].values(), strict=True)):
                centre = scene["image"].shape[0] * (box[:2] + box[2:]) / 2
                top, left = (centre - SIDE / 2 + rng.randint(-JITTER, JITTER + 1, 2)).clip(0, farthest).astype(int)
                target = folder / split / str(digit)
                target.mkdir(parents=True, exist_ok=True)
                Image.fromarray(scene["image"][top : top + SIDE, left : left + SIDE]).save(
                    target / f"{number}_{place}.png"
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
