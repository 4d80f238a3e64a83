"""The folder of a training run: the names of its files, and their contents."""

import dataclasses
import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from keras_mobattn.catalog import TASKS
from keras_mobattn.errors import InputError, expect_path
from keras_mobattn.files import read_json, read_labels, write_json, write_text
from keras_mobattn.formats.kinds import kind_of
from keras_mobattn.settings import TrainSettings, load_settings, save_settings

if TYPE_CHECKING:
    from keras_mobattn._types import PathLike

EXPORTED = re.compile(r"(model|best)_(?!\d+_epochs)")  # how names of files begin that were made of a run's models
KEPT = re.compile(r"\d+_epochs(_\d+)?")  # the name of a folder for them, when the models went on learning
BESIDE_THEM = re.compile(r"(card|export)[_.]")  # and go on, where they are no model


class _Images(Protocol):
    """A data.Source, as far as a run keeps it."""

    @property
    def name(self) -> str: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def num_examples(self) -> Mapping[str, int]: ...
    @property
    def fingerprint(self) -> str: ...


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """A folder that `training.train` writes and everything else reads; it need not be there yet.

    Files: `settings_file`, `labels_file` (class names, one a line), `data_file` (class names, numbers of images and the
    fingerprint of a folder of images, from the run's beginning), `task_file` (what the task took from the training
    images: anchors), `history_file`, `curves_file`, `result_file`,
    `model_file` (the last epoch), `best_file` (the best one); folders: `checkpoints`, `board` (TensorBoard's).
    """

    path: Path

    def __init__(self, path: "PathLike"):
        object.__setattr__(self, "path", expect_path(path))

    @property
    def settings_file(self) -> Path:
        return self.path / "settings.json"

    @property
    def labels_file(self) -> Path:
        return self.path / "labels.txt"

    @property
    def data_file(self) -> Path:
        return self.path / "data.json"

    @property
    def task_file(self) -> Path:
        return self.path / "task.json"

    @property
    def history_file(self) -> Path:
        return self.path / "history.csv"

    @property
    def curves_file(self) -> Path:
        return self.path / "curves.png"

    @property
    def result_file(self) -> Path:
        return self.path / "result.json"

    @property
    def model_file(self) -> Path:
        return self.path / "model.keras"

    @property
    def best_file(self) -> Path:
        return self.path / "best.keras"

    @property
    def new_start(self) -> str:
        """What to do for a run that this one can't go on with: start anew, from the weights that are there."""
        files = self.model_file, self.best_file, self.head.model_file
        file = next((file for file in files if file.exists()), None)
        weights = "" if file is None else f" from its weights: weights={str(file)!r}"
        return f"start a new run in another folder{weights}."

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def board(self) -> Path:
        return self.path / "tensorboard"

    @property
    def head(self) -> "RunFolder":
        """The run before this one: the head alone learns."""
        return RunFolder(self.path / "head")

    @classmethod
    def of(cls, path: "PathLike") -> Self | None:
        """The RunFolder at `path`, or around the file or package `path`, also in its 16_epochs/; None where there is
        no run."""
        path = expect_path(path)
        above = [path, path.parent]
        if KEPT.fullmatch(path.parent.absolute().name):
            above.append(path.parent.absolute().parent)
        return next((run for run in map(cls, above) if run.is_run), None)

    @property
    def is_run(self) -> bool:
        """Whether a run was begun here."""
        return self.settings_file.is_file()

    @property
    def has_trained(self) -> bool:
        """Whether there is a checkpoint or a model, which a new run would spoil."""
        return any(run.list_checkpoints() or run.model_file.exists() for run in (self, self.head))

    def list_checkpoints(self) -> list[Path]:
        """The checkpoint folders, newest first."""
        return sorted((path for path in self.checkpoints.glob("step-*") if path.is_dir()), reverse=True)

    @property
    def settings(self) -> TrainSettings:
        """The TrainSettings of the run.

        Raises:
            InputError: no run, or settings that this package can't read.
        """
        return load_settings(self.settings_file)

    @property
    def task(self) -> Any:
        """The Task of the run's model, with what it took from the training images."""
        return TASKS[self.settings.task].from_facts(read_json(self.task_file, {}))

    @property
    def view(self) -> dict[str, Any]:
        """The arguments of `data.resize_and_crop`, beside the image size, with which the run evaluates its model."""
        settings = self.settings
        crop = None if self.task.whole_image else settings.test_crop
        return {"crop": crop, "interpolation": settings.interpolation}

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names; () where the run has none."""
        return read_labels(self.labels_file) if self.labels_file.is_file() else ()

    @property
    def result(self) -> dict[str, Any]:
        """The result of the run, a dict.

        Raises:
            InputError: it has not ended, or the file is damaged.
        """
        result = read_json(self.result_file, None)
        if result is None:
            raise InputError(f"Expected a run that has ended. Received: {self.path} without result.json. Resume it.")
        return result

    def open_source(
        self,
        data_dir: str | None = None,
        on_corrupt: Literal["error", "skip"] = "error",
        dataset: str | None = None,
    ) -> Any:
        """The Source of the run's images.

        `data_dir` replaces the run's where tfds keeps its sets elsewhere by now, `dataset` where its folder lies
        elsewhere. With `on_corrupt` "skip", images that can't be decoded are left out, even if the run itself would
        refuse them.
        """
        settings = self.settings
        return dataclasses.replace(
            settings,
            dataset=dataset or settings.dataset,
            data_dir=data_dir or settings.data_dir,
            on_corrupt=on_corrupt if on_corrupt == "skip" else settings.on_corrupt,
        ).open_source()

    def write_start(self, settings: TrainSettings, source: _Images, task: Any = None) -> None:
        """Write what is known before the first step: settings, class names, the numbers and files of images, and what
        the task took from them."""
        if task is not None and task.facts:
            write_json(self.task_file, task.facts)
        save_settings(self.settings_file, settings)
        write_json(self.data_file, _data_of(source))
        if source.class_names:
            write_text(self.labels_file, "".join(f"{name}\n" for name in source.class_names))

    def changes_in(self, source: _Images) -> str:
        """In words, how the source differs from the run's beginning; "" where it doesn't, or nothing was written."""
        began, now = read_json(self.data_file, None), _data_of(source)
        if began is None or began == now:
            return ""
        told = [name for name in ("class_names", "num_examples") if began.get(name) != now[name]]
        changes = (f"{name.replace('_', ' ')} {now[name]}, was {began.get(name)}" for name in told)
        return "; ".join(changes) or "other files"

    def expect_same_data(self, source: _Images) -> None:
        """Raise InputError unless the source has the classes and files with which the run began.

        They decide which images a step takes. Runs of earlier versions, which wrote no data.json, pass.
        """
        if changes := self.changes_in(source):
            raise InputError(
                f"Expected the images that the run in {self.path} began with. Received: {source.name!r} with "
                f"{changes}. Put them back, or {self.new_start}"
            )

    def keep_result(self) -> None:
        """Rename the model and the result of an ended run, so that a longer run that goes on from it replaces nothing,
        and move what was made of that model, so that it doesn't lie beside the new one as if made of it.

        model.keras and result.json become model_16_epochs.keras and result_16_epochs.json. Files, cards and figures
        that were made of model.keras go to 16_epochs/.
        """
        epochs = self.settings.epochs
        if self.model_file.exists():
            self.keep_exported(self.model_file, epochs)
        for file in (self.model_file, self.result_file):
            if file.exists():
                file.rename(file.with_name(f"{file.stem}_{epochs}_epochs{file.suffix}"))

    def keep_exported(self, model: Path, epochs: int) -> None:
        """Move the files, cards and figures that were made of a model of the run to 16_epochs/ for 16 `epochs`, before
        another one takes its name; to 16_epochs_2/ where there are such files already.

        Raises:
            OSError: one can't be moved.
        """
        exported = [path for path in self.path.iterdir() if _is_exported(path) and path.name.startswith(model.stem)]
        if exported:
            numbered = (f"_{number}" for number in itertools.count(2))
            folders = (self.path / f"{epochs}_epochs{more}" for more in itertools.chain([""], numbered))
            kept = next(each for each in folders if not any((each / path.name).exists() for path in exported))
            kept.mkdir(exist_ok=True)
            for path in exported:
                path.rename(kept / path.name)

    def write_result(self, result: dict[str, Any]) -> None:
        """Write the result of the run, a dict."""
        write_json(self.result_file, result)


def _is_exported(path):
    begin = EXPORTED.match(path.name)
    return begin and (kind_of(path) is not None or BESIDE_THEM.match(path.name, begin.end()) is not None)


def _data_of(source):
    numbers = dict(source.num_examples)
    return {"class_names": list(source.class_names), "num_examples": numbers, "files": source.fingerprint}
