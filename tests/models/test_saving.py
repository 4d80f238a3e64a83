"""Models of every style through every way of saving."""

import subprocess
import sys

import numpy as np
import pytest
import tf_keras as keras

from helpers.cases import RECORDS, STYLE_CASES, STYLES
from helpers.memory import forgetting_gradients
from keras_mobattn import feature_pyramid


@pytest.fixture(autouse=True)
def forget_gradients_of_each():
    """A SavedModel that is loaded has all its weights in its functions: 55 of them would keep 8 GB."""
    with forgetting_gradients():
        yield


def two_images(side=64):
    """Noise and a ramp: images that any network tells apart."""
    noise = np.random.default_rng(0).uniform(0, 255, (side, side, 3))
    ramp = np.linspace(0, 255, side)[:, None, None] * np.array([1, 0.5, 0])
    return np.stack([noise, np.broadcast_to(ramp, noise.shape)]).astype("float32")


@pytest.mark.parametrize(("family", "attention"), STYLE_CASES)
def test_reload_predicts_the_same(family, attention, tiny_model, tmp_path):
    model = tiny_model(family, attention)
    x = two_images()
    expected = model(x).numpy()
    np.testing.assert_allclose(expected.sum(-1), 1, atol=1e-5)
    assert np.abs(expected[0] - expected[1]).max() > 1e-4  # the output depends on the image
    for suffix in (".keras", ".h5"):
        model.save(tmp_path / f"m{suffix}", save_format=suffix[1:])
        again = keras.models.load_model(tmp_path / f"m{suffix}")
        np.testing.assert_array_equal(again(x).numpy(), expected)
        assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
        p4 = feature_pyramid(again, ["P4"])(x)["P4"]
        np.testing.assert_array_equal(p4, feature_pyramid(model, ["P4"])(x)["P4"])


@pytest.mark.slow  # test_import and test_conversions have quick ones
@pytest.mark.parametrize(("family", "attention"), STYLES)
def test_saved_model_predicts_the_same(family, attention, tiny_model, tmp_path):
    model = tiny_model(family, attention)
    x = two_images()
    model.save(tmp_path / "m", save_format="tf")
    again = keras.models.load_model(tmp_path / "m")
    np.testing.assert_allclose(again(x).numpy(), model(x).numpy(), atol=1e-6)
    assert set(feature_pyramid(again)(x)) == {f"P{level}" for level in RECORDS[family].pyramid}


@pytest.mark.slow  # test_import has a quick one
def test_reloads_in_a_new_process_without_custom_objects(tiny_model, tmp_path):
    tiny_model("MobileViT", "mobile").save(tmp_path / "m.keras")
    code = "import keras_mobattn, tf_keras; print(tf_keras.models.load_model('m.keras').name)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "mobilevit_test\n"
