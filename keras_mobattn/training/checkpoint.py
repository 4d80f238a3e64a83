"""The checkpoints of a run, and how it goes on from them."""

import contextlib
import dataclasses
import json
import shutil
import tempfile
from pathlib import Path

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.errors import InputError
from keras_mobattn.files import replacing, write_json

STATE = "state.json"  # beside TensorFlow's files in each checkpoint


def save_model(model, path, chief=True):
    """Write a .keras file, whole or not at all, without the optimizer, which would treble it.

    All workers call it, since reading a replicated variable takes all of them; only the chief keeps its file.
    """
    with replacing(path) if chief else scratch_path(path) as beside:
        keras.Model(model.inputs, model.output, name=model.name).save(beside)


@contextlib.contextmanager
def scratch_path(path):
    """Yield a path of the same name in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / Path(path).name


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a run is."""

    step: int = 0  # steps taken
    epochs_done: int = 0  # epochs evaluated
    best: float | None = None  # value of the task's metric; None before the first epoch


class Checkpoints:
    """The newest few checkpoints of a RunFolder, each a folder `step-00001234` that appears whole or not at all.

    A checkpoint holds the weights, their averages, the optimizer's slots and schedule step, the loss scale, the state
    of random layers, the metrics of the epoch so far, and the position. TensorFlow keeps a checksum of each tensor, so
    a damaged one is noticed when it is read.
    """

    def __init__(self, folder, learner, keep=2, chief=True):
        self.folder = folder
        self._keep = keep
        self._chief = chief
        if chief:
            for unfinished in self.folder.checkpoints.glob(".step-*"):  # of a process that was killed while it wrote
                shutil.rmtree(unfinished, ignore_errors=True)
        state = learner.state
        self._checkpoint = tf.train.Checkpoint(
            network=learner.network,
            optimizer=learner.optimizer,
            averages=state.averages,
            step=state.step,
            skipped=state.skipped,
            metrics=[variable for metric in learner.metrics for variable in metric.variables],
        )

    def save(self, position):
        """Write a checkpoint and remove all but the newest `keep`; return its path.

        All workers call it; only the chief keeps its files.

        Raises:
            OSError, tf.errors.OpError: the disk is full or the folder can't be written. The earlier ones stay.
        """
        if not self._chief:
            with scratch_path("state") as beside:
                self._checkpoint.write(str(beside))
            return self.folder.checkpoints
        path = self.folder.checkpoints / f"step-{position.step:08d}"
        with replacing(path, folder=True) as beside:
            beside.mkdir()
            self._checkpoint.write(str(beside / "state"))
            write_json(beside / STATE, dataclasses.asdict(position))
        for old in self.paths()[self._keep :]:
            shutil.rmtree(old)
        return path

    def paths(self):
        """The checkpoints, newest first."""
        return self.folder.list_checkpoints()

    def restore(self, say):
        """Load the newest checkpoint that is whole, and return its Position; Position() where there is none.

        `say` is told of damaged ones.

        Raises:
            InputError: none of them is whole, or they are of another model.
        """
        paths = self.paths()
        for path in paths:
            try:
                position = Position(**json.loads((path / STATE).read_text(encoding="utf-8")))
                self._checkpoint.read(str(path / "state")).assert_consumed()
                return position
            except Exception as error:  # json's, TensorFlow's, and the IndexError and RuntimeError of its C++ reader
                reason = next(iter(str(error).splitlines()), type(error).__name__)
                say(f"The checkpoint {path} is damaged or of another model, the one before is used: {reason}")
        if paths:
            raise InputError(
                f"Expected a whole checkpoint of this model in {self.folder.checkpoints}. "
                f"Received: none of {len(paths)}."
            )
        return Position()
