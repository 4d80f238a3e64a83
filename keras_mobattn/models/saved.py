"""Reading whole models from disk."""

from pathlib import Path

import tf_keras as keras

from keras_mobattn._quiet import quiet_stderr
from keras_mobattn._types import PathLike
from keras_mobattn.errors import InputError
from keras_mobattn.run_folder import RunFolder

_RUN = RunFolder(".")
RUN_SETTINGS, RUN_MODEL, RUN_LABELS = (file.name for file in (_RUN.settings_file, _RUN.model_file, _RUN.labels_file))


def model_file(path: PathLike) -> Path:
    """The model file of a run folder, or `path` itself.

    Raises:
        InputError: the run has not ended, so that it has no model file yet.
    """
    run = RunFolder(path)
    if not run.is_run:
        return run.path
    if not run.model_file.exists():
        best = f", or take its best model so far: {run.best_file}" if run.best_file.exists() else ""
        raise InputError(
            f"Expected a run that has ended. Received: {run.path} without {run.model_file.name}. Continue it with "
            f"`mobattn train --resume {run.path}`{best}."
        )
    return run.model_file


def labels_file(path: PathLike) -> Path | None:
    """The file with the class names of a run folder; None if there is none, or `path` is no run folder."""
    run = RunFolder(path)
    return run.labels_file if run.is_run and run.labels_file.is_file() else None


def load_model(file: str | Path) -> keras.Model:
    """Read a whole model, uncompiled, from a .keras or .h5 file or a SavedModel folder.

    Raises:
        InputError: the file is missing or can't be read.
    """
    if type(file).__module__.split(".")[0] == "keras":
        raise InputError(
            f"Expected a model of tf_keras, which is Keras 2. Received: {type(file).__name__} {file.name!r} of Keras "  # type: ignore[union-attr]
            "3. Build it with `import tf_keras as keras` and give it the weights: "
            "model.set_weights(keras_3_model.get_weights())."
        )
    if not isinstance(file, str | Path):
        raise InputError(f"Expected a keras.Model or the path of a saved one. Received: {file!r}. Pass one of these.")
    if not Path(file).exists():
        raise InputError(
            f"Expected a .keras or .h5 file or a SavedModel folder. Received: {str(file)!r}. It doesn't exist."
        )
    if Path(file).is_dir() and not (Path(file) / "saved_model.pb").exists():
        run = RunFolder(file)
        advice = f"Its model, once it has ended, is {str(run.model_file)!r}." if run.is_run else "Name the file in it."
        raise InputError(
            f"Expected a .keras or .h5 file or a SavedModel folder. Received: {str(file)!r}, a folder of something "
            f"else. {advice}"
        )
    reason = "a SavedModel that wasn't saved by Keras"
    with quiet_stderr():
        try:
            model = keras.models.load_model(file, compile=False)
            if isinstance(model, keras.Model):
                return model
        except Exception as error:  # Keras, h5py, zipfile and TensorFlow each raise types of their own
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
    raise InputError(
        f"Expected a whole model saved by model.save() (.keras, .h5 or a SavedModel folder). Received: {str(file)!r}, "
        f"unreadable ({reason}). Save it again; weights alone (.weights.h5) need their model."
    )
