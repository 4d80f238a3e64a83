"""Boxes with their names, drawn into an image."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# By class, in turns: all stand out on light and on dark, and from their neighbours.
COLOURS = (
    "#3b82f6", "#f0852d", "#1fa463", "#e5484d", "#9b5de5", "#0fa3b1", "#e04e9d", "#a8744f", "#97991c", "#d9a400",
)  # fmt: skip
LINE, TEXT = 1 / 160, 1 / 20  # thickness and letters, shares of the image's shorter side
LEAST_LINE, LEAST_TEXT = 1, 9  # pixels


def colours_of(labels):
    """A colour for each label."""
    return [COLOURS[label % len(COLOURS)] for label in labels]


def draw_boxes(image, boxes, colours, texts):
    """The image uint8 [h, w, 3] with boxes, corners [n, 4] in pixels; "" draws no text."""
    canvas = Image.fromarray(np.asarray(image, np.uint8))
    draw, side = ImageDraw.Draw(canvas), min(canvas.size)
    line, font = max(LEAST_LINE, round(LINE * side)), ImageFont.load_default(max(LEAST_TEXT, round(TEXT * side)))
    for (top, left, bottom, right), colour, text in zip(boxes, colours, texts, strict=True):
        draw.rectangle((left, top, max(right - 1, left), max(bottom - 1, top)), outline=colour, width=line)
        if text:
            _write(draw, text, (left, top), colour, font, canvas.size)
    return np.asarray(canvas)


def _write(draw, text, corner, colour, font, size):
    """The text on its colour, above the corner, or below it at the image's upper border; inside of the image."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    x = min(max(corner[0], 0), max(size[0] - right - 2, 0))
    y = corner[1] - bottom - 2 if corner[1] >= bottom + 2 else corner[1]
    draw.rectangle((x, y, x + right + 2, y + bottom + 2), fill=colour)
    draw.text((x + 1, y), text, fill="white", font=font)
