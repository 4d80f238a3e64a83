"""Jobs for the GPU accelerator, run in a process of its own, and why where it can't be done."""

import dataclasses
import json
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from keras_mobattn import _process
from keras_mobattn._packages import needs
from keras_mobattn._types import PathLike
from keras_mobattn.errors import InputError, expect_kind
from keras_mobattn.formats.tflite.flatbuffer import read_tflite
from keras_mobattn.gpu import driver

WORKER = "keras_mobattn.gpu.worker"
MAX_SECS = 300  # compiling and running one file; SwiftShader needs 20 s for the largest model at 256 pixels
NO_DRIVER = "there is no driver for it: `python -m keras_mobattn.gpu` gets one"
# What the runtime writes to stderr -> what it means. In the order in which they are looked for.
MEANINGS = {
    r"No adapters found|Couldn't load Vulkan": NO_DRIVER,
    r"only supports static-sized tensors": "some tensors have no fixed size, as of a model whose batch is not fixed",
    r"Failed to get buffer requirements for tensor `(.+?)`": r"no buffer of the type of tensor \1",
    r"Check failed: (.+)": r"the runtime crashed: \1",
    r"Timeout \((.+?)\)!": r"the process hung and was ended after \1",
}


class GpuError(InputError):
    """The GPU accelerator does not run a file by itself. `reasons` holds a sentence for each."""

    def __init__(self, path: PathLike, reasons: Iterable[str]):
        self.path, self.reasons = str(path), tuple(reasons)
        super().__init__(
            f"Expected a file that the GPU accelerator runs by itself. Received: {self.path!r}: "
            f"{'; '.join(self.reasons)}. `mobattn describe` names the tensors."
        )


@dataclasses.dataclass(frozen=True)
class GpuJob:
    """One file to run on a list of inputs, each {name: array}; float16 allows half precision."""

    path: PathLike
    inputs: Sequence[Mapping[str, ArrayLike]]
    float16: bool = False
    max_secs: float = MAX_SECS


@dataclasses.dataclass(frozen=True)
class GpuRun:
    """What a job gave: one {output name: array} for each of its inputs, and the name of what computed them."""

    outputs: list[dict[str, np.ndarray]]
    adapter: str


def run_on_gpu(
    path: PathLike, inputs: Sequence[Mapping[str, ArrayLike]], float16: bool = False, real_float16: bool = False
) -> list[dict[str, np.ndarray]]:
    """Run a .tflite file on the GPU accelerator alone; return one {output name: array} for each of `inputs`.

    Each of `inputs` is {input name: array}, with the names of the file's first signature (of its tensors without one).
    `float16` allows half precision, as GPU delegates do by default; SwiftShader ignores it. `real_float16` takes the
    driver that does not (`gpu_problem(real_float16=True)` tells whether there is one).

    Raises:
        GpuError: an operator is refused, inputs don't fit, it crashes or hangs, or there is no driver.
        InputError: not a TFLite file.
        OSError: the file can't be read.
    """
    (result,) = run_jobs_on_gpu([GpuJob(path, inputs, float16)], real_float16)
    if isinstance(result, GpuError):
        raise result
    return result.outputs


def run_jobs_on_gpu(jobs: Sequence[GpuJob], real_float16: bool = False) -> list[GpuRun | GpuError]:
    """`run_on_gpu` for many files in one process, which is faster; return a list of GpuRuns, or GpuErrors instead.

    A file that crashes the process costs only its own result: the rest runs in a new one.

    Raises:
        InputError: what is no GpuJob, or not of a TFLite file.
        OSError: a file can't be read.
    """
    needs("ai-edge-litert")
    expect_kind("real_float16", real_float16, bool, "True or False")
    for job in expect_kind("jobs", jobs, (list, tuple), "several GpuJobs"):
        expect_kind("each of jobs", job, GpuJob, "a GpuJob")
        expect_kind("inputs", job.inputs, (list, tuple), "several {input name: array}")
        for arrays in job.inputs:
            expect_kind("each of inputs", arrays, dict, "{input name: array}")
        read_tflite(job.path)
    with tempfile.TemporaryDirectory() as folder:
        records = [_write_job(job, Path(folder) / str(index)) for index, job in enumerate(jobs)]
        listing = Path(folder) / "jobs.json"
        listing.write_text(json.dumps(records), encoding="utf-8")
        results, done = [], {}
        for index, (job, record) in enumerate(zip(jobs, records, strict=True)):
            if index not in done:
                done, adapter = _run_worker(listing, index, real_float16)
            reasons = done[index]
            results.append(GpuError(job.path, reasons) if reasons else GpuRun(_read_outputs(job, record), adapter))
        return results


def _write_job(job, folder):
    folder.mkdir()
    for number, arrays in enumerate(job.inputs):
        np.savez(folder / f"{number}.npz", **arrays)
    texts = {"inputs": str(folder / "{}.npz"), "outputs": str(folder / "outputs.npz"), "path": str(job.path)}
    return {**texts, "count": len(job.inputs), "float16": job.float16, "max_secs": job.max_secs}


def _read_outputs(job, record):
    results = [{} for _ in job.inputs]
    with np.load(record["outputs"]) as arrays:
        for key in arrays:
            number, _, name = key.partition("/")
            results[int(number)][name] = arrays[key]
    return results


def _run_worker(listing, first, real_float16):
    """Run jobs from number `first` on until the end or a crash; {job: reasons against it, None if it ran}, adapter."""
    child = _process.run(WORKER, str(listing), str(first), variables=driver.environment(real_float16))
    said = dict(re.findall(r"^--- job (\d+)\n(.*?)(?=^--- job |\Z)", child.stderr, re.DOTALL | re.MULTILINE))
    lines = [json.loads(line) for line in child.stdout.splitlines() if line.startswith('{"job"')]
    done = {line["job"]: line["error"] and why(said.get(str(line["job"]), ""), line["error"]) for line in lines}
    if child.returncode or not done:
        died = first + len(done)
        crash = f"the runtime crashed ({_process.how_it_ended(child.returncode)})"
        done[died] = why(said.get(str(died), child.stderr), crash)
    return done, adapter(child.stderr)


def adapter(stderr: str) -> str:
    """The name of the GPU, or what stands in for it, out of what the runtime wrote to stderr; "" if it says none."""
    found = re.search(r"Selected adapter: (.+?), arch=", stderr)
    return found[1] if found else ""


def why(stderr: str, otherwise: str) -> list[str]:
    """The accelerator's reasons against a file, out of what it wrote to stderr; `otherwise` where it gave none."""
    refused = re.search(r"not supported by GPU delegate:\n(.*?)\n\d+ operations will run", stderr, re.DOTALL)
    if refused:
        return list(dict.fromkeys(line.strip().rstrip(".") for line in refused[1].splitlines()))
    for pattern, meaning in MEANINGS.items():
        if found := re.search(pattern, stderr):
            return [found.expand(meaning)]
    return [otherwise]
