"""What training and evaluation see of the examples: from an example to its view, then from a batch of views to labels.

Both are functions of their arguments alone: `number` tells an image from all others of a run, and seeds its draws.
"""

import dataclasses

import tensorflow as tf

from keras_mobattn.data.augment import augmenter, random_box
from keras_mobattn.data.blur import random_blur
from keras_mobattn.data.decode import decode, decode_crop, decode_mask, encode_mask
from keras_mobattn.data.image_ops import rotate
from keras_mobattn.data.mixing import random_erasing
from keras_mobattn.data.object_crop import object_crop
from keras_mobattn.data.reading import seed_base
from keras_mobattn.data.resizing import INTERPOLATIONS, covering_size, resize, with_size
from keras_mobattn.data.scaled_crop import crop_corner, scaled_size
from keras_mobattn.data.targets import SIDES, WHOLE_MASK, Geometry, moved


def example_view(augmentation, seed, targets=("label",), crop=1.0, interpolation=None):
    """A function (example, (height, width), number int64) -> {"image": uint8 [height, width, 3], target: ..}.

    The geometry is drawn once and applied to the image and to all `targets`; what changes colours is for the image
    alone. Without random crops the image is seen as `data.resize_and_crop` sees it with `crop` and `interpolation`
    (default: the augmentation's). The example's image may be encoded, as Indexed's, and have an "orientation". Beside
    boxes stand SIDES, beside a mask WHOLE_MASK.
    """
    see = image_view(augmentation, seed, crop, interpolation)

    def view(example, image_size, number):
        around = example["boxes"] if augmentation.object_crop else None
        if augmentation.short_side and "mask" in targets:
            around = decode_mask(example["mask"])
        image, geometry = see(example["image"], image_size, number, example.get("orientation"), around)
        given = {name: example[name] for name in targets}
        whole = {SIDES: tf.cast(geometry.shape, tf.int32)} if "boxes" in targets else {}
        whole |= {WHOLE_MASK: encode_mask(given["mask"])} if "mask" in targets else {}
        return {"image": image} | moved(given, geometry) | whole

    return view


def image_view(augmentation, seed, crop=1.0, interpolation=None):
    """A function (image, (height, width), number int64, orientation=None, beside=None) -> (uint8 [height, width, 3],
    its Geometry).

    With EXIF's `orientation` the image is turned upright, and the Geometry is the upright image's. `beside` is what an
    augmentation crops by: with `object_crop` boxes, with `short_side` a mask's pixels, where there is one.
    """
    method = INTERPOLATIONS[interpolation or augmentation.interpolation]

    def seed_of(purpose, number):
        return tf.stack([seed_base(seed, purpose), number])

    def whole(image, image_size, number, orientation, boxes):
        pixels = decode(image, orientation)
        shape = tf.shape(pixels)[:2]
        if crop is None:
            return resize(pixels, image_size, method), Geometry(shape, (0, 0), shape, image_size, (0, 0), image_size)
        scaled, offset = covering_size(shape, image_size, crop)
        top, left = offset
        pixels = resize(pixels, scaled, method)[top : top + image_size[0], left : left + image_size[1]]
        return pixels, Geometry(shape, (0, 0), shape, scaled, offset, image_size)

    def around(image, image_size, number, orientation, boxes):
        crop_seed = seed_of("crop", number)
        pixels, *box = decode_crop(image, lambda shape: object_crop(shape, boxes, crop_seed), orientation)
        geometry = Geometry(*box, image_size, (0, 0), image_size, centred=True)
        return resize(pixels, image_size, method), geometry

    def part(image, image_size, number, orientation, boxes):
        aspect = image_size[1] / image_size[0]
        area, crop_seed = augmentation.crop_area, seed_of("crop", number)
        pixels, *box = decode_crop(image, lambda shape: random_box(shape, crop_seed, area, aspect), orientation)
        return resize(pixels, image_size, method), Geometry(*box, image_size, (0, 0), image_size)

    def scaled_part(image, image_size, number, orientation, mask):
        pixels = decode(image, orientation)
        shape = tf.shape(pixels)[:2]
        scaled = scaled_size(shape, image_size, augmentation.short_side, seed_of("size", number))
        corner = crop_corner(scaled, image_size, seed_of("crop", number), mask)
        geometry = Geometry(shape, (0, 0), shape, scaled, corner, image_size)
        (top, left), (height, width) = tf.unstack(corner), tf.unstack(geometry.shown)
        return resize(pixels, tf.unstack(scaled), method)[top : top + height, left : left + width], geometry

    see = around if augmentation.object_crop else part if augmentation.crop_area else whole
    see = scaled_part if augmentation.short_side else see

    def view(image, image_size, number, orientation=None, beside=None):
        image, geometry = see(image, image_size, number, orientation, beside)
        if augmentation.flip:
            flipped = tf.random.stateless_uniform([], seed_of("flip", number)) < 0.5
            geometry = dataclasses.replace(geometry, flipped=flipped)
            image = tf.cond(flipped, lambda: tf.reverse(image, [1]), lambda: image)
        if augmentation.short_side:
            image = geometry.fill(image, 0)
        image = with_size(image, image_size)
        if augmentation.blur:
            image = random_blur(image, seed_of("blur", number), augmentation.blur)
        if augmentation.photometric:
            image = augmentation.photometric(image, seed_of("photometric", number))
        if augmentation.rotation:
            share = tf.random.stateless_uniform([], seed_of("rotation", number), -1.0, 1.0)
            geometry = dataclasses.replace(geometry, angle=augmentation.rotation * share)
            image = rotate(image, geometry.angle)
        if augmentation.rand_augment:
            image = augmentation.rand_augment(image, seed_of("rand_augment", number))
        if augmentation.erasing:
            noise = augmentation.erasing_noise
            image = random_erasing(image, seed_of("erasing", number), augmentation.erasing, noise)
        return image, geometry

    return view


def batch_view(augmentation, task, source, seed, truth=()):
    """A function (views {"image": uint8 [B, H, W, 3], target: ..}, number) -> (images float32, labels).

    The labels are the result of `task.encode`, mixed as the images are; with names of targets as `truth`, for an
    evaluation, these stand beside them as they are.
    """
    vary = augmenter(augmentation) if augmentation.layers else None

    def view(views, number):
        images = views["image"]
        if vary:
            images = vary(tf.cast(images, tf.float32), tf.stack([seed_base(seed, "layers"), number]))
        given = {name: value for name, value in views.items() if name != "image"}
        learned = task.encode(images, given, source)
        if augmentation.mixing:
            return augmentation.mixing(images, learned, tf.stack([seed_base(seed, "mixing"), number]))
        if truth:
            learned = learned | {name: given[name] for name in truth}
        return tf.cast(images, tf.float32), learned

    return view
