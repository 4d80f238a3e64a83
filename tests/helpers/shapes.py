"""A small folder of images of discs and squares on noise, with masks: three splits, three classes."""

import numpy as np
from PIL import Image

NAMES = ("background", "disc", "square")
SIZE = (40, 60)  # height, width
SPLITS = {"train": 12, "val": 4, "test": 4}
IGNORED = 255


def scene(rng, size=SIZE):
    """(image uint8 [h, w, 3], mask uint8 [h, w]) of a disc and a square; a row counts nowhere."""
    y, x = np.mgrid[: size[0], : size[1]]
    image = rng.integers(90, 160, (*size, 3))
    mask = np.zeros(size, np.uint8)
    places = [(rng.integers(8, size[0] - 8), rng.integers(8, half - 8) + left) for left, half in ((0, 30), (30, 30))]
    shapes = [(y - top) ** 2 + (x - left) ** 2 < 49 if number == 0 else np.maximum(abs(y - top), abs(x - left)) < 7
              for number, (top, left) in enumerate(places)]  # fmt: skip
    for number, (shape, colour) in enumerate(zip(shapes, ((220, 40, 40), (40, 60, 220)), strict=True), 1):
        image[shape] = colour + rng.integers(-20, 20, (shape.sum(), 3))
        mask[shape] = number
    mask[-1] = IGNORED
    return image.clip(0, 255).astype(np.uint8), mask


def write_shapes(folder):
    """images/SPLIT/*.png, masks/SPLIT/*.png and classes.txt; return the folder."""
    for seed, (split, count) in enumerate(SPLITS.items()):
        rng = np.random.default_rng(seed)
        for kind in ("images", "masks"):
            (folder / kind / split).mkdir(parents=True)
        for number in range(count):
            for kind, pixels in zip(("images", "masks"), scene(rng), strict=True):
                Image.fromarray(pixels).save(folder / kind / split / f"{split}{number}.png")
    (folder / "classes.txt").write_text("\n".join(NAMES) + "\n")
    return folder
