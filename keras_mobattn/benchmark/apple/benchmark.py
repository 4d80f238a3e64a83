"""Time .mlpackage folders on this Mac or on an iPhone, by coremltools' MLModelBenchmarker."""

import asyncio
import contextlib
import dataclasses
import functools
import importlib.metadata
import itertools
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from keras_mobattn._quiet import import_coremltools
from keras_mobattn._types import PathLike
from keras_mobattn.benchmark.apple.details import AppleDetails
from keras_mobattn.benchmark.apple.iphone import LOST, expect_mac, find_iphone, quiet_bars, reason
from keras_mobattn.benchmark.loop import DeviceLostError, Target, time_rows
from keras_mobattn.benchmark.measurement import Measurement, Statistics
from keras_mobattn.benchmark.rows import begin_row, names_of, protocol
from keras_mobattn.benchmark.texts import title_of
from keras_mobattn.benchmark.this_machine.host import describe_host
from keras_mobattn.catalog import COREML_DEVICES, COREML_UNITS
from keras_mobattn.errors import InputError, choose, expect_kind, expect_path, expect_range
from keras_mobattn.formats.coreml.features import read_feature
from keras_mobattn.formats.coreml.package import read_mlpackage
from keras_mobattn.formats.identity import identify_mlpackage
from keras_mobattn.formats.random_inputs import random_inputs

IMAGES = {  # colour -> what an array must be for Pillow to make the image of it that `predict` takes
    "RGB": ("uint8", (3,)),
    "BGR": ("uint8", (3,)),  # swapped by Core ML
    "GRAYSCALE": ("uint8", ()),
    "GRAYSCALE_FLOAT16": ("float32", ()),
}


def benchmark_coreml(
    paths: Sequence[PathLike],
    *,
    device: str = "mac",
    units: Sequence[str] = ("all",),
    identifier: str | None = None,
    development_team: str | None = None,
    num_runs: int = 50,
    warmup_runs: int = 5,
    load_runs: int = 1,
    min_secs: float = 0.5,
    max_secs: float = 150.0,
    rounds: int = 3,
    cool_down: float = 1.0,
    seed: int = 0,
) -> list[Measurement]:
    """Time every package with every choice of compute units; return the Measurements in that order.

    `device` is "mac" (this one) or "iphone" (on its USB port: `identifier` chooses one of several, `development_team`
    signs the app that runs the models); `units` are names in COREML_UNITS, as Core ML may use them: it need not.

    Times are Core ML's own call alone, without conversion of inputs: `load_ms` is the median over `load_runs` loads in
    each round, of the compiled model; `load_samples_ms` has all, the very first with what a device does once.
    The rest is as in `benchmark_files`: rounds interleave the rows, limits are those of a whole row, inputs are random
    from `seed`. On a phone every prediction sends files to and fro, which counts in `max_secs` and not in the figures.
    Whatever goes wrong with a row is told in its `error`. When the phone goes away, the rounds so far count.

    Raises:
        InputError: no packages, an argument out of range, no macOS; for a phone what `find_iphone` raises, or that the
            app can't be put on it.
        BenchmarkInterrupted: on Ctrl-C, with the rows so far.
    """
    limits = protocol(warmup_runs, num_runs, min_secs, max_secs, seed=seed)
    expect_range("load_runs", load_runs, 1, whole=True)
    for name, several in {"paths": paths, "units": units}.items():
        expect_kind(name, several, (list, tuple), "several, in a tuple")
    if not paths or not units:
        raise InputError("Expected at least one .mlpackage and one choice of compute units. Received: none.")
    for unit in units:
        choose(COREML_UNITS, unit, "compute units")
    choose(dict.fromkeys(COREML_DEVICES), device, "device")
    paths = [expect_path(path) for path in paths]
    files = dict.fromkeys(zip(paths, names_of(paths), strict=True))
    configurations = [(*file, unit) for file, unit in dict.fromkeys(itertools.product(files, units))]
    find = functools.partial(find_iphone, identifier, development_team) if device == "iphone" else lambda: None
    return time_rows(Apple(configurations, limits, find, load_runs), rounds=rounds, cool_down=cool_down)


def _begin(path, name, unit, device, on_phone, limits):
    """A row without figures, or with the reason why it can't be timed there."""
    row = begin_row(
        path,
        name,
        None,
        identify=identify_mlpackage,
        device=device,
        runtime=f"Core ML via coremltools {importlib.metadata.version('coremltools')}",
        backend=COREML_UNITS[unit][0],
        details=AppleDetails(python=platform.python_version()),
        **limits,
    )
    if row.error:
        return row
    description = read_mlpackage(path).description
    features = [read_feature(feature) for feature in (*description.input, *description.output)]
    row = dataclasses.replace(row, inputs=tuple(_text(feature) for feature in features[: len(description.input)]))
    others = [feature for feature in features if feature.kind != "tensor"]
    if on_phone and others:
        listed = ", ".join(f"{feature.name} ({feature.kind})" for feature in others)
        wrong = f"The app on the phone takes and gives tensors alone. Not {listed}: time an export with tensors."
        return dataclasses.replace(row, error=wrong)
    return row


@dataclasses.dataclass
class Apple(Target):
    """This Mac, or an iPhone. coremltools' benchmarker is made for asyncio, which runs in here alone."""

    configurations: list  # (path, name in tables, unit) of each row
    limits: dict  # fields of every row
    find: Callable  # returns the Iphone, or None on this Mac
    load_runs: int = 1

    @contextlib.contextmanager
    def connected(self):
        self.phone = self.find()
        expect_mac("Core ML")
        device = self.phone.describe() if self.phone else describe_host()
        with asyncio.Runner() as self.runner:
            try:
                yield [_begin(*item, device, bool(self.phone), self.limits) for item in self.configurations]
            finally:
                if self.phone:
                    self.phone.stop()

    def start(self, rows, show):
        if self.phone and not all(row.error for row in rows):
            show("Putting coremltools' app on the phone; the first time it is built, which takes minutes")
            self.runner.run(self.phone.ready())  # what is wrong with signing ends it all

    def measure(self, row, show):
        with warnings.catch_warnings(record=True) as caught:  # what Core ML says on loading comes as a warning
            warnings.simplefilter("always")
            try:
                return self.runner.run(self._timed(row, lambda phase: show(f"{title_of(row)}: {phase}")))
            except DeviceLostError:
                raise
            except Exception as error:  # what Core ML, devicectl or coremltools have to say is the reason in the row
                if self.phone and not self.phone.is_there():
                    raise DeviceLostError(LOST) from error
                if self.phone:
                    self.phone.stop()  # the next row gets an app that has nothing loaded
                said = [str(warning.message) for warning in caught if warning.category is RuntimeWarning]
                return dataclasses.replace(row, error=" ".join([reason(error), *" ".join(said).split()]))

    async def _timed(self, row, show):
        device = await self.phone.ready() if self.phone else None
        with quiet_bars():
            return await _timed_row(row, device, self.load_runs, show)

    def pooled(self, parts):
        loads = tuple(itertools.chain.from_iterable(part.details.load_samples_ms for part in parts))
        return {"load_samples_ms": loads, "load_ms": statistics.median(loads)}


async def _timed_row(row, device, load_runs, show):
    ct = import_coremltools()
    from coremltools.models.ml_program.experimental.perf_utils import MLModelBenchmarker

    unit = next(name for backend, name in COREML_UNITS.values() if backend == row.backend)
    model = ct.models.MLModel(row.file, compute_units=ct.ComputeUnit[unit], skip_model_load=True)
    inputs = random_features(model.get_spec().description.input, row.seed)
    benchmarker = MLModelBenchmarker(model, device=device)
    show("loading")
    loads = (await benchmarker.benchmark_load(iterations=load_runs)).samples
    show("warming up")
    warmup = await timed_predictions(benchmarker, inputs, row.warmup_runs, 0, row.max_secs)
    show("running")
    samples = await timed_predictions(benchmarker, inputs, row.num_runs, row.min_secs, row.max_secs)
    # A model that is only dropped stays loaded on the phone: coremltools 9.0 makes a coroutine to unload it, unawaited.
    with contextlib.suppress(Exception):  # the figures are there
        await benchmarker._loaded_model.unload()
    return row.filled(
        load_ms=statistics.median(loads),
        load_samples_ms=tuple(loads),
        first_ms=(warmup + samples)[0],
        samples_ms=tuple(samples),
        statistics=Statistics.of(samples),
    )


async def timed_predictions(benchmarker, inputs, num_runs, min_secs, max_secs, clock=time.perf_counter):
    """Predict as benchmark_model does: at least `num_runs` times and `min_secs`, at most `max_secs`. Gives ms."""
    samples, start = [], clock()
    elapsed = 0.0
    while (len(samples) < num_runs or elapsed < min_secs) and elapsed < max_secs:
        samples += (await benchmarker.benchmark_predict(inputs=inputs, iterations=1)).samples
        await asyncio.sleep(0)  # on a Mac nothing else waits, and Ctrl-C comes through where something does
        elapsed = clock() - start
    return samples


def random_features(descriptions, seed):
    """{name: array or Pillow image} for Core ML's description of inputs; coremltools makes up no images.

    Raises:
        InputError: an input that is neither a tensor of a known size nor an image.
    """
    from PIL import Image

    features = [read_feature(description) for description in descriptions]
    details = {}
    for feature in features:
        dtype, channels = IMAGES[feature.colour] if feature.kind == "image" else (feature.dtype, ())
        if dtype is None or not feature.shape:
            raise InputError(
                "Expected inputs that can be made up: tensors of a known size, and images. "
                f"Received: {feature.name!r} ({feature.kind})."
            )
        details[feature.name] = {"shape": (*feature.shape, *channels), "dtype": dtype}
    arrays = random_inputs(details, np.random.default_rng(seed))
    return {f.name: Image.fromarray(arrays[f.name]) if f.kind == "image" else arrays[f.name] for f in features}


def _text(feature):
    """As in Measurement.inputs: "float32[1,256,256,3]", "image RGB[256,256]"."""
    kind = f"image {feature.colour}" if feature.kind == "image" else feature.dtype or feature.kind
    return f"{kind}[{','.join(map(str, feature.shape or ()))}]"
