"""Masks as pictures: coloured, over an image, and as a PNG with a palette."""

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_mobattn.data.targets import IGNORED

BACKGROUND = "background"
SHARE = 0.55  # of the class's colour over an image
WRONG, RIGHT = (229, 72, 77), (31, 163, 100)
IGNORED_COLOUR = (224, 224, 192)  # Pascal VOC's for its borders
TEXT, LEAST_TEXT = 1 / 18, 9  # of the shorter side, and pixels
LEAST_SHARE = 0.002  # of the pixels, below which a class is not in the legend


def palette():
    """Colours uint8 [256, 3], those of Pascal VOC: class 0 is black."""
    numbers = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):  # red, green and blue take a number's bits in turns, the lowest as their highest
        for channel in range(3):
            colours[:, channel] |= (((numbers >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    colours[IGNORED] = IGNORED_COLOUR
    return colours


def coloured(mask):
    """The mask [h, w] as a picture uint8 [h, w, 3]."""
    return palette()[np.asarray(mask)]


def mask_png(mask):
    """The bytes of a PNG with the palette, whose pixels are the classes' numbers."""
    picture = Image.fromarray(np.asarray(mask, np.uint8), "P")
    picture.putpalette(palette().tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def overlay(image, mask, class_names, legend=True):
    """The image uint8 [h, w, 3] under the colours of its mask; a background stays as it is. With a `legend` the names
    of the classes stand in the upper left corner, the largest first."""
    image, mask = np.asarray(image, np.uint8), np.asarray(mask)
    mixed = np.rint((1 - SHARE) * image + SHARE * coloured(mask)).astype(np.uint8)
    bare = _is_bare(class_names)
    seen = np.where((mask == bare if bare is not None else np.zeros_like(mask, bool))[..., None], image, mixed)
    return _with_legend(seen, mask, class_names) if legend else seen


def difference(truth, mask):
    """Where a mask is right, wrong, and where it doesn't count, as a picture uint8 [h, w, 3]."""
    colours = np.where((np.asarray(truth) == mask)[..., None], np.uint8(RIGHT), np.uint8(WRONG))
    return np.where((np.asarray(truth) == IGNORED)[..., None], np.uint8(IGNORED_COLOUR), colours)


def _is_bare(class_names):
    """The number of the class that isn't coloured; None for none."""
    return 0 if class_names and class_names[0].lower() == BACKGROUND else None


def _with_legend(image, mask, class_names):
    canvas = Image.fromarray(image)
    draw, colours = ImageDraw.Draw(canvas), palette()
    font = ImageFont.load_default(max(LEAST_TEXT, round(TEXT * min(canvas.size))))
    numbers, counts = np.unique(mask, return_counts=True)
    y = 2
    for number, count in sorted(zip(numbers, counts, strict=True), key=lambda each: -each[1]):
        if number in (_is_bare(class_names), IGNORED) or count < LEAST_SHARE * mask.size:
            continue
        text = class_names[number] if number < len(class_names) else f"class {number}"
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        if y + bottom + 4 > canvas.size[1]:
            break
        draw.rectangle((2, y, right + 8, y + bottom + 4), fill=tuple(colours[number].tolist()))
        draw.text((5, y + 1), text, font=font, fill=_readable(colours[number]))
        y += bottom + 6
    return np.asarray(canvas)


def _readable(colour):
    """Black or white, whichever stands out."""
    return "black" if np.dot(colour, (0.299, 0.587, 0.114)) > 140 else "white"
