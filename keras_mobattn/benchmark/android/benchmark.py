"""Time .tflite files on an Android phone: TensorFlow Lite's own benchmark_model, pushed and run over adb."""

import contextlib
import dataclasses
import hashlib
import itertools
import re
import signal
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from keras_mobattn._types import PathLike
from keras_mobattn.benchmark.android.benchmark_model_binary import benchmark_model_for
from keras_mobattn.benchmark.android.benchmark_model_output import Delegation, parse, phase_of
from keras_mobattn.benchmark.android.details import AndroidDetails
from keras_mobattn.benchmark.android.phone import find_phone
from keras_mobattn.benchmark.loop import DeviceLostError, RowError, Target, time_rows
from keras_mobattn.benchmark.measurement import Measurement
from keras_mobattn.benchmark.rows import begin_row, names_of, protocol
from keras_mobattn.benchmark.texts import in_brackets, title_of
from keras_mobattn.catalog import ANDROID_FOLDER
from keras_mobattn.errors import InputError, choose, expect_range

LOAD_SECS = 300  # beyond the limits: the first start on a GPU compiles its programs for up to minutes
RETURN_SECS = 10  # for a phone that is unplugged to come back, in all
PROFILE_RUNS = 20
# Name -> Measurement.backend, the tool's flags. XNNPACK has to be asked for: only then does the tool tell what it took.
DELEGATES = {
    "xnnpack": ("xnnpack", {"use_xnnpack": "true"}),
    "gpu": ("gpu", {"use_gpu": "true"}),
    "cpu": ("builtin", {"use_xnnpack": "false"}),
}
PRECISIONS = {"fp16": "true", "fp32": "false"}  # -> gpu_precision_loss_allowed
# What the tool prints when it gives up or does not start -> what that means. Its own words are appended.
CAUSES = (
    (r"Disallowed CPU fallback", "Not delegated as a whole, as was asked for."),
    (r"Failed to apply \w+ delegate", "The delegate could not be applied."),
    (r"Failed to load model", "benchmark_model could not read the file."),
    (r"Didn't find op|nresolved custom op", "This build of benchmark_model lacks an operator."),
    (
        r"not executable|Exec format|CANNOT LINK|[Pp]ermission denied|not found|No such file|[Ss]yntax error",
        "This build does not run on the device.",
    ),
)
# The shell's own last word on a program that died.
OBITUARY = re.compile(r"(Killed|Aborted|Segmentation fault|Bus error|Illegal instruction)( \(core dumped\))?\s*$")


def benchmark_android(
    paths: Iterable[PathLike],
    *,
    serial: str | None = None,
    delegates: Collection[str] = ("xnnpack",),
    num_threads: Sequence[int] = (1,),
    gpu_precision: str = "fp16",
    require_full_delegation: bool = False,
    profile: bool = False,
    cool_down: float = 5.0,
    benchmark_model: PathLike | None = None,
    device_dir: str = ANDROID_FOLDER,
    warmup_runs: int = 1,
    warmup_min_secs: float = 0.5,
    num_runs: int = 50,
    min_secs: float = 1.0,
    max_secs: float = 150.0,
) -> list[Measurement]:
    """Time every file with every delegate and number of threads on a phone; return the Measurements in that order.

    The limits are benchmark_model's flags of the same names, in its meaning. `delegates` are names in DELEGATES; the
    GPU is timed once a file, with the first of `num_threads`. `cool_down` are seconds without work between two rows.
    `profile` adds runs of their own for the op profile, since a profiled run is slower. Whatever goes wrong with a row
    (file, delegate, crash, hang, out of memory, no space, phone unplugged) is told in its `error`, and so is a delegate
    that took nothing, since what then ran was something else.

    Raises:
        InputError: no files, a limit out of range, no phone that can be used, no benchmark_model for it.
        BenchmarkInterrupted: on Ctrl-C, with the rows so far. The phone is cleaned up.
    """
    limits = protocol(warmup_runs, num_runs, min_secs, max_secs)
    configurations = _configurations([Path(path) for path in paths], delegates, num_threads)
    choose(PRECISIONS, gpu_precision, "GPU precision")
    for name, seconds in {"cool_down": cool_down, "warmup_min_secs": warmup_min_secs}.items():
        expect_range(name, seconds, 0)
    if benchmark_model is not None and not Path(benchmark_model).is_file():
        raise InputError(
            f"Expected the path of benchmark_model, built for the phone. Received: {str(benchmark_model)!r}."
        )
    fields = {**limits, "details": AndroidDetails(warmup_min_secs=warmup_min_secs)}
    where = serial, benchmark_model, device_dir
    target = Android(configurations, fields, *where, gpu_precision, require_full_delegation, profile)
    rows = time_rows(target, cool_down=cool_down)
    return [_with_folder_left(row, target.phone.left_behind) for row in rows]


def _configurations(paths, delegates, num_threads):
    """[(path, name in tables, delegate, number of threads)], all of one file together."""
    if not paths or not delegates or not num_threads:
        raise InputError("Expected at least one .tflite file, one delegate and one number of threads. Received: none.")
    for delegate in delegates:
        choose(DELEGATES, delegate, "delegate")
    for threads in num_threads:
        expect_range("num_threads", threads, 1, whole=True)
    ways = [pair for pair in itertools.product(delegates, num_threads) if pair[0] != "gpu" or pair[1] == num_threads[0]]
    return [(*file, *way) for file in zip(paths, names_of(paths), strict=True) for way in ways]


@dataclasses.dataclass
class Android(Target):
    """A phone behind adb, with benchmark_model in a folder of ours. It may go and come back: rows tell of it."""

    configurations: list  # of `_configurations`
    fields: dict  # of every row
    serial: str | None
    benchmark_model: PathLike | None
    device_dir: str
    gpu_precision: str
    require_full_delegation: bool
    profile: bool

    @contextlib.contextmanager
    def connected(self):
        self.pushed = None  # the file that is on the phone
        self.lost, self.patience = False, RETURN_SECS
        self.phone = find_phone(self.serial)
        self.tool = Path(self.benchmark_model or benchmark_model_for(self.phone.abis))
        self.sha256, device = hashlib.sha256(self.tool.read_bytes()).hexdigest(), self.phone.describe()
        same = dict(device=device, runtime=f"benchmark_model {self.sha256[:16]}", **self.fields)
        with self.phone.folder(self.device_dir) as self.folder:
            yield [
                begin_row(path, name, threads, backend=self._backend(delegate), **same)
                for path, name, delegate, threads in self.configurations
            ]

    def start(self, rows, show):
        device = rows[0].device
        show("Pushing benchmark_model", note=f"On {device.name}, {device.os}: {self.tool}, SHA-256 {self.sha256}")
        self.phone.push(self.tool, f"{self.folder}/benchmark_model", mode=0o755)

    def prepare(self, row, show):
        while self.lost and self.patience > 0:
            show("Waiting for the phone to come back")
            time.sleep(0.5)
            self.patience -= 0.5
            self.lost = not self.phone.is_there()
        if row.file != self.pushed:
            show(f"Pushing {row.file}")
            self.pushed = None
            with self._losing():
                self.phone.push(Path(row.file), f"{self.folder}/model.tflite", mode=0o644)
            self.pushed = row.file

    def measure(self, row, show):
        title, delegate = title_of(row), next(name for name in DELEGATES if self._backend(name) == row.backend)
        flags = flags_of(row, delegate, PRECISIONS[self.gpu_precision], self.require_full_delegation)
        with self._losing():
            before = self.phone.conditions()
            text, code = self._tool(row, flags, title, show)
        row = row.filled(**fields_of(text, code, delegate, self.require_full_delegation), before=before)
        with contextlib.suppress(DeviceLostError):  # the figures are there; the next row tells that the phone is gone
            row = row.filled(after=self.phone.conditions())
            if self.profile and not row.error:
                flags |= {"enable_op_profiling": "true", "num_runs": PROFILE_RUNS, "min_secs": 0}
                text, _ = self._tool(row, flags, f"{title}, op profile", show)
                row = row.filled(op_profile=parse(text).op_profile)
        return row

    def _backend(self, delegate):
        return f"gpu {self.gpu_precision}" if delegate == "gpu" else DELEGATES[delegate][0]

    @contextlib.contextmanager
    def _losing(self):
        """A phone that is lost in this block is the row's error; `prepare` waits for it before the next."""
        self.lost = False
        try:
            yield
        except DeviceLostError as error:
            self.lost = True
            raise RowError(str(error)) from error

    def _tool(self, row, flags, title, show):
        """Run benchmark_model, showing what it is at. Returns (its output, its exit code)."""

        def show_phase(line):
            if phase := phase_of(line):
                show(f"{title}: {phase}")

        arguments = ["./benchmark_model", *(f"--{name}={value}" for name, value in flags.items())]
        timeout = 2 * row.max_secs + LOAD_SECS  # warm-up and measuring each have max_secs
        return self.phone.run(self.folder, arguments, timeout, show_phase)


def flags_of(row, delegate, precision, require_full_delegation):
    """benchmark_model's flags for a row, in the order in which they are given."""
    flags = {"graph": "model.tflite", "num_threads": row.num_threads, **DELEGATES[delegate][1]}
    if delegate == "gpu":
        flags["gpu_precision_loss_allowed"] = precision
    if require_full_delegation and delegate != "cpu":
        flags["require_full_delegation"] = "true"
    limits = {name: getattr(row, name) for name in ("num_runs", "min_secs", "max_secs")}
    warmup = {"warmup_runs": row.warmup_runs, "warmup_min_secs": row.details.warmup_min_secs}
    return {**flags, **warmup, **limits}


def fields_of(text, code, delegate, require_full_delegation=False):
    """What a run of benchmark_model tells, for `Measurement.filled`, by its output and exit code (None: it hung)."""
    output = parse(text)
    took = output.delegations.get(delegate, Delegation())
    error = _death(text, output, code)
    if not error and delegate != "cpu":
        error = _shortfall(text, output, took, delegate, require_full_delegation)
    return {
        **output.figures,
        "statistics": None if error else output.statistics,
        "operators": took.operators,
        "delegated": took.delegated,
        "partitions": took.partitions,
        "refusals": output.refusals if delegate == "gpu" else (),
        "error": error,
    }


def _death(text, output, code):
    """Why there are no figures, or None."""
    said = [line.strip() for line in text.splitlines() if line.strip() and not OBITUARY.search(line)]
    last = said[-1] if said else "none."
    words = output.errors[0] if output.errors else last
    if code is None:
        return f"benchmark_model hung and was ended. Its last words: {last}"
    if code == 128 + signal.SIGKILL:
        return f"benchmark_model was killed, as Android does when memory runs out. Its last words: {last}"
    if code > 128:
        names = {number.value: number.name for number in signal.Signals}
        return f"benchmark_model crashed (signal {names.get(code - 128, code - 128)}). Its last words: {last}"
    if code:
        cause = next((cause for pattern, cause in CAUSES if re.search(pattern, text)), f"Exit code {code}.")
        return f"benchmark_model failed. {cause} It says: {words}{in_brackets(output.refusals)}"
    return None if output.statistics else f"benchmark_model ended without figures. Its last words: {last}"


def _shortfall(text, output, took, delegate, require_full_delegation):
    """Why figures are not those of the delegate that was asked for, or None."""
    refused = in_brackets(output.refusals)
    if took.delegated == 0 or took.partitions == 0:
        return f"The {delegate} delegate took none of the operators{refused}: what ran was the CPU."
    others = [name for name in output.delegations if name != delegate]
    if others and delegate not in output.delegations:
        return f"benchmark_model tells of no {delegate} delegate: what ran was {others[0]}."
    if "GPU acceleration is unsupported on this platform" in text:
        return "This benchmark_model was built without the GPU delegate: what ran was the CPU."
    if require_full_delegation and not took.complete:
        if took.complete is None:
            return "This benchmark_model does not tell whether the delegate took all operators."
        return f"The {delegate} delegate took only {took.delegated} of {took.operators} operators{refused}."
    return None


def _with_folder_left(row, folder):
    """The row; when the phone went away for good, with what is still on it."""
    if not folder or not row.error:
        return row
    return dataclasses.replace(row, error=f"{row.error} Left on it: {folder}; remove it with adb shell rm -rf {folder}")
