"""What training sees of the images: one at a time from its file to uint8 pixels, then a batch as the model takes it.

Both halves are functions of their arguments alone: `number` tells an image from all others of a run, and seeds it.
"""

import tensorflow as tf

from keras_mobattn.data.augment import augmenter, random_crop
from keras_mobattn.data.decode import decode
from keras_mobattn.data.fit import fit, to_uint8, with_size
from keras_mobattn.data.reading import seed_base


def image_view(augmentation, seed):
    """A function (image, (height, width), number int64) -> uint8 [height, width, 3]; `image` as Indexed's."""
    base = seed_base(seed, "image")

    def view(image, image_size, number):
        if not augmentation.crop_area:
            return fit(decode(image), image_size)
        crop = random_crop(decode(image), tf.stack([base, number]), augmentation.crop_area, image_size)
        return with_size(to_uint8(crop), image_size)

    return view


def batch_view(augmentation, classes, seed):
    """A function (images uint8 [B, H, W, 3], labels [B], number) -> (float32 [B, H, W, 3], float32 [B, classes])."""
    base = seed_base(seed, "batch")
    vary = augmenter(augmentation) if augmentation.layers else lambda images, seed: images

    def view(images, labels, number):
        return vary(tf.cast(images, tf.float32), tf.stack([base, number])), tf.one_hot(labels, classes)

    return view
