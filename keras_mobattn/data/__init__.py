"""Images with their targets, as tf.data: tfds sets, folders, and three embedded sets that need no download."""

import keras_mobattn._tensorflow  # noqa: F401  first: quietly
from keras_mobattn.catalog import AUGMENTATIONS
from keras_mobattn.data.image_file import read_image
from keras_mobattn.data.photos import photo_source, sample_photos
from keras_mobattn.data.pipeline import batches, take_images
from keras_mobattn.data.reading import Indexed, Sharded
from keras_mobattn.data.resizing import resize_and_crop
from keras_mobattn.data.source import Source
from keras_mobattn.data.sources import is_folder, open_source
from keras_mobattn.data.step_plan import StepPlan
from keras_mobattn.data.stream import Share, training_stream
from keras_mobattn.data.targets import LABELS, MOVES, Labels

fit_image = resize_and_crop  # its earlier name

__all__ = [
    "AUGMENTATIONS",
    "LABELS",
    "Labels",
    "MOVES",
    "Indexed",
    "Share",
    "Sharded",
    "Source",
    "StepPlan",
    "batches",
    "fit_image",
    "is_folder",
    "open_source",
    "photo_source",
    "read_image",
    "resize_and_crop",
    "sample_photos",
    "take_images",
    "training_stream",
]
