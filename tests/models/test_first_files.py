"""Files and names of the package as it once was: they open, resume, predict and import the same ever after."""

import importlib
import json
import tarfile

import numpy as np
import pytest
import tf_keras as keras

from helpers import FIXTURES
from keras_mobattn.models import MODELS, load_model
from keras_mobattn.training import load_settings, read_history, train

FILES = FIXTURES / "first_files"  # made by helpers/make_first_files.py
IMAGES = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
PREDICTIONS = np.load(FILES / "predictions.npz")
PUBLIC, LAYERS = (json.loads((FILES / f"{name}.json").read_text()) for name in ("public_names", "layer_names"))
MOVED = {"keras_mobattn.comparison": "keras_mobattn.studies.comparison"}  # of a script's, never in the README


@pytest.fixture(name="unpacked", scope="module")
def unpacked_fixture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first")
    for name in ("models", "run"):
        with tarfile.open(FILES / f"{name}.tar.xz") as archive:
            archive.extractall(folder / name, filter="data")
    return folder


@pytest.mark.parametrize("package", PUBLIC)
def test_every_name_can_be_imported(package):
    module = importlib.import_module(MOVED.get(package, package))
    assert not [name for name in PUBLIC[package] if not hasattr(module, name)]


@pytest.mark.parametrize("name", ["model.keras", "model.h5", pytest.param("saved_model", marks=pytest.mark.slow)])
def test_models_predict_the_same(unpacked, name):
    model = load_model(unpacked / "models" / name)
    # Another processor than the one that wrote them adds up in another order: 1.2e-6 was seen.
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), PREDICTIONS["model"], atol=5e-6)
    model = keras.models.load_model(unpacked / "models" / name)  # as a user does it, without custom_objects
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), PREDICTIONS["model"], atol=5e-6)


@pytest.mark.slow
def test_run_goes_on_and_ends_the_same(unpacked):
    settings = load_settings(unpacked / "run" / "settings.json")
    result = train(settings, unpacked / "run", resume=True, progress=False)
    assert (result["steps"], result["epochs"], result["dataset"]) == (22, 2, "digits")
    assert [row["epoch"] for row in read_history(unpacked / "run" / "history.csv")] == [1, 2]
    model = load_model(unpacked / "run" / "model.keras")
    # Bit for bit on the processor that wrote it; others add up in another order, 22 steps long.
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), PREDICTIONS["run"], atol=2e-3)


@pytest.mark.parametrize("family", LAYERS)
def test_layers_keep_their_names(family):
    for attention, names in LAYERS[family].items():
        model = MODELS[family](variant="test", attention=attention, classes=10)
        assert [layer.name for layer in model.layers] == names
