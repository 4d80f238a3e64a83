"""What no conversion is made of: models, files, images and arguments that do not fit, each refused in a sentence."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from helpers.small_models import CONVERT, SIZE, convert, photos, shared_model, small_model
from keras_mobattn import export
from keras_mobattn.errors import InputError

WRONG_IMAGES = {
    "another size": np.zeros((2, 40, 24, 3), np.uint8),
    "one image without its batch axis": np.zeros((*SIZE, 3), np.uint8),
    "none": np.zeros((0, *SIZE, 3), np.uint8),
    "truth values": np.zeros((2, *SIZE, 3), bool),
    "a list of sizes": [np.zeros((*SIZE, 3)), np.zeros((40, 24, 3))],
    "no element": [],
    "a generator without any": lambda: iter(()),
    "a set without an end": tf.data.Dataset.from_tensors(np.zeros((*SIZE, 3), np.uint8)).repeat(),
    "text": np.full((2, *SIZE, 3), "x"),
    "NaN": np.full((2, *SIZE, 3), np.nan),
}


@pytest.mark.parametrize("images", WRONG_IMAGES.values(), ids=WRONG_IMAGES)
@pytest.mark.parametrize("argument", ["check_images", "representative_images"])
def test_wrong_images_are_refused(images, argument, tmp_path):
    with pytest.raises(InputError, match=f"Expected {argument} (to|of) .*Received: "):
        convert(".tflite", "int8", shared_model(), tmp_path / "model.tflite", **{argument: images})
    assert not list(tmp_path.iterdir())


def refused(message, suffix, model, path, **options):
    with pytest.raises(InputError, match=message):
        (export.to_tflite if suffix == ".tflite" else export.to_coreml)(model, path, **options)


def test_wrong_arguments_are_refused(tmp_path):
    model = shared_model()
    refused("representative_images for precision 'int8'", ".tflite", model, tmp_path / "m.tflite", precision="int8")
    refused(
        "'fp32', 'fp16', 'dynamic', 'int8'. Received: 'fp8'", ".tflite", model, tmp_path / "m.tflite", precision="fp8"
    )
    refused("'fp32', 'fp16'. Received: 'int8'", ".mlpackage", model, tmp_path / "m.mlpackage", precision="int8")
    refused(
        "'iOS18'.*Received: 'iOS9'", ".mlpackage", model, tmp_path / "m.mlpackage", minimum_deployment_target="iOS9"
    )
    refused("ends in .tflite. Received: '.*folder'", ".tflite", model, tmp_path / "folder")
    refused("ends in .mlpackage", ".mlpackage", model, tmp_path / "m.mlmodel")
    assert not list(tmp_path.iterdir())


def unreadable_files(folder):
    """What a user may give by mistake -> what the message says."""
    (folder / "corrupt.keras").write_bytes(b"PK\x03\x04 no archive")
    (folder / "corrupt.h5").write_bytes(b"\x89HDF\r\n\x1a\n no file")
    (folder / "empty").mkdir()
    shared_model().save_weights(folder / "only.weights.h5")
    module = tf.Module()
    module.run = tf.function(lambda x: x, input_signature=[tf.TensorSpec((1,))])
    tf.saved_model.save(module, str(folder / "not_keras"))
    return {
        "absent.keras": "doesn't exist",
        "corrupt.keras": "unreadable",
        "corrupt.h5": "unreadable",
        "empty": "a folder of something else",
        "only.weights.h5": "unreadable",
        "not_keras": "unreadable",
    }


def test_unreadable_files_are_refused(tmp_path):
    for name, message in unreadable_files(tmp_path).items():
        with pytest.raises(InputError, match=f"Received: '.*{name}'.*{message}"):
            export.load(tmp_path / name)
    with pytest.raises(InputError, match="Received: 3"):
        export.load(3)


def unfit_models():
    flexible = keras.Input((None, None, 3))
    two = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    vector, image = keras.Input((5,)), keras.Input((8, 8, 3))
    batch = keras.Input((8, 8, 3), batch_size=4)
    return {
        "any size": (keras.Model(flexible, keras.layers.Conv2D(1, 1)(flexible)), "fixed size .*None, None, 3"),
        "two inputs": (keras.Model(two, keras.layers.Add()(two)), "2 inputs"),
        "no image": (keras.Model(vector, keras.layers.Dense(2)(vector)), "fixed size"),
        "batch of 4": (keras.Model(batch, keras.layers.Conv2D(1, 1)(batch)), r"fixed size .*\[4, 8, 8, 3\]"),
        "not built": (keras.Sequential([keras.layers.Dense(3)]), "0 inputs"),
        "nested outputs": (keras.Model(image, {"a": [image * 2, image * 3]}), "flat list or dict"),
    }


@pytest.mark.parametrize("name", unfit_models())
def test_unfit_models_are_refused(name):
    model, message = unfit_models()[name]
    with pytest.raises(InputError, match=message):
        export.load(model)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_outputs_that_show_nothing_are_refused(value, tmp_path):
    """With all weights 0 every conversion would look right; with NaN none."""
    model = small_model()
    model.set_weights([np.full_like(w, value) for w in model.get_weights()])
    expected = "depend on the image.*randomize_weights" if value == 0 else "finite outputs"
    with pytest.raises(export.VerificationError, match=expected):
        convert(".tflite", "fp32", model, tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", CONVERT)
def test_an_inexpressible_model_is_refused(suffix, tmp_path):
    head = keras.layers.Lambda(lambda x: tf.py_function(lambda v: v, [x], tf.float32))
    refused("operations that", suffix, small_model(head), tmp_path / f"model{suffix}", check_images=photos())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", CONVERT)
def test_a_model_of_keras_3_is_named(suffix, tmp_path):
    import keras as keras_3

    model = keras_3.Sequential([keras_3.Input((8, 8, 3)), keras_3.layers.Conv2D(2, 3)], name="mine")
    with pytest.raises(InputError, match="model of tf_keras.*Received: Sequential 'mine' of Keras 3.*set_weights"):
        convert(suffix, "fp32", model, tmp_path / f"model{suffix}")
    assert not list(tmp_path.iterdir())


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv = keras.layers.Conv2D(2, 3)

    def call(self, image):
        return keras.backend.mean(self.conv(image), axis=(1, 2))


@pytest.mark.parametrize("suffix", CONVERT)
def test_a_subclassed_model_needs_an_input(suffix, tmp_path):
    model = Subclassed()
    model(np.float32(photos(1)[:, :8, :8]))
    with pytest.raises(InputError, match="Received: Subclassed, a subclass of keras.Model .*model[(]image[)][)]"):
        convert(suffix, "fp32", model, tmp_path / f"model{suffix}")
    image = keras.Input((8, 8, 3))  # as the sentence says
    images = photos(4)[:, :8, :8]
    whole = keras.Model(image, model(image))
    convert(suffix, "fp32", whole, tmp_path / f"model{suffix}", check_images=images, input_scale=1)
