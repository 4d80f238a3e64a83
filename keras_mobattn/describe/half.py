"""What half precision makes of a file on images: where it overflows, what it loses, and which layer is to blame."""

import collections
import dataclasses
import math

import numpy as np

from keras_mobattn.describe.difference import NO_NUMBER, max_errors
from keras_mobattn.errors import InputError
from keras_mobattn.formats.coreml.program import read_program
from keras_mobattn.formats.kinds import COREML, TFLITE, kind_of
from keras_mobattn.formats.tflite.contents import read_contents
from keras_mobattn.half import TensorReport, evaluate_modes

MODES = {TFLITE: ("stored", "reductions"), COREML: ("stored",)}  # kind of file -> what its verdict is by
MIN_HEADROOM = 4.0  # other images have larger values than the few that were looked at, and devices other sums
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
    def first_overflow(self):
        """The first tensor with infinity or NaN where float32 has neither; None if there is none."""
        return next((tensor for tensor in self.tensors if math.isinf(tensor.error)), None)

    @property
    def jumps(self):
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
    def tensors(self):
        """Those of the first mode: magnitudes are of the float32 run, the same in all."""
        return next(iter(self.modes.values())).tensors if self.modes else ()

    @property
    def tightest(self):
        """The tensors with the least headroom, of several with the same values the first."""
        by_reach = {tensor.reached: tensor for tensor in reversed(self.tensors)}
        return tuple(by_reach[reached] for reached in sorted(by_reach, reverse=True)[:FEW])

    @property
    def headroom(self):
        """The least of all tensors; None without a run."""
        return self.tightest[0].headroom if self.tensors else None

    @property
    def subnormal(self):
        """The tensors with a notable share of values below float16's normal numbers, the largest share first."""
        return _few(self.tensors, lambda tensor: tensor.subnormal if tensor.subnormal >= NOTABLE else 0.0)

    @property
    def passed(self):
        """In each mode everything finite and every output within MAX_ERROR, and nowhere less room than MIN_HEADROOM."""
        return bool(self.modes) and self.headroom >= MIN_HEADROOM and all(map(_passed, self.modes.values()))

    def as_dict(self):
        """For JSON, which has no infinity: NO_NUMBER in its place."""
        record = dataclasses.asdict(self) | {"headroom": self.headroom, "passed": self.passed}
        return _finite(record)


def half_verdict(path, images, modes=()):
    """Judge a .tflite file or an .mlpackage; return a HalfVerdict.

    `images` is a function of (height, width) that returns images [n, H, W, 3] in the range that the file takes. `modes`
    are further ones of `half.evaluate_half`.
    """
    kind = kind_of(path)
    find = {TFLITE: _tflite_input, COREML: _package_input}[kind]
    try:
        not_judged, inputs = find(path, images)
        if not_judged:
            return HalfVerdict(not_judged=not_judged)
        runs = [evaluate_modes(path, each, (*MODES[kind], *modes)) for each in inputs]
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


def _tflite_input(path, images):
    """(why the file isn't judged or None, its inputs image by image)."""
    contents = read_contents(path)
    if any(tensor.dtype == "int8" and tensor.constant_bytes for tensor in contents.tensors):
        return FOR_CPU, ()
    ((name, tensor),) = _expect_one(path, contents.inputs.items())
    pictures = _pictures(path, tensor.shape, images)
    if tensor.scale is not None:
        limits = np.iinfo(tensor.dtype)
        pictures = np.clip(np.round(pictures / tensor.scale) + tensor.zero_point, limits.min, limits.max)
    return None, [{name: picture.astype(tensor.dtype)} for picture in pictures]


def _package_input(path, images):
    program = read_program(path)
    results = [result for operation in program.operations for result in operation.results]
    if not any(result.dtype == "float16" for result in results):
        return IN_FLOAT32, ()
    (value,), (feature,) = _expect_one(path, program.values), _expect_one(path, program.inputs)
    shape = (1, 3, *feature.shape) if feature.kind == "image" else feature.shape
    return None, [{value.name: picture} for picture in _pictures(path, shape or (), images)]


def _expect_one(path, inputs):
    if len(inputs) != 1:
        raise InputError(f"Expected a file of one input, an image. Received: {str(path)!r} with {len(inputs)}.")
    return inputs


def _pictures(path, shape, images):
    """Images as an input of `shape` takes them, one by one: channels last or first, three or one."""
    first = len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3)
    *size, channels = (shape[2], shape[3], shape[1]) if first else shape[1:] or (0,)
    if len(size) != 2 or min(size) < 1 or channels not in (1, 3):
        raise InputError(
            f"Expected an input [1, height, width, 3] of a fixed size. Received: {str(path)!r} with {list(shape)}. "
            "Call keras_mobattn.half.evaluate_half on inputs of your own."
        )
    pictures = np.asarray(images(tuple(size)), np.float32)
    pictures = pictures if channels == 3 else pictures.mean(-1, keepdims=True)
    return [(picture.transpose(2, 0, 1) if first else picture)[None] for picture in pictures]


def _finite(value):
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value if not isinstance(value, float) or math.isfinite(value) else NO_NUMBER
