"""Time .tflite files on this machine's CPU or GPU, each in a fresh process, going round the configurations."""

import contextlib
import dataclasses
import importlib.metadata
import itertools
import json
import platform
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from keras_mobattn import _process, gpu
from keras_mobattn._types import PathLike
from keras_mobattn.benchmark.loop import Target, time_rows
from keras_mobattn.benchmark.measurement import Measurement, Statistics
from keras_mobattn.benchmark.rows import begin_row, names_of, protocol
from keras_mobattn.benchmark.texts import title_of
from keras_mobattn.benchmark.this_machine.details import ThisMachineDetails
from keras_mobattn.benchmark.this_machine.host import describe_host
from keras_mobattn.catalog import BACKENDS
from keras_mobattn.errors import InputError, choose, expect_kind, expect_path
from keras_mobattn.formats.identity import identify_tflite

WORKER = "keras_mobattn.benchmark.this_machine.worker"
LOAD_SECS = 120  # what loading and one slow inference may take beyond the limits before the process counts as hung


def benchmark_tflite(
    path: PathLike,
    *,
    num_threads: int | None = 1,
    backend: str = "xnnpack",
    warmup_runs: int = 5,
    num_runs: int = 50,
    min_secs: float = 0.5,
    max_secs: float = 30.0,
    seed: int = 0,
) -> Measurement:
    """Time one file in one configuration, in a process of its own, and return a Measurement.

    `backend` is "xnnpack", "builtin" (the runtime's own CPU kernels), "gpu" or "gpu-fp16" (the GPU accelerator alone,
    until the outputs are read; a file that it refuses in part is a failure with its reasons).

    As benchmark_model does, measures at least `num_runs` inferences and `min_secs`, but at most `max_secs`, which also
    bounds the warm-up. The first inference is the first of the warm-up. Inputs are random, from `seed`. Whatever goes
    wrong with the file (missing, corrupt, unknown operator, crash, out of memory, hang) is told in `error`.

    Raises:
        InputError: an unknown backend; a count or a time limit is out of range.
    """
    limits = protocol(warmup_runs, num_runs, min_secs, max_secs, seed=seed)
    path = expect_path(path)
    return _timed(_begin(path, path.stem, _threads(num_threads, backend), backend, limits))


def benchmark_files(
    paths: Sequence[PathLike],
    *,
    num_threads: Sequence[int] = (1,),
    backends: Sequence[str] = ("xnnpack",),
    rounds: int = 3,
    warmup_runs: int = 5,
    num_runs: int = 50,
    min_secs: float = 0.5,
    max_secs: float = 30.0,
    seed: int = 0,
) -> list[Measurement]:
    """Time every file with every number of threads and every backend; return the Measurements in that order.

    The backends are those of `benchmark_tflite`; threads are the CPU's, so the GPU has one row for all of them.

    The configurations are gone round `rounds` times and each one's samples pooled, so that a machine that slows down
    or is disturbed hits all of them alike and ratios within one call hold. The limits are those of a whole row: every
    round has its share of num_runs, min_secs and max_secs (and the whole warm-up: it is a fresh process).

    Raises:
        InputError: no files, an unknown backend, or a count or a time limit out of range.
        BenchmarkInterrupted: on Ctrl-C, with the rows so far.
    """
    for name, several in {"paths": paths, "num_threads": num_threads, "backends": backends}.items():
        expect_kind(name, several, (list, tuple), "several, in a tuple")
    paths = [expect_path(path) for path in paths]
    if not paths or not num_threads or not backends:
        raise InputError("Expected at least one .tflite file, one number of threads and one backend. Received: none.")
    limits = protocol(warmup_runs, num_runs, min_secs, max_secs, seed=seed)
    files = dict.fromkeys(zip(paths, names_of(paths), strict=True))
    ways = dict.fromkeys((_threads(*way), way[1]) for way in itertools.product(num_threads, backends))
    target = ThisMachine([(*file, *way, limits) for file, way in itertools.product(files, ways)])
    return time_rows(target, rounds=rounds)


@dataclasses.dataclass
class ThisMachine(Target):
    """This machine's CPU and GPU."""

    configurations: list  # the arguments of `_begin` for each row

    @contextlib.contextmanager
    def connected(self):
        yield [_begin(*configuration) for configuration in self.configurations]

    def measure(self, row, show):
        show(f"Timing {title_of(row)}")
        return _timed(row)

    def pooled(self, parts):
        return {"peak_memory_bytes": max(part.details.peak_memory_bytes or 0 for part in parts) or None}


def _on_gpu(backend):
    return choose(BACKENDS, backend, "backend").startswith("gpu")


def _threads(num_threads, backend):
    return None if _on_gpu(backend) else num_threads


def _begin(path, name, num_threads, backend, limits):
    """A row without figures."""
    return begin_row(
        path,
        name,
        num_threads,
        device=describe_host(),
        runtime=f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}",
        backend=BACKENDS[backend],
        details=ThisMachineDetails(python=platform.python_version()),
        **limits,
    )


def _timed(row):
    """The row with its figures, or with the reason why there are none."""
    if row.error:
        return row
    backend = next(backend for backend, text in BACKENDS.items() if text == row.backend)
    asked = ("num_threads", "warmup_runs", "num_runs", "min_secs", "max_secs", "seed")
    found = _run_worker({"path": row.file, "backend": backend, **{name: getattr(row, name) for name in asked}})
    if "error" in found:
        return dataclasses.replace(row, **found)
    if not _is_as_it_was(row):  # an export into the same folder, say
        return dataclasses.replace(row, error="The file was replaced or removed while it was timed.")
    if adapter := found.pop("adapter", None):
        found["runtime"] = f"{row.runtime} on {adapter}"
    tuples = {name: tuple(found.pop(name)) for name in ("samples_ms", "inputs")}
    return row.filled(**found, **tuples, statistics=Statistics.of(tuples["samples_ms"]))


def _is_as_it_was(row):
    try:
        return identify_tflite(Path(row.file))[1].hexdigest()[:16] == row.sha256
    except OSError:
        return False


def _run_worker(job):
    """Run the worker on `job` and return its answer, or {"error": why there is none}."""
    on_gpu = _on_gpu(job["backend"])
    limit = 2 * job["max_secs"] + LOAD_SECS  # warm-up and measuring each have max_secs
    variables = gpu.environment() if on_gpu else None
    try:
        done = _process.run(WORKER, json.dumps(job), variables=variables, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": f"No result after {limit:.0f} s: the process hung and was ended."}
    if done.returncode:
        return {"error": _death(done.returncode, done.stderr)}
    found = json.loads(done.stdout.splitlines()[-1])
    if on_gpu and "error" in found:
        return {
            "error": f"The GPU accelerator does not run it alone: {'; '.join(gpu.why(done.stderr, found['error']))}."
        }
    return {**found, "adapter": gpu.adapter(done.stderr)} if on_gpu else found


def _death(returncode, stderr):
    last_words = f" Its last words: {stderr.strip().splitlines()[-1]}" if stderr.strip() else ""
    if returncode == -signal.SIGKILL:
        return f"The process was killed, as the system does when memory runs out.{last_words}"
    return f"The runtime crashed ({_process.how_it_ended(returncode)}).{last_words}"
