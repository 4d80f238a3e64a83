"""What stands in for a Mac with Core ML and for an iPhone on its USB port.

Nothing of Apple's is here. What stands in has the signatures of the installed coremltools (`create_autospec`), its own
dataclasses and its abstract base class, so that a renamed argument fails.
"""

import dataclasses
import functools
import json
import os
import platform
import sys
from unittest import mock

from keras_mobattn._quiet import import_coremltools
from keras_mobattn.benchmark.this_machine import host

import_coremltools()
from coremltools.models.ml_program.experimental import async_wrapper, remote_device  # noqa: E402 (quietly)

QUICK = {"warmup_runs": 2, "num_runs": 4, "min_secs": 0.0, "max_secs": 20.0, "cool_down": 0.0}
TEAM = "ABCDE12345"


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


def install_mac(monkeypatch):
    """Make this a Mac, as far as anyone can see; return the Log."""
    log, Model.loads = Log(), 0
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
    monkeypatch.setattr(host, "_sysctl", {"hw.model": "Mac14,2", "machdep.cpu.brand_string": "Apple M2"}.get)
    real = async_wrapper.MLModelAsyncWrapper.from_spec_or_path
    stand_in = mock.create_autospec(real, side_effect=functools.partial(Model, log))
    monkeypatch.setattr(async_wrapper.MLModelAsyncWrapper, "from_spec_or_path", stand_in)
    return log


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
        self.prepared.append((device.identifier, credentials, working_directory, clean))
        self.session.working_directory = working_directory / "build"
        self.session.working_directory.mkdir(exist_ok=True)
        self.session.is_alive.return_value = True
        return dataclasses.replace(device, session=self.session)


def install_phone(monkeypatch, tmp_path):
    """Give the Mac Xcode and an unlocked iPhone in Developer Mode; return the Phone."""
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
