"""What half precision makes of a file on images: where it overflows, what it loses, and which layer is to blame."""

import collections
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_mobattn.describe.difference import NO_NUMBER, max_errors
from keras_mobattn.errors import InputError, expect_kind, expect_name
from keras_mobattn.formats.coreml.features import is_channels_first
from keras_mobattn.formats.coreml.program import read_program
from keras_mobattn.formats.kinds import COREML, TFLITE, kind_of
from keras_mobattn.formats.tflite.contents import read_contents
from keras_mobattn.half import KINDS_MODES, TensorReport, evaluate_modes
from keras_mobattn.half.report import ENOUGH, first_overflow

MODES = {  # kind of file -> what its verdict is by
    TFLITE: ("stored", "reductions"),
    COREML: ("stored", "neural_engine"),
}
# As a share of the outputs' spread: the same for float16 computed here as for float16 on a GPU (GPU_MAX_ERROR). Random
# weights may be above, since their outputs hardly depend on the image.
MAX_ERROR = 1e-2
NOTABLE = 0.01  # share of a tensor's values below float16's normal numbers that is worth a line
FEW = 4  # lines of each list on the screen
FOR_CPU = "int8 weights: the file is for the CPU, which computes no half precision"
IN_FLOAT32 = "a float32 package: Core ML computes it in float32 on every device"


@dataclasses.dataclass(frozen=True)
class HalfMode:
    """A file run in one mode of `half.evaluate_half` on all images.

    `errors` are {output: largest difference from float32 as a share of the output's spread}, NO_NUMBER for NaN and
    infinity. `tensors` are in the order of the graph, each with the worst of all images.
    """

    errors: dict[str, float]
    tensors: tuple[TensorReport, ...]

    @property
    def first_overflow(self) -> TensorReport | None:
        """`half.first_overflow` of its tensors."""
        return first_overflow(self.tensors)

    @property
    def jumps(self) -> tuple[TensorReport, ...]:
        """The tensors where error came in, the largest part first."""
        return _few(self.tensors, lambda tensor: tensor.added)


@dataclasses.dataclass(frozen=True)
class HalfVerdict:
    """Half precision, computed on `num_images` images. Without `modes`, `not_judged` or `problem` says why.

    not_judged: the file is not for processors of half precision. problem: it could not be run.
    """

    num_images: int = 0
    modes: dict[str, HalfMode] = dataclasses.field(default_factory=dict)
    not_judged: str | None = None
    problem: str | None = None

    @property
    def tensors(self) -> tuple[TensorReport, ...]:
        """Those of the first mode: magnitudes are of the float32 run, the same in all."""
        return next(iter(self.modes.values())).tensors if self.modes else ()

    @property
    def tightest(self) -> tuple[TensorReport, ...]:
        """The tensors with the least headroom, of several with the same values the first."""
        by_headroom = {tensor.headroom: tensor for tensor in reversed(self.tensors)}
        return tuple(by_headroom[headroom] for headroom in sorted(by_headroom)[:FEW])

    @property
    def headroom(self) -> float | None:
        """The least of all tensors; None without a run."""
        return min((tensor.headroom for tensor in self.tensors), default=math.inf) if self.modes else None

    @property
    def subnormal(self) -> tuple[TensorReport, ...]:
        """The tensors with a notable share of values below float16's normal numbers, the largest share first."""
        return _few(self.tensors, lambda tensor: tensor.subnormal if tensor.subnormal >= NOTABLE else 0.0)

    @property
    def passed(self) -> bool:
        """In each mode everything finite and every output within MAX_ERROR, and nowhere less room than ENOUGH."""
        return bool(self.modes) and (self.headroom or 0.0) >= ENOUGH and all(map(_passed, self.modes.values()))

    def as_dict(self) -> dict[str, Any]:
        """For JSON, which has no infinity: NO_NUMBER in its place."""
        record = dataclasses.asdict(self) | {"headroom": self.headroom, "passed": self.passed}
        return _finite(record)


def half_verdict(path, images, modes=()):
    """Judge a .tflite file or an .mlpackage; return a HalfVerdict.

    `images` is a function of (height, width) that returns images [n, H, W, 3] in the range that the file takes. `modes`
    are further ones of `half.evaluate_half`.

    Raises:
        InputError: no such function, an unknown mode, or a name that is no such file's. What is wrong with the file is
            the verdict's `problem`.
    """
    expect_kind("half_images", images, Callable, "a function of (height, width)")
    kind = kind_of(path)
    if kind is None:
        raise InputError(
            f"Expected a .tflite file or an .mlpackage, to compute it in half precision. Received: {path}. Rename it."
        )
    for mode in modes:
        expect_name(KINDS_MODES[kind], mode, "half_modes")
    try:
        not_judged, size, feed = READERS[kind](path)
    except InputError as error:
        return HalfVerdict(problem=str(error))
    if not_judged:
        return HalfVerdict(not_judged=not_judged)
    pictures = np.asarray(images(size), np.float32)
    try:
        runs = [evaluate_modes(path, feed(picture[None]), (*MODES[kind], *modes)) for picture in pictures]
    except InputError as error:
        return HalfVerdict(problem=str(error))
    by_mode = {mode: [run[mode] for run in runs] for mode in runs[0]}
    return HalfVerdict(len(runs), {mode: _mode(reports) for mode, reports in by_mode.items()})


def _mode(reports):
    errors = max_errors([report.outputs for report in reports], [report.expected for report in reports])
    return HalfMode(errors, tuple(map(_worst, *(report.tensors for report in reports))))


def _worst(*tensors):
    """One tensor on several images, as one record."""
    figures = collections.defaultdict(list)
    for tensor in tensors:
        for name in ("largest", "subnormal", "running_sum", "error", "inherited", "passed_on"):
            figures[name].append(getattr(tensor, name))
    worst = {name: None if None in values else float(np.max(values)) for name, values in figures.items()}
    return dataclasses.replace(tensors[0], **worst)


def _passed(mode):
    return mode.first_overflow is None and all(error <= MAX_ERROR for error in mode.errors.values())


def _few(tensors, figure):
    return tuple(sorted(filter(figure, tensors), key=figure, reverse=True)[:FEW])


def _read_tflite(path):
    """(why the file isn't judged, or None; height and width of its input; [1, H, W, 3] -> {input: array})."""
    contents = read_contents(path)
    if any(tensor.dtype == "int8" and tensor.constant_bytes for tensor in contents.tensors):
        return FOR_CPU, None, None
    ((name, tensor),) = _expect_one(path, contents.inputs.items())
    size, arrange = _arrangement(path, tensor.shape)

    def feed(picture):
        values = arrange(picture)
        if tensor.scale is not None:
            limits = np.iinfo(tensor.dtype)
            values = np.clip(np.round(values / tensor.scale) + tensor.zero_point, limits.min, limits.max)
        return {name: values.astype(tensor.dtype)}

    return None, size, feed


def _read_package(path):
    """The same of an .mlpackage."""
    program = read_program(path)
    results = [result for operation in program.operations for result in operation.results]
    if not any(result.dtype == "float16" for result in results):
        return IN_FLOAT32, None, None
    features = [feature for feature in program.inputs if feature.kind != "double"]  # thresholds of an object detector
    (value,), (feature,) = _expect_one(path, program.values), _expect_one(path, features)
    size, arrange = _arrangement(path, (1, 3, *feature.shape) if feature.kind == "image" else feature.shape or ())
    return None, size, lambda picture: {value.name: arrange(picture)}


READERS = {TFLITE: _read_tflite, COREML: _read_package}


def _expect_one(path, inputs):
    if len(inputs) != 1:
        raise InputError(f"Expected a file of one input, an image. Received: {str(path)!r} with {len(inputs)}.")
    return inputs


def _arrangement(path, shape):
    """(height and width of an input of `shape`; what makes [1, H, W, 3] fit it): channels last or first, 3 or 1."""
    first = is_channels_first(shape)
    *size, channels = (shape[2], shape[3], shape[1]) if first else shape[1:] or (0,)
    if len(size) != 2 or min(size) < 1 or channels not in (1, 3):
        raise InputError(
            f"Expected an input [1, height, width, 3] of a fixed size. Received: {str(path)!r} with {list(shape)}. "
            "Call keras_mobattn.half.evaluate_half on inputs of your own."
        )

    def arrange(picture):
        picture = picture if channels == 3 else picture.mean(-1, keepdims=True)
        return picture.transpose(0, 3, 1, 2) if first else picture

    return tuple(size), arrange


def _finite(value):
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value if not isinstance(value, float) or math.isfinite(value) else NO_NUMBER
