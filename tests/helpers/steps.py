"""A picture of coloured steps, and the orientation that a phone writes beside one."""

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 40
ORIENTATION = 0x0112
rng = np.random.default_rng(0)
STEPS = np.kron(rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)


def exif(orientation):
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags.tobytes()
