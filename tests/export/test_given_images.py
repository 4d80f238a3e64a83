"""Images for the check and for int8 in every form that TensorFlow's users have them in."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from helpers.small_models import photos, shared_model
from keras_mobattn import InputError, export
from keras_mobattn.export import given_images
from keras_mobattn.export.given_images import as_images

IMAGES = photos(6)
LABELS = np.arange(6)
FORMS = {
    "array": IMAGES,
    "wide integers": IMAGES.astype(np.int64),
    "tensor": tf.constant(IMAGES),
    "float64": IMAGES.astype(np.float64),
    "list of images": list(IMAGES),
    "list of batches": [IMAGES[:4], IMAGES[4:]],
    "nested lists": IMAGES.tolist(),
    "tuple of tensors": tuple(map(tf.constant, IMAGES)),
    "set": tf.data.Dataset.from_tensor_slices(IMAGES),
    "batched set": tf.data.Dataset.from_tensor_slices(IMAGES).batch(4),
    "set with labels": tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(4),
    "set of dicts": tf.data.Dataset.from_tensor_slices({"image": IMAGES}),
    "generator": (image for image in IMAGES),
    "generator function": lambda: (image for image in IMAGES),
    "representative_dataset": lambda: ([image[None].astype(np.float32)] for image in IMAGES),
    "representative_dataset of dicts": lambda: ({"image": image[None]} for image in IMAGES),
    "function that returns an array": lambda: IMAGES,
    "Keras's generator": keras.preprocessing.image.ImageDataGenerator().flow(IMAGES, LABELS, 4, shuffle=False),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_images(form):
    received = as_images(FORMS[form], export.load(shared_model()), "check_images")
    assert received.dtype == np.float32
    np.testing.assert_array_equal(received, IMAGES)


def test_a_generator_that_never_ends(monkeypatch):
    monkeypatch.setattr(given_images, "MOST", 20)
    with pytest.raises(InputError, match="Expected up to 20 images as check_images, of 4 GB at most. Received: more"):
        as_images(itertools.cycle(IMAGES), export.load(shared_model()), "check_images")


def test_images_of_other_channels():
    with pytest.raises(InputError, match=r"Received: uint8 \[6, .*, 1\]. The model takes 3 channels"):
        as_images(IMAGES[..., :1], export.load(shared_model()), "check_images")


def test_int8_by_a_representative_dataset_is_int8_by_an_array(tmp_path):
    for name, images in (("array", IMAGES), ("function", FORMS["representative_dataset"])):
        export.to_tflite(shared_model(), tmp_path / f"{name}.tflite", "int8", images, tolerance=export.Tolerance(1.0))
    assert (tmp_path / "array.tflite").read_bytes() == (tmp_path / "function.tflite").read_bytes()
