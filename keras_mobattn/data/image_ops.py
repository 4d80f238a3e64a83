"""RandAugment's operations on one image, as Pillow computes them: uint8 [H, W, 3] and a number -> uint8 [H, W, 3].

Each equals torchvision's RandAugment of a PIL image to the level. Only geometric operations have a few pixels that are
off by one level, since Pillow's coordinates are float64. They put `fill` where the image has no pixels, and are
bilinear, where timm's are bicubic in a recipe with bicubic crops. docs/measurements.md has the time that each takes.
"""

import functools

import tensorflow as tf

# XLA makes one loop of an operation's arithmetic, inside tf.data too, which is faster; but not for sharpness, and color
# and auto_contrast then differ from Pillow by a level here and there.
compiled = functools.partial(tf.function, jit_compile=True)


def identity(image, value):
    """The image itself."""
    return image


def invert(image, value):
    """Black for white."""
    return 255 - image


def posterize(image, value):
    """Keep the `value` highest bits of each level."""
    shift = tf.cast(8 - tf.cast(value, tf.int32), tf.int32)
    mask = tf.cast(tf.bitwise.left_shift(255, shift) & 255, tf.uint8)
    return tf.bitwise.bitwise_and(image, mask)


def solarize(image, value):
    """Invert levels from `value` up."""
    bright = tf.cast(image, tf.float32) >= value
    return tf.bitwise.bitwise_xor(image, 255 * tf.cast(bright, tf.uint8))  # faster than tf.where


def solarize_add(image, value):
    """Add `value`, a whole number, to levels below 128."""
    added = tf.minimum(255 - image, tf.cast(value, tf.uint8))
    return image + added * tf.cast(image < 128, tf.uint8)


def brightness(image, value):
    """`value` times the image."""
    return _blend(tf.zeros([1, 1, 1]), image, value)


def contrast(image, value):
    """`value` times its difference from its mean grey."""
    mean = tf.reduce_mean(tf.cast(_grey(image), tf.float64))
    return _blend(tf.cast(tf.floor(mean + 0.5), tf.float32), image, value)


def color(image, value):
    """`value` times its difference from grey."""
    return _blend(tf.cast(_grey(image), tf.float32), image, value)


def sharpness(image, value):
    """`value` times its difference from the image smoothed by 3x3 pixels; the outermost pixels stay."""
    pixels = tf.cast(image, tf.float32)
    rows = pixels[:-2] + pixels[1:-1] + pixels[2:]
    inner = pixels[1:-1, 1:-1]
    total = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] + 4 * inner  # the middle counts 5 times, of 13
    smooth = tf.floor(total / 13 + 0.5) - inner
    return _blend(pixels + tf.pad(smooth, [[1, 1], [1, 1], [0, 0]]), image, value)


def auto_contrast(image, value):
    """Spread each channel to 0..255."""
    low, high = (tf.cast(f(image, axis=[0, 1]), tf.float64) for f in (tf.reduce_min, tf.reduce_max))
    scale = tf.math.divide_no_nan(tf.constant(255.0, tf.float64), high - low)
    levels = tf.range(256, dtype=tf.float64)
    table = tf.clip_by_value(tf.floor(levels * scale[:, None] - (low * scale)[:, None]), 0, 255)
    return _look_up(tf.where((high > low)[:, None], table, levels), image)


def equalize(image, value):
    """Give each channel a level histogram."""
    counts = tf.math.bincount(tf.reshape(_with_channel(image), [-1]), minlength=768, maxlength=768)
    counts = tf.reshape(counts, [3, 256])
    brightest = tf.cast(tf.reduce_max(image, axis=[0, 1]), tf.int32)
    last = tf.gather(counts, brightest, batch_dims=1)
    step = (tf.reduce_sum(counts, axis=1) - last) // 255  # [3]
    below = tf.cumsum(counts, axis=1, exclusive=True)
    table = (below + step[:, None] // 2) // tf.maximum(step, 1)[:, None]
    table = tf.where(step[:, None] > 0, tf.clip_by_value(table, 0, 255), tf.range(256))
    return _look_up(table, image)


@compiled
def shear_x(image, value, fill=0):
    """Row y moves left by `value` y pixels, between pixels too."""
    return _move(image, value * (tf.range(tf.cast(tf.shape(image)[0], tf.float32)) + 0.5), 1, fill)


@compiled
def shear_y(image, value, fill=0):
    """Column x moves up by `value` x pixels, between pixels too."""
    return _move(image, value * (tf.range(tf.cast(tf.shape(image)[1], tf.float32)) + 0.5), 0, fill)


@compiled
def translate_x(image, value, fill=0):
    """Move left by `value` pixels, between pixels too."""
    return _move(image, tf.fill([tf.shape(image)[0]], tf.cast(value, tf.float32)), 1, fill)


@compiled
def translate_y(image, value, fill=0):
    """Move up by `value` pixels, between pixels too."""
    return _move(image, tf.fill([tf.shape(image)[1]], tf.cast(value, tf.float32)), 0, fill)


def shift_x(image, value, fill=0):
    """Move left by `value` pixels, a whole number of at most the width."""
    return _shift(image, value, 1, fill)


def shift_y(image, value, fill=0):
    """Move up by `value` pixels, a whole number of at most the height."""
    return _shift(image, value, 0, fill)


@compiled
def rotate(image, value, fill=0):
    """Turn by `value` degrees against the clock, around the middle; bilinear.

    ImageProjectiveTransformV3 is slower, and would need a mask for the border, of which Pillow repeats half a pixel.
    """
    from_x, from_y, inside = _turned(image, value)
    height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
    left, top = tf.floor(from_x), tf.floor(from_y)
    across, down = (from_x - left)[..., None], (from_y - top)[..., None]
    pixels = tf.cast(tf.reshape(image, [-1, 3]), tf.float32)

    def pixel(x, y):
        index = tf.clip_by_value(y, 0.0, height - 1) * width + tf.clip_by_value(x, 0.0, width - 1)
        return tf.gather(pixels, tf.cast(index, tf.int32))  # [H, W, 3]

    upper = pixel(left, top) + across * (pixel(left + 1, top) - pixel(left, top))
    lower = pixel(left, top + 1) + across * (pixel(left + 1, top + 1) - pixel(left, top + 1))
    turned = tf.cast(upper + down * (lower - upper), tf.uint8)
    return tf.where(inside[..., None], turned, tf.cast(fill, tf.uint8))


@compiled
def rotate_nearest(mask, value, fill):
    """As `rotate` turns an image, a mask uint8 [H, W, 1]: each pixel has the class of the nearest one, or `fill`."""
    from_x, from_y, inside = _turned(mask, value)
    height, width = tf.unstack(tf.shape(mask)[:2])
    x, y = (tf.cast(tf.floor(each + 0.5), tf.int32) for each in (from_x, from_y))
    index = tf.clip_by_value(y, 0, height - 1) * width + tf.clip_by_value(x, 0, width - 1)
    return tf.where(inside[..., None], tf.gather(tf.reshape(mask, [-1, 1]), index), tf.cast(fill, tf.uint8))


def _turned(image, value):
    """Where each pixel comes from, x and y float32 [H, W], when an image is turned by `value` degrees against the clock
    around its middle; and whether that is inside of it."""
    height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
    angle = value * (3.141592653589793 / 180)
    cos, sin = tf.cos(angle), tf.sin(angle)
    x, y = tf.range(width)[None, :] + 0.5 - width / 2, tf.range(height)[:, None] + 0.5 - height / 2
    from_x, from_y = cos * x - sin * y + width / 2 - 0.5, sin * x + cos * y + height / 2 - 0.5
    inside = (from_x >= -0.5) & (from_x < width - 0.5) & (from_y >= -0.5) & (from_y < height - 0.5)
    return from_x, from_y, inside


def _shift(image, value, axis, fill):
    value, shape = tf.cast(value, tf.int32), tf.shape(image)
    along = tf.one_hot(axis, 3, dtype=tf.int32)
    empty = tf.broadcast_to(tf.cast(fill, tf.uint8), shape + along * (tf.abs(value) - shape))
    return tf.slice(tf.concat([empty, image, empty], axis), along * (tf.abs(value) + value), shape)


def _move(image, shift, axis, fill):
    """Rows moved left (axis 1) or columns up (axis 0) by `shift` pixels, one number for each; bilinear."""
    height, width = tf.unstack(tf.shape(image)[:2])
    y, x = tf.range(height)[:, None], tf.range(width)[None, :]
    weight = shift - tf.floor(shift)
    if axis == 1:
        at, last, weight = tf.cast(x, tf.float32) + shift[:, None], width - 1, weight[:, None]
    else:
        at, last, weight = tf.cast(y, tf.float32) + shift, height - 1, tf.repeat(weight, 3)
    last = tf.cast(last, tf.float32)
    inside = (at >= -0.5) & (at < last + 0.5)  # half a pixel of border is repeated, as Pillow does it
    pixels = tf.cast(tf.reshape(image, [-1, 3]), tf.float32)
    pixels = tf.concat([pixels, tf.broadcast_to(tf.cast(fill, tf.float32), [1, 3])], axis=0)

    def pixel(at):
        index = tf.cast(tf.clip_by_value(at, 0.0, last), tf.int32)
        index = width * y + index if axis == 1 else width * index + x
        return tf.reshape(tf.gather(pixels, tf.where(inside, index, height * width)), [height, 3 * width])

    near, far = pixel(tf.floor(at)), pixel(tf.floor(at) + 1)
    return tf.reshape(tf.cast(near + weight * (far - near), tf.uint8), tf.shape(image))


def _blend(other, image, value):
    """From `other` (value 0) to the image (1) and beyond, rounded down."""
    mixed = other + value * (tf.cast(image, tf.float32) - other)
    return tf.cast(tf.clip_by_value(mixed, 0.0, 255.0), tf.uint8)


def _grey(image):
    """ITU-R 601-2 luma as Pillow rounds it: int32 [H, W, 1]."""
    red, green, blue = tf.split(tf.cast(image, tf.int32), 3, axis=-1)
    return tf.bitwise.right_shift(19595 * red + 38470 * green + 7471 * blue + 2**15, 16)


def _look_up(table, image):
    """`table` [3, 256] at each level of each channel."""
    table = tf.reshape(tf.cast(table, tf.uint8), [-1])
    return tf.reshape(tf.gather(table, _with_channel(image)), tf.shape(image))


def _with_channel(image):
    """level + 256 channel: int32 [H, 3 W], since broadcasting along three channels is slow."""
    shape = tf.shape(image)
    channels = tf.tile(256 * tf.range(3), [shape[1]])
    return tf.cast(tf.reshape(image, [shape[0], 3 * shape[1]]), tf.int32) + channels
