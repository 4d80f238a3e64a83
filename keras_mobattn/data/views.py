"""What training sees of the images: one at a time from its file to uint8 pixels, then a batch as the model takes it.

Both halves are functions of their arguments alone: `number` tells an image from all others of a run, and seeds it.
"""

import tensorflow as tf

from keras_mobattn.data.augment import augmenter, random_box
from keras_mobattn.data.decode import decode, decode_crop
from keras_mobattn.data.fit import INTERPOLATIONS, fit, resize, with_size
from keras_mobattn.data.mixing import random_erasing
from keras_mobattn.data.reading import seed_base


def image_view(augmentation, seed):
    """A function (image, (height, width), number int64) -> uint8 [height, width, 3]; `image` as Indexed's."""
    method = INTERPOLATIONS[augmentation.interpolation]

    def seed_of(purpose, number):
        return tf.stack([seed_base(seed, purpose), number])

    def whole(image, image_size, number):
        return fit(decode(image), image_size, method=method)

    def crop(image, image_size, number):
        aspect = image_size[1] / image_size[0]
        area, crop_seed = augmentation.crop_area, seed_of("crop", number)
        pixels = decode_crop(image, lambda shape: random_box(shape, crop_seed, area, aspect))
        return with_size(resize(pixels, image_size, method), image_size)

    def view(image, image_size, number):
        image = (crop if augmentation.crop_area else whole)(image, image_size, number)
        if augmentation.flip:
            flipped = tf.random.stateless_uniform([], seed_of("flip", number)) < 0.5
            image = tf.cond(flipped, lambda: tf.reverse(image, [1]), lambda: image)
        if augmentation.rand_augment:
            image = augmentation.rand_augment(image, seed_of("rand_augment", number))
        if augmentation.erasing:
            noise = augmentation.erasing_noise
            image = random_erasing(image, seed_of("erasing", number), augmentation.erasing, noise)
        return image

    return view


def batch_view(augmentation, classes, seed):
    """A function (images uint8 [B, H, W, 3], labels [B], number) -> (float32 [B, H, W, 3], float32 [B, classes])."""
    vary = augmenter(augmentation) if augmentation.layers else None

    def view(images, labels, number):
        labels = tf.one_hot(labels, classes)
        if vary:
            images = vary(tf.cast(images, tf.float32), tf.stack([seed_base(seed, "layers"), number]))
        if augmentation.mixing:
            return augmentation.mixing(images, labels, tf.stack([seed_base(seed, "mixing"), number]))
        return tf.cast(images, tf.float32), labels

    return view
