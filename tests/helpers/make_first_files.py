"""Write tests/fixtures/first_files/, which hold what users have on disk: tests/models/test_first_files.py opens it.

The files there were written by the package as it was before its rooms were laid out (commit ff2c154, tf-keras 2.21):
run it only to add a kind of file that is missing, on a commit whose files are known to be right.

    python tests/helpers/make_first_files.py tests/fixtures/first_files
"""

import importlib
import json
import os
import pkgutil
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import tf_keras as keras

import keras_mobattn
from keras_mobattn.models import MODELS
from keras_mobattn.training import Execution, Stopped, TrainSettings, train

SETTINGS = TrainSettings(variant="test", width=0.25, epochs=2, batch_size=128, warmup_epochs=0.5, seed=3)
STOP_AFTER = 15  # of 22 steps: in the second epoch
IMAGES = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")


class StopAt(keras.callbacks.Callback):
    """SIGTERM after so many steps, as from a machine that is taken back."""

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.state.step.numpy()) == STOP_AFTER:
            os.kill(os.getpid(), signal.SIGTERM)


def write_run(folder):
    """A run that was stopped in its second epoch, and what the same run predicts when it is not stopped."""
    with tempfile.TemporaryDirectory() as beside:
        train(SETTINGS, Path(beside) / "whole", progress=False)
        whole = keras.models.load_model(Path(beside) / "whole" / "model.keras").predict(IMAGES, verbose=0)
        run = Path(beside) / "run"
        try:
            train(SETTINGS, run, execution=Execution(keep_checkpoints=1), progress=False, callbacks=[StopAt()])
        except Stopped as stopped:
            print(stopped)
        for name in ("tensorboard", "best.keras"):
            path = run / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.make_archive(str(folder / "run"), "xztar", run)
    return whole


def public_names():
    """{package: its __all__} of the package and its sub-packages."""
    packages = ["keras_mobattn", *(f"keras_mobattn.{m.name}" for m in pkgutil.iter_modules(keras_mobattn.__path__))]
    modules = {name: importlib.import_module(name) for name in packages}
    return {name: sorted(module.__all__) for name, module in modules.items() if hasattr(module, "__all__")}


def layer_names():
    """{family: {attention: the names of all layers}} of the test variants."""
    return {
        family: {
            attention: [layer.name for layer in function(variant="test", attention=attention, classes=10).layers]
            for attention in ("own", "mobile")
        }
        for family, function in MODELS.items()
    }


def main(folder):
    """Write all of them."""
    folder.mkdir(exist_ok=True)
    model = keras_mobattn.MobileViTv2(0.25, "mobile", "test", input_shape=(32, 32, 3), classes=10)
    keras_mobattn.randomize_weights(model)
    with tempfile.TemporaryDirectory() as beside:
        for name in ("model.keras", "model.h5"):
            model.save(Path(beside) / name)
        model.save(Path(beside) / "saved_model", save_format="tf")
        shutil.make_archive(str(folder / "models"), "xztar", beside)
    np.savez(folder / "predictions.npz", model=model.predict(IMAGES, verbose=0), run=write_run(folder))
    for name, value in {"public_names": public_names(), "layer_names": layer_names()}.items():
        (folder / f"{name}.json").write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
