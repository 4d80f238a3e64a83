"""Images with labels, as tf.data: tfds sets, the embedded `digits` and `digit_scenes`, and folders of images."""

from keras_mobattn.data.augment import AUGMENTATIONS
from keras_mobattn.data.image_file import read_image
from keras_mobattn.data.photos import sample_photos
from keras_mobattn.data.pipeline import batches, fit_image, take_images
from keras_mobattn.data.sources import Source, open_source

__all__ = [
    "AUGMENTATIONS",
    "Source",
    "batches",
    "fit_image",
    "open_source",
    "read_image",
    "sample_photos",
    "take_images",
]
