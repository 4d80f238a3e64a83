"""Time .mlpackage folders on this Mac or on an iPhone, by coremltools' MLModelBenchmarker."""

import asyncio
import contextlib
import dataclasses
import importlib.metadata
import itertools
import platform
import statistics
import time
import warnings
from pathlib import Path

import numpy as np

from keras_mobattn._quiet import import_coremltools
from keras_mobattn.benchmark.apple.iphone import LOST, DeviceLostError, expect_mac, find_iphone, quiet_bars, reason
from keras_mobattn.benchmark.measurement import Statistics
from keras_mobattn.benchmark.progress import progress
from keras_mobattn.benchmark.rows import (
    BenchmarkInterrupted,
    begin_row,
    names_of,
    pool_rounds,
    protocol,
    round_share,
)
from keras_mobattn.benchmark.this_machine.host import describe_host
from keras_mobattn.catalog import COREML_DEVICES, COREML_UNITS
from keras_mobattn.errors import InputError, choose, expect_range
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
    paths,
    *,
    device="mac",
    units=("all",),
    identifier=None,
    development_team=None,
    num_runs=50,
    warmup_runs=5,
    load_runs=1,
    min_secs=0.5,
    max_secs=150.0,
    rounds=3,
    cool_down=1.0,
    seed=0,
):
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
    whole = protocol(warmup_runs, num_runs, min_secs, max_secs, seed=seed)
    share = round_share(whole, rounds)
    expect_range("load_runs", load_runs, 1, whole=True)
    expect_range("cool_down", cool_down, 0)
    if not paths or not units:
        raise InputError("Expected at least one .mlpackage and one choice of compute units. Received: none.")
    for unit in units:
        choose(COREML_UNITS, unit, "compute units")
    choose(dict.fromkeys(COREML_DEVICES), device, "device")
    phone = find_iphone(identifier, development_team) if device == "iphone" else None
    expect_mac("Core ML")
    described = phone.describe() if phone else describe_host()
    rows = [_begin(*item, described, bool(phone), share) for item in _configurations(paths, units)]
    bench = _Bench(phone, rows, rounds, load_runs, cool_down)
    try:
        asyncio.run(bench.run())
    except KeyboardInterrupt:
        raise BenchmarkInterrupted([pool_rounds(parts, whole) for parts in bench.done if parts]) from None
    return [pool_rounds(parts, whole) for parts in bench.done]


def _configurations(paths, units):
    """[(path, name in tables, unit)], all of one package together, none twice."""
    paths = [Path(path) for path in paths]
    files = list(zip(paths, names_of(paths), strict=True))
    return [(*file, unit) for file, unit in dict.fromkeys(itertools.product(files, units))]


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
        python=platform.python_version(),
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


class _Bench:
    """Goes round the rows; `done` has the rounds of each so far."""

    def __init__(self, phone, rows, rounds, load_runs, cool_down):
        self.phone, self.rows, self.rounds, self.load_runs, self.cool_down = phone, rows, rounds, load_runs, cool_down
        self.done = [[] for _ in rows]
        self.worked = False  # since the last pause

    async def run(self):
        try:
            with progress(self.rounds * len(self.rows)) as show:
                if self.phone and not all(row.error for row in self.rows):
                    show("Putting coremltools' app on the phone; the first time it is built, which takes minutes")
                    await self.phone.ready()  # what is wrong with signing ends it all
                await self._go_round(show)
        except DeviceLostError as lost:  # before the first row: `_go_round` tells it in the rows
            raise InputError(f"{lost} Plug it in again and start again.") from lost
        finally:
            if self.phone:
                self.phone.stop()

    async def _go_round(self, show):
        for turn in range(self.rounds * len(self.rows)):
            parts, row = self.done[turn % len(self.rows)], self.rows[turn % len(self.rows)]
            show(f"Next: {row.name}, {row.backend}", done=turn)
            if parts and parts[-1].error:  # what failed in one round would fail in the next
                continue
            if row.error:
                parts.append(row)
                continue
            try:
                await self._pause(show, row)
                parts.append(await self._measure(row, show))
            except DeviceLostError as lost:
                warnings.warn(f"{lost} The rounds so far count.", stacklevel=2)
                for row, parts in zip(self.rows, self.done, strict=True):
                    if not parts:
                        parts.append(dataclasses.replace(row, error=str(lost)))
                return
            self.worked = True

    async def _pause(self, show, row):
        end = time.monotonic() + self.cool_down * self.worked
        while (left := end - time.monotonic()) > 0:
            show(f"Cooling down, {left:.0f} s; next: {row.name}, {row.backend}")
            await asyncio.sleep(min(left, 0.5))

    async def _measure(self, row, show):
        """The row with the figures of one round, or with the reason why there are none."""
        title = f"{row.name}, {row.backend}"
        with warnings.catch_warnings(record=True) as caught:  # what Core ML says on loading comes as a warning
            warnings.simplefilter("always")
            try:
                device = await self.phone.ready() if self.phone else None
                with quiet_bars():
                    return await _timed_row(row, device, self.load_runs, lambda phase: show(f"{title}: {phase}"))
            except DeviceLostError:
                raise
            except Exception as error:  # what Core ML, devicectl or coremltools have to say is the reason in the row
                if self.phone and not self.phone.is_there():
                    raise DeviceLostError(LOST) from error
                if self.phone:
                    self.phone.stop()  # the next row gets an app that has nothing loaded
                said = [str(warning.message) for warning in caught if warning.category is RuntimeWarning]
                return dataclasses.replace(row, error=" ".join([reason(error), *" ".join(said).split()]))


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
    return dataclasses.replace(
        row,
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
