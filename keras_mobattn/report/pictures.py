"""Images for reports: framed to one size, and as the bytes of a PNG."""

import io

import numpy as np

SIDE = 512  # pixels
LETTERS = 17  # under an image of a grid


def sized(image, side=SIDE):
    """An image uint8 [h, w, 3], its longer side `side` pixels."""
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.contain(Image.fromarray(np.asarray(image)), (side, side)))


def framed(image, side=SIDE):
    """An image uint8 [h, w, 3] on white, `side` pixels a side."""
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.pad(Image.fromarray(np.asarray(image)), (side, side), color="white"))


def png(image):
    """The bytes of a PNG of an image uint8 [h, w, 3]."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(file, "PNG")
    return file.getvalue()


def under(words):
    """Words as they fit under an image of a grid."""
    return words if len(words) <= LETTERS else f"{words[: LETTERS - 4].rstrip()} ..."
