"""Core ML benchmarks on an iPhone that a stand-in replays: coremltools' own code up to its runner app and devicectl."""

import dataclasses
import json
import os
import subprocess
from unittest import mock

import pytest

from helpers import apple
from helpers.apple import QUICK, TEAM, remote_device
from keras_mobattn import benchmark
from keras_mobattn.benchmark.apple import iphone as coreml_device
from keras_mobattn.benchmark.measurement import Device
from keras_mobattn.errors import InputError

ct = apple.import_coremltools()


@pytest.fixture
def phone(mac, monkeypatch, tmp_path):
    return apple.install_phone(monkeypatch, tmp_path)


def _on_phone(paths, **options):
    return benchmark.benchmark_coreml(paths, **{"device": "iphone", "development_team": TEAM, **QUICK, **options})


def test_a_phone_from_end_to_end(package, phone, mac, capfd):
    row, other = _on_phone([package("good")], units=("cpu-ane", "cpu"), rounds=2)
    assert (row.error, other.error) == (None, None)
    assert row.device == Device("iPhone 15 Pro (iPhone16,1)", "iOS 18.1 (22B83)", abi="arm64e")
    assert (row.backend, row.samples_ms) == ("coreml cpu-ane", (3.0, 4.0) * 2)
    assert row.details.load_samples_ms == (100.0, 300.0)
    ((identifier, credentials, folder, clean),) = phone.prepared  # once, whatever the rows
    assert (identifier, clean) == ("ID-0001", False)
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
    "no team": (lambda p: None, {"development_team": None}, "ID of a development team.*development_team=.TEAM."),
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
        r"Expected one iPhone. Received: Anna's iPhone \(ID-0001\), Bob's \(ID-0002\). Choose one: id.*=.ID-0001.",
    ),
    "another phone": (
        lambda p: None,
        {"identifier": "ID-7"},
        r"connected iPhone: Anna's iPhone \(ID-0001\). Received: 'ID-7'",
    ),
    "Developer Mode off": (
        lambda p: p.change(developer_mode_state="disabled"),
        SAME,
        "Expected an iPhone in Developer Mode. Received: .*Anna's iPhone.*switch it on",
    ),
    "locked": (
        lambda p: p.answer("lockState", {"passcodeRequired": True}),
        SAME,
        "Received: .Anna's iPhone., which is locked. Unlock",
    ),
    "devicectl fails": (
        lambda p: setattr(p, "listing_fails", remote_device._DeviceCtlError(b"error: broken", 1)),
        SAME,
        "Expected devicectl to list devices. Received: error: broken.",
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_missing_is_told_before_anything_starts(package, phone, mac, name):
    change, options, sentence = PROBLEMS[name]
    change(phone)
    with pytest.raises(InputError, match=sentence):
        _on_phone([package("good")], **options)
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
    (row,) = _on_phone([package("good")], development_team=None, rounds=1)
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
    with pytest.raises(
        InputError, match="runner app to be put on the iPhone. Received: .*No Accounts.* Add your Apple account"
    ):
        _on_phone([package("good")], rounds=1)


def test_an_app_that_was_built_earlier_is_built_again_when_it_does_not_start(package, phone):
    real = phone.prepare

    async def prepare(device, credentials=None, working_directory=None, clean=False):
        (working_directory / device.udid / "modelrunnerd.app").mkdir(parents=True, exist_ok=True)
        if not clean:
            raise remote_device._DeviceCtlError(b"ERROR: the profile has expired", 1)
        return await real(device, credentials, working_directory, clean)

    phone.prepare = prepare
    with pytest.raises(
        InputError, match="put on the iPhone. Received: ERROR: the profile has expired. See docs/on_iphone.md"
    ):
        _on_phone([package("good")], rounds=1)
    (row,) = _on_phone([package("good")], rounds=1)
    assert row.error is None
    assert [clean for *_, clean in phone.prepared] == [True]


def test_a_folder_that_coremltools_commands_would_split_is_not_used(package, phone, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "with blank"))
    _on_phone([package("good")], rounds=1)
    assert " " not in str(phone.prepared[0][2])


def test_a_phone_that_goes_before_the_first_row(package, phone, monkeypatch):
    monkeypatch.setattr(coreml_device.Iphone, "is_there", lambda self: False)
    with pytest.raises(InputError, match="The iPhone is not connected any more. Plug it in again and start again."):
        _on_phone([package("good")])
