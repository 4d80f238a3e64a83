"""Encoded images to pixels, the same as Pillow's for all files that `image_file` calls plain.

dct_method INTEGER_ACCURATE gives Pillow's pixels of a JPEG exactly. TensorFlow's default, INTEGER_FAST, is off by up to
9 levels and no faster; without fancy upscaling colours are off by up to 34.
"""

import tensorflow as tf

JPEG = {"channels": 3, "dct_method": "INTEGER_ACCURATE"}


def decode(image, orientation=None):
    """The pixels, uint8 [h, w, 3] RGB, of a JPEG, PNG, BMP or GIF (its first frame); transparency is dropped.

    `image` is the file's bytes, or pixels already. With `orientation`, EXIF's 1 to 8, int32, it is turned upright; None
    leaves it as it is stored.
    """
    if image.dtype == tf.string:
        image = tf.cond(tf.io.is_jpeg(image), lambda: tf.io.decode_jpeg(image, **JPEG), lambda: _decode_other(image))
    return tf.ensure_shape(_upright(image, orientation), [None, None, 3])


def decode_mask(mask):
    """The class of each pixel, uint8 [h, w, 1], from the bytes of a PNG or from pixels already."""
    return tf.io.decode_png(mask, channels=1) if mask.dtype == tf.string else mask


def encode_mask(mask):
    """The bytes of a PNG of a mask, a scalar string, from its pixels or from these bytes already."""
    return mask if mask.dtype == tf.string else tf.io.encode_png(mask)


def decode_crop(image, choose_box, orientation=None):
    """A box of the upright image: (uint8 [h, w, 3], the whole image's shape, begin and size of the box, int32 [2]
    each).

    `choose_box` is a function from the whole image's (height, width), int32 [2], to the box's (top, left) and (height,
    width). Of a JPEG only the box is decoded.
    """

    def of_pixels(whole):
        shape = tf.shape(whole)[:2]
        begin, size = choose_box(shape)
        return _cut(whole, begin, size), shape, begin, size

    if image.dtype != tf.string:
        return of_pixels(_upright(image, orientation))

    def of_jpeg():
        stored = tf.io.extract_jpeg_shape(image)[:2]
        shape = _swapped(stored, orientation)
        begin, size = choose_box(shape)
        first, extent = _stored_box(begin, size, shape, orientation)
        # One pixel more on each side: at the border of the decoded part, colours have no neighbour to be interpolated
        # with, and would be off by up to 11 levels.
        outer = tf.maximum(first - 1, 0)
        end = tf.minimum(first + extent + 1, stored)
        pixels = tf.image.decode_and_crop_jpeg(image, tf.concat([outer, end - outer], 0), **JPEG)
        return _upright(_cut(pixels, first - outer, extent), orientation), shape, begin, size

    pixels, *box = tf.cond(
        tf.io.is_jpeg(image), of_jpeg, lambda: of_pixels(_upright(_decode_other(image), orientation))
    )
    return tf.ensure_shape(pixels, [None, None, 3]), *box


# EXIF's orientations as the steps that turn the stored image upright: rows and columns change places (5 to 8), then
# rows are flipped, then columns.
FLIPPED_ROWS = (3, 4, 7, 8)
FLIPPED_COLUMNS = (2, 3, 6, 7)


def _upright(image, orientation):
    if orientation is None:
        return image

    def turned():
        swapped = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        rows = tf.cond(_among(orientation, FLIPPED_ROWS), lambda: tf.reverse(swapped, [0]), lambda: swapped)
        return tf.cond(_among(orientation, FLIPPED_COLUMNS), lambda: tf.reverse(rows, [1]), lambda: rows)

    return tf.cond(orientation > 1, turned, lambda: image)


def _stored_box(begin, size, shape, orientation):
    """Begin and size, in the stored image, of a box of the upright one, which has `shape`."""
    if orientation is None:
        return begin, size
    flipped = tf.stack([_among(orientation, FLIPPED_ROWS), _among(orientation, FLIPPED_COLUMNS)])
    begin = tf.where(flipped, shape - begin - size, begin)
    return _swapped(begin, orientation), _swapped(size, orientation)


def _swapped(pair, orientation):
    """A pair (vertical, horizontal) of the stored image, in the upright one; and back."""
    return pair if orientation is None else tf.where(orientation >= 5, pair[::-1], pair)


def _among(orientation, values):
    return tf.reduce_any(orientation == tf.constant(values))


def _decode_other(image):
    return tf.ensure_shape(tf.io.decode_image(image, channels=3, expand_animations=False), [None, None, 3])


def _cut(image, begin, size):
    return tf.slice(image, tf.pad(begin, [[0, 1]]), tf.concat([size, [3]], 0))
