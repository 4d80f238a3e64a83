"""Benchmarks of Core ML packages with coremltools' own MLModelBenchmarker; a stand-in takes Core ML's place behind it.

Nothing of Apple's is here. What stands in has the signatures of the installed coremltools (`create_autospec`), its own
dataclasses and its abstract base class, so that a renamed argument fails.
"""

import asyncio
import dataclasses
import functools
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import small_packages

from keras_mobattn import benchmark, cli, report
from keras_mobattn._quiet import import_coremltools
from keras_mobattn.benchmark import coreml, coreml_device, host
from keras_mobattn.benchmark.measurement import Device, Statistics
from keras_mobattn.errors import InputError

ct = import_coremltools()
from coremltools.models.ml_program.experimental import async_wrapper, perf_utils, remote_device  # noqa: E402 (quietly)

ROOT = Path(__file__).parents[1]
QUICK = {"warmup_runs": 2, "num_runs": 4, "min_secs": 0.0, "max_secs": 20.0, "cool_down": 0.0}
TEAM = "ABCDE12345"
on_linux = pytest.mark.skipif(platform.system() == "Darwin", reason="what is told where Core ML doesn't run")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """package(name) is the path of a small package, written once."""
    folder = tmp_path_factory.mktemp("packages")
    return functools.cache(lambda name: small_packages.write(name, folder))


class Model(async_wrapper.MLModelAsyncWrapper):
    """Core ML's place: loads take 100, 200, ... ms in all, predictions 1, 2, ... ms of each loaded model."""

    loads = 0

    def __init__(self, log, device, **options):
        super().__init__(**options)
        self.log, self.device, self.predictions, self.loaded = log, device, 0, False

    async def load(self):
        self._tell("load")
        Model.loads += 1
        self.loaded, self.load_number = True, Model.loads

    async def unload(self):
        self._tell("unload")
        self.loaded = False

    async def predict(self, inputs, state=None):
        assert self.loaded
        self._tell("predict")
        self.inputs = inputs
        self.predictions += 1
        return {}

    def _tell(self, what):
        name = self.spec_or_path.description.output[0].name
        self.log.append((what, name, self.compute_units.name))
        if self.log.hook:
            self.log.hook(what, self)

    def make_state_if_needed(self):
        return None

    async def retrieve_compute_plan(self):
        raise NotImplementedError

    @property
    def load_duration_in_nano_seconds(self):
        return int(1e8) * self.load_number

    @property
    def last_predict_duration_in_nano_seconds(self):
        return int(1e6) * self.predictions


class Log(list):
    """What was asked of Core ML; `hook(what, model)` is called with each, and may raise."""

    hook = None

    def count_of(self, what):
        return sum(entry[0] == what for entry in self)


@pytest.fixture
def mac(monkeypatch):
    """A Mac, as far as anyone can see. Gives the Log."""
    log, Model.loads = Log(), 0
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
    monkeypatch.setattr(host, "_sysctl", {"hw.model": "Mac14,2", "machdep.cpu.brand_string": "Apple M2"}.get)
    real = async_wrapper.MLModelAsyncWrapper.from_spec_or_path
    stand_in = mock.create_autospec(real, side_effect=functools.partial(Model, log))
    monkeypatch.setattr(async_wrapper.MLModelAsyncWrapper, "from_spec_or_path", stand_in)
    return log


def _bench(paths, **options):
    return benchmark.benchmark_coreml(paths, **{**QUICK, **options})


def test_the_whole_record(package, mac):
    (row,) = _bench([package("good")], rounds=1, seed=3)
    assert row.error is None
    assert (row.name, row.backend, row.num_threads) == ("good", "coreml all", None)
    assert (row.load_ms, row.load_samples_ms) == (100.0, (100.0,))
    assert row.first_ms == 1.0  # the very first, of the warm-up
    assert row.samples_ms == (3.0, 4.0, 5.0, 6.0)
    assert row.statistics == Statistics.of((3, 4, 5, 6))
    assert row.inputs == ("float32[1,3,8,8]",)
    assert row.runtime == f"Core ML via coremltools {ct.__version__}"
    assert row.device == Device("Apple M2 (Mac14,2)", f"macOS 15.1 {platform.machine()}", host.describe_host().cores)
    assert row.size_bytes == sum(file.stat().st_size for file in package("good").rglob("*") if file.is_file())
    assert len(row.sha256) == 16
    assert (row.warmup_runs, row.num_runs, row.max_secs, row.seed, row.rounds) == (2, 4, 20.0, 3, 1)
    assert row.date[4] == "-"
    assert mac == [("load", "y", "ALL"), *[("predict", "y", "ALL")] * 6, ("unload", "y", "ALL")]


def test_without_warm_up_the_first_is_the_first_sample(package, mac):
    (row,) = _bench([package("good")], rounds=1, warmup_runs=0)
    assert (row.first_ms, row.samples_ms) == (1.0, (1.0, 2.0, 3.0, 4.0))


def test_every_choice_of_units_is_coremltools_own(package, mac):
    rows = _bench([package("good")], rounds=1, units=tuple(benchmark.COREML_UNITS))
    assert [row.backend for row in rows] == ["coreml all", "coreml cpu", "coreml cpu-gpu", "coreml cpu-ane"]
    units = [unit for what, _, unit in mac if what == "load"]
    assert units == ["ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE"]
    assert set(units) == {unit.name for unit in ct.ComputeUnit}


def test_rounds_are_interleaved_and_pooled(package, mac):
    paths = package("good"), package("rank_5")
    first, second = _bench(paths, rounds=3, num_runs=4, load_runs=2)
    assert (first.rounds, first.num_runs, first.statistics.count) == (3, 4, 6)  # 3 rounds of ceil(4 / 3)
    assert first.samples_ms == (3.0, 4.0) * 3
    # Two loads each turn about: 1, 2 and 5, 6 and 9, 10 are the first one's.
    assert first.load_samples_ms == (100.0, 200.0, 500.0, 600.0, 900.0, 1000.0)
    assert (first.load_ms, second.load_ms) == (550.0, 750.0)
    assert mac.count_of("load") == mac.count_of("unload") == 12


STOPS = {  # num_runs, min_secs, max_secs -> predictions, when every one takes 1/8 s
    "num_runs alone": ((5, 0, 100), 5),
    "min_secs asks for more": ((5, 1, 100), 8),
    "max_secs ends it": ((100, 0, 0.3), 3),
    "no warm-up": ((0, 0, 100), 0),
}


@pytest.mark.parametrize("name", STOPS)
def test_stop_rule(name):
    limits, runs = STOPS[name]
    now, real = [0.0], perf_utils.MLModelBenchmarker

    async def predict(inputs=None, iterations=1, warmup=False):
        now[0] += 0.125
        return real.Measurement.from_samples([7.0] * iterations)

    stand_in = mock.create_autospec(real, instance=True)
    stand_in.benchmark_predict.side_effect = predict
    found = asyncio.run(coreml.timed_predictions(stand_in, {"x": 1}, *limits, clock=lambda: now[0]))
    assert found == [7.0] * runs


def test_cool_down_is_before_every_measurement_but_the_first(package, mac, monkeypatch):
    slept, real = [], asyncio.sleep

    async def sleep(seconds):
        slept.append(seconds)
        await real(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    _bench([package("good")], rounds=3, cool_down=0.05)
    assert 0.08 < sum(slept) <= 0.11


def test_inputs_are_random_seeded_and_accepted_by_coremltools(package):
    for name in ("good", "classifier", "enumerated"):
        model = ct.models.MLModel(str(package(name)), skip_model_load=True)
        first, same, other = (
            coreml.random_features(model.get_spec().description.input, seed)["x"] for seed in (1, 1, 2)
        )
        model._verify_input_dict({"x": first})  # raises where names or Pillow's modes don't fit
        assert np.array_equal(first, same)
        assert not np.array_equal(first, other)
        shape = (8, 8, 3) if name == "classifier" else (1, 3, 8, 8)
        assert np.shape(first) == shape


COLOURS = {"RGB": "RGB", "BGR": "RGB", "GRAYSCALE": "L", "GRAYSCALE_FLOAT16": "F"}
DTYPES = {"FLOAT32": np.float32, "FLOAT16": np.float16, "DOUBLE": np.float64, "INT32": np.int32}


def test_inputs_of_every_kind():
    proto = ct.proto
    description = proto.Model_pb2.ModelDescription()
    for colour in COLOURS:
        image = description.input.add(name=colour).type.imageType
        image.width, image.height = 5, 4
        image.colorSpace = proto.FeatureTypes_pb2.ImageFeatureType.ColorSpace.Value(colour)
    for dtype in DTYPES:
        array = description.input.add(name=dtype).type.multiArrayType
        array.shape.extend([2, 3])
        array.dataType = proto.FeatureTypes_pb2.ArrayFeatureType.ArrayDataType.Value(dtype)
    made = coreml.random_features(description.input, 0)
    assert {name: (made[name].mode, made[name].size) for name in COLOURS} == {
        name: (mode, (5, 4)) for name, mode in COLOURS.items()
    }
    assert {name: (made[name].dtype, made[name].shape) for name in DTYPES} == {
        name: (np.dtype(dtype), (2, 3)) for name, dtype in DTYPES.items()
    }
    description.input.add(name="text").type.stringType.SetInParent()
    with pytest.raises(InputError, match=r"Input 'text' \(string\) can't be made up"):
        coreml.random_features(description.input, 0)


def test_the_hash_is_of_all_files_and_their_names(package, tmp_path):
    path = shutil.copytree(package("good"), tmp_path / "a.mlpackage")
    size, sha256, wrong = coreml.identify_mlpackage(path)
    assert wrong is None
    copy = shutil.copytree(path, tmp_path / "b.mlpackage")
    assert coreml.identify_mlpackage(copy)[1].digest() == sha256.digest()
    (copy / "note").write_bytes(b"1")
    assert coreml.identify_mlpackage(copy)[0] == size + 1
    with_note = coreml.identify_mlpackage(copy)[1].digest()
    (copy / "note").rename(copy / "other")
    assert len({sha256.digest(), with_note, coreml.identify_mlpackage(copy)[1].digest()}) == 3


def test_a_bad_package_is_a_row_and_the_others_are_kept(package, mac, tmp_path):
    (tmp_path / "file.mlpackage").write_text("no folder")
    (tmp_path / "empty.mlpackage").mkdir()
    paths = [tmp_path / "gone.mlpackage", tmp_path / "file.mlpackage", tmp_path / "empty.mlpackage", package("good")]
    *bad, good = _bench(paths, rounds=2)
    for row, why in zip(bad, ("there is nothing", "it is a file", "no Manifest.json"), strict=True):
        assert why in row.error
        assert (row.statistics, row.samples_ms) == (None, ())
    assert (good.error, good.statistics.count) == (None, 4)


def _fails_at(what, number, error):
    """A hook that raises the `number`th time of `what`."""
    seen = []

    def hook(now, model):
        seen.append(now)
        if now == what and seen.count(what) == number:
            raise error

    return hook


def test_what_core_ml_says_is_the_reason(package, mac):
    def refuse(what, model):
        if what == "load" and len(mac) == 1:
            warnings.warn("Underlying exception message was: Error compiling\nmodel.", RuntimeWarning, stacklevel=2)
            raise ValueError("Failed to load model")

    mac.hook = refuse
    bad, good = _bench([package("good")], units=("cpu", "all"), rounds=2)
    assert bad.error == "Failed to load model. Underlying exception message was: Error compiling model."
    assert good.statistics.count == 4
    assert [entry[0] for entry in mac].count("load") == 3  # what failed is not tried again
    mac.hook = _fails_at("predict", 4, RuntimeError("Unable to compute\nthe prediction"))
    (row,) = _bench([package("good")], rounds=1)
    assert row.error == "Unable to compute the prediction."


def _interrupt():
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("how", ["raised", "signal"])
def test_ctrl_c_keeps_the_rows_so_far(package, mac, monkeypatch, how):
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background

    def hook(what, model):
        if mac.count_of("load") == 4 and what == "predict":
            if how == "raised":
                raise KeyboardInterrupt
            _interrupt()

    mac.hook = hook
    try:
        with pytest.raises(benchmark.BenchmarkInterrupted) as stop:
            _bench([package("good")], units=("cpu", "cpu-gpu", "all"), rounds=3)
    finally:
        signal.signal(signal.SIGINT, handler)
    rows = stop.value.measurements
    assert [(row.backend, row.rounds, row.statistics.count) for row in rows] == [
        ("coreml cpu", 1, 2), ("coreml cpu-gpu", 1, 2), ("coreml all", 1, 2),
    ]  # fmt: skip


BAD_ARGUMENTS = {
    "units": (("gpu",), "Unknown compute units: expected one of 'all', 'cpu', 'cpu-gpu', 'cpu-ane'. Received: 'gpu'"),
    "device": ("ipad", "Unknown device: expected one of 'mac', 'iphone'. Received: 'ipad'"),
    "rounds": (0, "Expected rounds of 1 or more. Received: 0"),
    "load_runs": (0, "Expected load_runs of 1 or more. Received: 0"),
    "cool_down": (-1, "Expected cool_down of 0 or more. Received: -1"),
    "num_runs": (0, "Expected num_runs of 1 or more. Received: 0"),
    "max_secs": (0, "Expected max_secs above 0"),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_arguments(mac, name):
    value, message = BAD_ARGUMENTS[name]
    with pytest.raises(InputError, match=message):
        _bench(["a.mlpackage"], **{name: value})


def test_nothing_to_time(mac):
    for paths, units in (((), ("all",)), (("a.mlpackage",), ())):
        with pytest.raises(InputError, match="at least one .mlpackage and one choice of compute units"):
            _bench(paths, units=units)


@on_linux
def test_off_macos_it_is_one_sentence(package):
    for device, what in (("mac", "Core ML"), ("iphone", "timing on an iPhone")):
        with pytest.raises(InputError, match=f"Expected macOS, which {what} needs. Received: Linux. Copy the packages"):
            _bench([package("good")], device=device)


@on_linux
def test_what_coremltools_itself_says_here(package):
    """With nothing in its place: the errors that our sentences come before, and rows that have them."""
    fields = {"inputs": (), "seed": 0, "warmup_runs": 1, "num_runs": 1, "min_secs": 0, "max_secs": 1}
    row = benchmark.Measurement("good", str(package("good")), Device("a", "b"), "rt", "coreml all", **fields)
    bench = coreml._Bench(None, [row], 1, 1, 0)
    asyncio.run(bench.run())
    assert bench.done[0][0].error == "Failed to load model."
    with pytest.raises(ValueError, match="The 'devicectl' command is required"):
        remote_device.Device.get_connected_devices(remote_device.DeviceType.IPHONE)
    model = ct.models.MLModel(str(package("good")), skip_model_load=True)
    assert perf_utils.MLModelBenchmarker(model, device=None)._loaded_model is None  # private, and unloaded by us


# --- an iPhone ---

XCRUN = """#!/bin/sh
[ "$1" = -f ] && {{ echo {bin}/xcode/devicectl; exit 0; }}
for last; do :; done
cp {bin}/$4.json "$last" || exit 1
"""
DETAILS = {"productType": "iPhone16,1", "marketingName": "iPhone 15 Pro", "cpuType": {"name": "arm64e"}}


class Phone:
    """What devicectl and the runner app would do; tests change its attributes."""

    def __init__(self, folder):
        self.folder = folder
        self.devices = [self.device("Anna's iPhone", "0001")]
        self.listing_fails = None
        self.session = mock.create_autospec(remote_device._AppSession, instance=True)
        self.session.is_alive.return_value = True
        self.prepared = []

    def device(self, name, number, **changed):
        known = dict(
            name=name,
            type=remote_device.DeviceType.IPHONE,
            identifier=f"ID-{number}",
            udid=f"UDID-{number}",
            os_version="18.1",
            os_build_number="22B83",
            developer_mode_state="enabled",
            state=remote_device.DeviceState.CONNECTED,
            session=None,
        )
        return remote_device.Device(**{**known, **changed})

    def change(self, **changed):
        self.devices = [dataclasses.replace(self.devices[0], **changed)]

    def script(self, name, text):
        (self.folder / name).write_text(f"#!/bin/sh\n{text}\n")

    def answer(self, subcommand, result):
        """What `xcrun devicectl device info SUBCOMMAND` gives."""
        (self.folder / f"{subcommand}.json").write_text(json.dumps({"result": result}))

    def list(self):
        if self.listing_fails:
            raise self.listing_fails
        return self.devices

    async def prepare(self, device, credentials=None, working_directory=None, clean=False):
        print("Setting up", file=sys.stderr)  # as coremltools' bars do
        self.prepared.append((device.identifier, credentials, working_directory))
        self.session.working_directory = working_directory / "build"
        self.session.working_directory.mkdir(exist_ok=True)
        self.session.is_alive.return_value = True
        return dataclasses.replace(device, session=self.session)


@pytest.fixture
def phone(mac, monkeypatch, tmp_path):
    """A Mac with Xcode and an unlocked iPhone in Developer Mode."""
    bin = tmp_path / "bin"
    (bin / "xcode").mkdir(parents=True)
    scripts = {
        "xcodebuild": "#!/bin/sh\necho Xcode 16.1\n",
        "xcrun": XCRUN.format(bin=bin),
        "xcode/devicectl": "#!/bin/sh\n",
    }
    for name, text in scripts.items():
        (bin / name).write_text(text)
        (bin / name).chmod(0o755)
    phone = Phone(bin)
    phone.answer("lockState", {"passcodeRequired": False, "unlockedSinceBoot": True})
    phone.answer("details", {"hardwareProperties": DETAILS})
    monkeypatch.setenv("PATH", os.pathsep.join([str(bin), "/usr/bin", "/bin"]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("DEVELOPMENT_TEAM", raising=False)
    listing = mock.create_autospec(remote_device._DeviceCtl.get_devices, side_effect=phone.list)
    monkeypatch.setattr(remote_device._DeviceCtl, "get_devices", listing)

    async def prepare(*args, **kwargs):
        return await phone.prepare(*args, **kwargs)

    real = remote_device.Device.prepare_for_model_debugging
    stand_in = mock.create_autospec(real, side_effect=prepare)
    monkeypatch.setattr(remote_device.Device, "prepare_for_model_debugging", stand_in)
    return phone


def _on_phone(paths, **options):
    return _bench(paths, device="iphone", development_team=TEAM, **options)


def test_a_phone_from_end_to_end(package, phone, mac, capfd):
    row, other = _on_phone([package("good")], units=("cpu-ane", "cpu"), rounds=2)
    assert (row.error, other.error) == (None, None)
    assert row.device == Device("iPhone 15 Pro (iPhone16,1)", "iOS 18.1 (22B83)", abi="arm64e")
    assert (row.backend, row.samples_ms, row.load_samples_ms) == ("coreml cpu-ane", (3.0, 4.0) * 2, (100.0, 300.0))
    ((identifier, credentials, folder),) = phone.prepared  # once, whatever the rows
    assert identifier == "ID-0001"
    assert credentials == remote_device.AppSigningCredentials(
        development_team=TEAM, bundle_identifier="com.coremltools.modelrunnerd.abcde12345"
    )
    assert folder.parts[-3:] == ("keras_mobattn", "modelrunner", f"{ct.__version__}-{TEAM}")
    assert not phone.session.working_directory.exists()
    phone.session.stop.assert_called_once_with()
    assert mac.count_of("load") == mac.count_of("unload") == 4
    assert os.environ["PATH"].startswith(str(phone.folder / "xcode"))  # where coremltools looks for devicectl
    assert "Setting up" not in capfd.readouterr().err
    assert "Anna" not in json.dumps([dataclasses.asdict(row), dataclasses.asdict(other)])


def test_models_are_loaded_on_the_device_with_the_app(package, phone, mac):
    devices = []
    mac.hook = lambda what, model: devices.append(model.device)
    _on_phone([package("good")], rounds=1)
    assert {device.session for device in devices} == {phone.session}


def test_a_phone_takes_tensors_alone(package, phone):
    image, good = _on_phone([package("classifier"), package("good")], rounds=1)
    assert image.error == (
        "The app on the phone takes and gives tensors alone. Not x (image), classLabel (string), classLabel_probs "
        "(dictionary): time an export with tensors."
    )
    assert good.error is None
    phone.prepared.clear()
    (row,) = _on_phone([package("classifier")], rounds=1)
    assert row.error
    assert not phone.prepared  # nothing to build an app for


def test_an_app_that_died_is_started_again(package, phone, mac):
    def hook(what, model):
        if what == "predict" and mac.count_of("predict") == 3:
            phone.session.is_alive.return_value = False
            raise remote_device._DeviceCtlError(b"ERROR: The file\ncould not be opened", error_code=1)

    mac.hook = hook
    bad, good = _on_phone([package("good")], units=("cpu", "all"), rounds=1)
    assert bad.error == "ERROR: The file could not be opened."
    assert good.error is None
    assert len(phone.prepared) == 2


def test_unplugged_in_the_first_round(package, phone, mac, recwarn):
    def hook(what, model):
        if model.compute_units.name == "ALL":
            phone.devices = []
            raise remote_device._DeviceCtlError("gone", error_code=1)

    mac.hook = hook
    cpu, everything, ane = _on_phone([package("good")], units=("cpu", "all", "cpu-ane"), rounds=2)
    assert (cpu.error, cpu.rounds, cpu.statistics.count) == (None, 1, 2)
    assert everything.error == ane.error == "The iPhone is not connected any more."
    assert (everything.backend, ane.backend) == ("coreml all", "coreml cpu-ane")
    assert "The rounds so far count" in str(recwarn.pop(UserWarning).message)


def test_unplugged_in_a_later_round(package, phone, mac, recwarn):
    def hook(what, model):
        if mac.count_of("load") == 3:
            phone.listing_fails = ValueError("no answer")
            raise remote_device._DeviceCtlError("gone", error_code=1)

    mac.hook = hook
    rows = _on_phone([package("good")], units=("cpu", "all"), rounds=3)
    assert [(row.error, row.rounds) for row in rows] == [(None, 1), (None, 1)]
    assert "The rounds so far count" in str(recwarn.pop(UserWarning).message)


STATE = remote_device.DeviceState
SAME = {}
PROBLEMS = {  # what is wrong -> (how, options, the sentence's parts)
    "no Xcode": (lambda p: p.script("xcodebuild", "exit 1"), SAME, "Expected Xcode.*xcode-select"),
    "no devicectl": (lambda p: p.script("xcrun", "exit 72"), SAME, "Expected devicectl.*Xcode 15.*xcode-select"),
    "no team": (lambda p: None, {"development_team": None}, "ID of a development team.*--development-team"),
    "a shell in the team": (lambda p: None, {"development_team": "ABCDE12345;ls"}, "Received: 'ABCDE12345;ls'"),
    "no phone": (lambda p: p.devices.clear(), SAME, "Expected an iPhone on USB. Received: none. Plug it in, unlock it"),
    "a Mac alone": (lambda p: p.change(type=remote_device.DeviceType.MAC), SAME, "Expected an iPhone on USB"),
    "not connected": (
        lambda p: p.change(state=STATE.DISCONNECTED),
        SAME,
        "Received: none. Known, but not connected: Anna's iPhone",
    ),
    "two phones": (
        lambda p: p.devices.append(p.device("Bob's", "0002")),
        SAME,
        r"Expected one iPhone. Received: Anna's iPhone \(ID-0001\), Bob's \(ID-0002\). Choose one with --identifier",
    ),
    "another phone": (
        lambda p: None,
        {"identifier": "ID-7"},
        r"connected iPhone: Anna's iPhone \(ID-0001\). Received: 'ID-7'",
    ),
    "Developer Mode off": (
        lambda p: p.change(developer_mode_state="disabled"),
        SAME,
        "Developer Mode is off.*switch it on",
    ),
    "locked": (lambda p: p.answer("lockState", {"passcodeRequired": True}), SAME, "Anna's iPhone.? is locked. Unlock"),
    "devicectl fails": (
        lambda p: setattr(p, "listing_fails", remote_device._DeviceCtlError(b"error: broken", 1)),
        SAME,
        "devicectl could not list devices: error: broken.",
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_missing_is_told_before_anything_starts(package, phone, mac, name):
    change, options, sentence = PROBLEMS[name]
    change(phone)
    with pytest.raises(InputError, match=sentence):
        _bench([package("good")], device="iphone", **{"development_team": TEAM, **options})
    assert not phone.prepared
    assert not mac


def test_one_of_several_phones(package, phone):
    phone.devices.append(phone.device("Bob's", "0002"))
    for identifier in ("ID-0002", "UDID-0002", "Bob's"):
        _on_phone([package("good")], rounds=1, identifier=identifier)
    assert [identifier for identifier, *_ in phone.prepared] == ["ID-0002"] * 3


def test_a_phone_that_sleeps_is_woken(package, phone, monkeypatch):
    """devicectl's tunnel to a phone is down until something asks."""
    awake = phone.devices
    phone.change(state=STATE.DISCONNECTED)
    real = coreml_device._devicectl

    def devicectl(*arguments):
        if "details" in arguments:
            phone.devices = awake
        return real(*arguments)

    monkeypatch.setattr(coreml_device, "_devicectl", devicectl)
    (row,) = _on_phone([package("good")], rounds=1)
    assert row.error is None


def test_what_the_phone_does_not_tell_is_left_out(package, phone, monkeypatch):
    monkeypatch.setenv("DEVELOPMENT_TEAM", TEAM)
    for name in ("details.json", "lockState.json"):
        (phone.folder / name).unlink()
    phone.change(os_build_number="", developer_mode_state="")
    (row,) = _bench([package("good")], device="iphone", rounds=1)
    assert row.error is None
    assert row.device == Device("iPhone", "iOS 18.1")


def test_xcodes_own_words_when_the_app_can_not_be_built(package, phone, monkeypatch):
    """coremltools drops them: it raises with stderr, which it had joined to stdout."""
    output = b"Build settings\n" * 9 + b"/x: error: No Accounts: Add a new account in Accounts settings.\n"

    def run(*args, **options):
        return subprocess.CompletedProcess("xcodebuild", 65, stdout=output, stderr=None)

    async def prepare(device, credentials=None, working_directory=None, clean=False):
        with mock.patch.object(subprocess, "run", run):
            remote_device._AppBuilder.build(
                device=device,
                build_directory=working_directory,
                workspace_path=working_directory,
                credentials=credentials,
            )

    phone.prepare = prepare
    with pytest.raises(InputError, match="could not be put on the iPhone: .*No Accounts.* Add your Apple account"):
        _on_phone([package("good")], rounds=1)


def test_json_csv_and_table_beside_other_rows(package, mac, tmp_path):
    rows = _bench([package("good"), tmp_path / "gone.mlpackage"], rounds=1)
    tflite = benchmark.Measurement(
        "good", "good.tflite", Device("Pixel", "Android 14"), "benchmark_model", "xnnpack", num_threads=2,
        statistics=Statistics.of([9.0]), samples_ms=(9.0,), load_ms=3.0, first_ms=10.0,
    )  # fmt: skip
    benchmark.save_json(tmp_path / "rows.json", [*rows, tflite])
    assert benchmark.load_measurements(tmp_path / "rows.json") == [*rows, tflite]
    benchmark.save_csv(tmp_path / "rows.csv", [*rows, tflite])
    assert "coreml all" in (tmp_path / "rows.csv").read_text()
    header, cells = benchmark.header_and_rows([*rows, tflite])
    table = [dict(zip(header, row, strict=True)) for row in cells]
    assert [row["median ms"] for row in table] == ["4.50", "failed", "9.00"]
    assert [row["ratio"] for row in table] == ["1.00", "", "2.00"]
    assert [row["device"] for row in table] == ["Apple M2 (Mac14,2)", "Apple M2 (Mac14,2)", "Pixel"]
    assert [row["threads"] for row in table] == ["", "", "2"]


@functools.cache
def _script(path):
    spec = importlib.util.spec_from_file_location(path.replace("/", "_").removesuffix(".py"), ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_report_of_core_ml_and_tflite(package, mac, tmp_path, monkeypatch, capsys):
    tflite = benchmark.Measurement(
        "good", "good.tflite", Device("Pixel", "Android 14"), "benchmark_model", "xnnpack", num_threads=1,
        statistics=Statistics.of([9.0]), samples_ms=(9.0,), load_ms=3.0, first_ms=10.0,
    )  # fmt: skip
    benchmark.save_json(tmp_path / "tflite.json", [tflite])
    benchmark.save_json(tmp_path / "coreml.json", _bench([package("good")], rounds=1))
    pages = {}
    monkeypatch.setattr(report, "write_report", lambda path, page: pages.update({path.name: page}))
    main = _script("tflite/benchmark_report.py").main
    main((tmp_path / "tflite.json", tmp_path / "coreml.json"), output=tmp_path / "both.html")
    main((tmp_path / "tflite.json",), output=tmp_path / "tflite.html")
    main((tmp_path / "coreml.json",), output=tmp_path / "coreml.html")
    assert {name: page.title for name, page in pages.items()} == {
        "both.html": "Latency of exported files",
        "tflite.html": "Latency of .tflite files",
        "coreml.html": "Latency of .mlpackage files",
    }
    table = pages["both.html"].sections[0].table
    assert [row[:2] for row in table.rows] == [("good", "xnnpack"), ("good", "coreml all")]
    assert "Core ML via coremltools" in table.caption
    assert ("devices", "Pixel, Apple M2 (Mac14,2)") in pages["both.html"].summary


def test_script_writes_both_files_and_tells_failures(package, mac, tmp_path, capfd):
    main = _script("coreml/benchmark.py").main
    assert main((package("good"),), rounds=1, output_dir=tmp_path, **QUICK) == 0
    assert main((package("good"), Path("gone.mlpackage")), rounds=1, output_dir=tmp_path, **QUICK) == 1
    rows = benchmark.load_measurements(tmp_path / "benchmark.json")
    assert [(row.name, bool(row.error)) for row in rows] == [("good", False), ("gone", True)]
    assert len((tmp_path / "benchmark.csv").read_text().splitlines()) == 3
    assert "gone failed: Expected an .mlpackage" in capfd.readouterr().out


def test_script_interrupted_writes_what_it_has(package, mac, tmp_path):
    mac.hook = _fails_at("load", 2, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        _script("coreml/benchmark.py").main((package("good"),), units=("all", "cpu"), output_dir=tmp_path, **QUICK)
    (row,) = benchmark.load_measurements(tmp_path / "benchmark.json")
    assert (row.backend, row.statistics.count) == ("coreml all", 2)


@on_linux
def test_script_off_macos_is_one_sentence_and_exit_code_2(package, tmp_path, monkeypatch, capsys):
    for device in benchmark.COREML_DEVICES:
        arguments = ["benchmark.py", str(package("good")), "--device", device, "--output-dir", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as stop:
            cli.run(_script("coreml/benchmark.py").main)
        assert stop.value.code == cli.BAD_INPUT
        error = capsys.readouterr().err
        assert error.startswith("Error: Expected macOS")
        assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
