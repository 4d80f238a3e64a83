"""The epochs of a run, one row each: history.csv and curves.png."""

import csv
import time

import tf_keras as keras

from keras_mobattn._types import PathLike
from keras_mobattn.errors import InputError, expect_path
from keras_mobattn.files import replacing
from keras_mobattn.report.plots import learning_curves


def read_history(path: PathLike) -> list[dict[str, float]]:
    """The rows of a history.csv as dicts of numbers.

    Raises:
        InputError: a file of something else.
        OSError: it can't be read.
    """
    with expect_path(path).open(newline="", encoding="utf-8") as file:
        try:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
            return [{**row, "epoch": int(row["epoch"])} for row in rows]
        except (ValueError, TypeError, KeyError, csv.Error) as error:  # no text, no numbers, rows of other lengths
            raise InputError(
                f"Expected the history.csv of a run. Received: {str(path)!r} ({error}). Take the file in its folder."
            ) from error


class History(keras.callbacks.Callback):
    """Writes a RunFolder's history.csv, a row for each epoch, anew after each epoch, so that no row is there twice."""

    def __init__(self, folder, epochs_done):
        super().__init__()
        self.folder = folder
        self.rows = read_history(folder.history_file)[:epochs_done] if epochs_done else []
        self._started = time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        model = self.model
        more = {
            "learning_rate": model.learning_rate,
            "skipped_steps": int(model.state.skipped.numpy()),
        }
        seconds = time.perf_counter() - self._started
        self.rows.append({"epoch": epoch + 1, **logs, **more, "seconds": seconds})
        with replacing(self.folder.history_file) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.rows[0])
            writer.writeheader()
            writer.writerows(self.rows)

    def plot(self):
        """Write curves.png."""
        with replacing(self.folder.curves_file) as beside:
            beside.write_bytes(
                learning_curves({name: [row[name] for row in self.rows] for name in self.rows[0]}, format="png")
            )
