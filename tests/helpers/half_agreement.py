"""How the accelerator's half precision agrees with the evaluator's modes, operator by operator: a table in Markdown.

    make gpu-half && .venv/bin/python tests/helpers/half_agreement.py

Differences are in units of float16's last place at an output's largest value.
"""

import dataclasses
import sys
import tempfile
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.half_cases import CASES, SHAPES, names_of, tensors, write_cases
from keras_mobattn import gpu
from keras_mobattn.half import MODES, evaluate_half

OUTPUT = "case 0"
REFUSED = {"BROADCAST_TO", "L2_NORMALIZATION", "PACK", "STRIDED_SLICE"}
# Numbers are wrong in float32 too, without a word (ai-edge-litert 2.3.0): tests/gpu/test_convolutions_on_record.py
WRONG = {"CONV_2D groups", "TRANSPOSE_CONV"}


@dataclasses.dataclass(frozen=True)
class Agreement:
    """An operator's result on the accelerator, in float32 and in half precision, and of each mode."""

    float32: np.ndarray
    half: np.ndarray
    modes: dict

    @property
    def unit(self):
        return float(np.spacing(np.abs(self.modes["float32"]).max().astype(np.float16)))

    def equal(self, mode):
        """The share of values that are the mode's, bit by bit."""
        return float((self.half == self.modes[mode]).mean())

    def units(self, mode):
        """The largest difference from the mode."""
        return float(np.abs(self.half.astype(np.float64) - self.modes[mode]).max() / self.unit)

    @property
    def nearest(self):
        """The mode with the most equal values, of several the one with the smallest difference; "cut" is float32's."""
        half = [mode for mode in self.modes if mode != "float32"]
        return max(half, key=lambda mode: (self.equal(mode), -self.units(mode)))


def cut_to_half(values):
    """Float32 values rounded to float16 toward zero, as float32: what would be infinite is 65504."""
    with np.errstate(over="ignore"):
        halves = np.asarray(values, np.float16)
    beyond = np.abs(halves.astype(np.float64)) > np.abs(values)
    return np.where(beyond, np.nextafter(halves, np.float16(0)), halves).astype(np.float32)


def agreements(folder, cases=CASES, shapes=SHAPES, given=None):
    """{operator: its Agreement, or the GpuError with which it is refused}, of cases as in half_cases.py."""
    given = tensors() if given is None else given
    inputs = {name: {each: given[each] for each in names_of(call)} for name, (call, _) in cases.items()}
    files = {
        name: write_cases(folder / f"{number}.tflite", {name: case}, {each: shapes[each] for each in inputs[name]})
        for number, (name, case) in enumerate(cases.items())
    }
    jobs = [gpu.GpuJob(files[name], [inputs[name]], float16) for float16 in (False, True) for name in cases]
    runs = gpu.run_jobs_on_gpu(jobs, real_float16=True)
    found = {}
    for name, single, half in zip(cases, runs, runs[len(cases) :], strict=False):
        refused = next((run for run in (single, half) if isinstance(run, gpu.GpuError)), None)
        if not refused:
            modes = {mode: evaluate_half(files[name], inputs[name], mode).outputs[OUTPUT] for mode in MODES}
            modes["cut"] = cut_to_half(modes["float32"])
            single, half = (run.outputs[0][OUTPUT] for run in (single, half))
        found[name] = refused or Agreement(single, half, modes)
    return found


def table(found):
    """The lines of a table in Markdown; operators without a difference share a row."""
    ran = {name: each for name, each in found.items() if name not in WRONG and not isinstance(each, gpu.GpuError)}
    exact = [name for name, each in ran.items() if each.equal("stored") == 1]
    yield "| operator | nearest | bit-equal, % | units from nearest | from stored | from reductions | from products |"
    yield "|---|---|---|---|---|---|---|"
    yield f"| {', '.join(exact)} | stored | 100 | 0 | 0 | 0 | 0 |"
    for name in (name for name in ran if name not in exact):
        each, mode = ran[name], ran[name].nearest
        numbers = [100 * each.equal(mode), each.units(mode), *map(each.units, ("stored", "reductions", "products"))]
        yield f"| {name} | {mode} | {' | '.join(f'{number:.3g}' for number in numbers)} |"
    yield f"\nRefused: {', '.join(name for name, each in found.items() if isinstance(each, gpu.GpuError))}."
    yield f"Wrong in float32 already: {', '.join(name for name in found if name in WRONG)}."


if __name__ == "__main__":
    if problem := gpu.gpu_problem(real_float16=True):
        sys.exit(problem)
    with tempfile.TemporaryDirectory() as scratch:
        print(f"On {gpu.gpu_adapter(real_float16=True)}.\n", *table(agreements(Path(scratch))), sep="\n")
