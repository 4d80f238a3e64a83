"""The progress of a run: a bar on a terminal, lines in a file, curves in TensorBoard."""

import time

import rich.console
import rich.progress
import tensorflow as tf
import tf_keras as keras

LINE_EVERY = 60.0  # seconds between two lines of an epoch in a file


class Meter(keras.callbacks.Callback):
    """Counts the run's steps, and images per second as a moving average, in which a checkpoint's pause soon fades.

    It is the first callback: the others read `step` and `images_per_second`.
    """

    def __init__(self, plan, first_step):
        super().__init__()
        self.step = first_step
        self.images_per_second = 0.0
        self._plan = plan
        self._last = None

    def on_epoch_begin(self, epoch, logs=None):
        self._last = None  # what came before this epoch's first step was no training

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self._last is not None:
            rate = self._plan.batch(self.step) / max(now - self._last, 1e-9)
            self.images_per_second = 0.9 * self.images_per_second + 0.1 * rate if self.images_per_second else rate
        self._last = now
        self.step += 1


class Progress(keras.callbacks.Callback):
    """Shows epoch, step, images per second, the run's time left, loss, the task's metric and learning rate, on stdout.

    On a terminal by a bar; in a file by a line for each epoch, and one a minute in between.
    """

    COLUMNS = (
        rich.progress.SpinnerColumn(),
        rich.progress.TextColumn("[bold]{task.description}"),
        rich.progress.BarColumn(None),
        rich.progress.TextColumn("{task.fields[now]}"),
    )

    def __init__(self, task, plan, epochs, meter):
        super().__init__()
        self._names = tuple(dict.fromkeys(("loss", task.best)))
        self._plan, self._epochs = plan, epochs
        self._meter = meter
        self._console = rich.console.Console(soft_wrap=True)
        self._bar = None
        self._began, self._began_at = meter.step, time.monotonic()
        self._said_at = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        if self._console.is_terminal:
            steps = self._plan.steps_per_epoch
            self._bar = rich.progress.Progress(*self.COLUMNS, console=self._console, transient=True)
            self._task = self._bar.add_task(
                f"{epoch + 1}/{self._epochs}", total=steps, completed=self._meter.step % steps, now=""
            )
            self._bar.start()

    def on_train_batch_end(self, batch, logs=None):
        if self._bar:
            self._bar.update(self._task, advance=1, now=self._now(logs))
        elif time.monotonic() - self._said_at >= LINE_EVERY:
            self._say(self._now(logs))

    def on_evaluated_batch(self, number):
        """Say that an evaluation is under way; what is computed of all images at its end may take a while, too."""
        if self._bar:
            self._bar.update(self._task, now=f"evaluating, batch {number + 1}")

    def on_epoch_end(self, epoch, logs=None):
        self.close()
        names = (*self._names, *(f"val_{name}" for name in self._names))
        seen = " ".join(f"{name} {logs[name]:.4f}" for name in names if name in logs)
        self._say(f"epoch {epoch + 1}/{self._epochs} {seen} {self._rates()}")

    def close(self):
        """Take the bar off the screen."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _say(self, line):
        self._console.print(line, highlight=False)
        self._said_at = time.monotonic()

    def _now(self, logs):
        steps = self._plan.steps_per_epoch
        done = (self._meter.step - 1) % steps + 1
        seen = " ".join(f"{name} {logs[name]:.3f}" for name in self._names if name in logs)
        return f"{done}/{steps} {seen} {self._rates()}"

    def _rates(self):
        """Learning rate, images per second, and the time left, by this process's steps, evaluations and checkpoints."""
        done, left = self._meter.step - self._began, self._plan.total_steps - self._meter.step
        seconds = (time.monotonic() - self._began_at) / max(1, done) * left
        return f"lr {self.model.learning_rate:.2e} {self._meter.images_per_second:.0f} img/s ETA {_clock(seconds)}"


def _clock(seconds):
    hours, minutes = divmod(round(seconds) // 60, 60)
    return f"{hours}:{minutes:02d}:{round(seconds) % 60:02d}"


class Board(keras.callbacks.Callback):
    """Writes TensorBoard's train/ by step, validation/ by epoch at its last step, and on request weights' histograms.

    Keras's own callback counts steps from 0 in each process, so that a resumed run would draw over itself.
    """

    EVERY = 20  # steps

    def __init__(self, folder, meter, histograms):
        super().__init__()
        self._writers = {name: tf.summary.create_file_writer(str(folder / name)) for name in ("train", "validation")}
        self._meter = meter
        self._histograms = histograms

    def on_train_batch_end(self, batch, logs=None):
        if self._meter.step % self.EVERY == 0:
            more = {"learning_rate": self.model.learning_rate, "images_per_second": self._meter.images_per_second}
            self._write("train", {**logs, **more})

    def on_epoch_end(self, epoch, logs=None):
        train = {name: value for name, value in logs.items() if not name.startswith("val_")}
        self._write("train", {**train, "learning_rate": self.model.learning_rate})
        self._write("validation", {name[4:]: value for name, value in logs.items() if name.startswith("val_")})
        if self._histograms:
            with self._writers["train"].as_default(self._meter.step):
                for weight in self.model.network.weights:
                    tf.summary.histogram(weight.name, weight)
        for writer in self._writers.values():
            writer.flush()

    def _write(self, name, values):
        with self._writers[name].as_default(self._meter.step):
            for key, value in values.items():
                tf.summary.scalar(key, float(value))
