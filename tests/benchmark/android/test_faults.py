"""What goes wrong on a phone is a row with its reason, or a sentence: crashes, unplugging, Ctrl-C, full disks."""

import os
import re
import shutil
import subprocess
import threading

import adbutils
import pytest

from helpers import adbd
from helpers.replayed import OUTPUTS, bench, model_file, replay
from keras_mobattn import benchmark
from keras_mobattn.benchmark.android import benchmark as android, phone as android_device
from keras_mobattn.errors import InputError

DEATHS = {  # what the program does -> part of the reason
    "killed": ("echo INFO: ; kill -9 $$", "was killed, as Android does when memory runs out. Its last words: INFO:"),
    "crash": ("kill -SEGV $$", "crashed (signal SIGSEGV). Its last words: none."),
    "abort": ("echo 'FATAL: op 17' >&2; kill -ABRT $$", "crashed (signal SIGABRT). Its last words: FATAL: op 17"),
    "exit": ("echo 'ERROR: no luck'; exit 3", "Exit code 3. It says: no luck"),
    "silent": ("exit 0", "ended without figures"),
    "hang": ("echo INFO: STARTING!; exec sleep 60", "hung and was ended. Its last words: INFO: STARTING!"),
}  # fmt: skip


@pytest.mark.sampled
def test_whatever_dies_is_a_row_and_the_others_are_kept(phone, tmp_path, monkeypatch):
    monkeypatch.setattr(android, "LOAD_SECS", 0.5)
    paths = [model_file(tmp_path, name, script) for name, (script, _) in DEATHS.items()] + [replay(tmp_path, "xnnpack")]
    *rows, good = bench(paths, phone, min_secs=0, max_secs=0.5)
    assert good.error is None
    for row in rows:
        assert DEATHS[row.name][1] in row.error
        assert row.statistics is None
        assert row.details.before.temperatures_c
        assert row.size_bytes
    assert not subprocess.run(["pgrep", "-f", "sleep 60$"], capture_output=True, check=False).stdout


def test_unplugged_half_way(phone, tmp_path, monkeypatch):
    monkeypatch.setattr(android, "RETURN_SECS", 0.5)
    unplug = f"{adbutils.adb_path()} -P {adbd.ADB_PORT} disconnect {adbd.SERIAL} >&2; sleep 5"
    paths = [replay(tmp_path, "xnnpack"), model_file(tmp_path, "unplugged", unplug), replay(tmp_path, "gpu")]
    good, lost, after = bench(paths, phone)  # the last row is not reached, whatever it would replay
    assert good.error is None
    (left,) = phone.iterdir()
    shutil.rmtree(left)
    assert lost.error.startswith(f"The connection to device {adbd.SERIAL} broke off (")
    assert lost.error.endswith(f"Left on it: {left}; remove it with adb shell rm -rf {left}")
    assert "not found" in after.error
    assert lost.statistics is after.statistics is None


def test_unplugged_after_the_figures(phone, tmp_path):
    unplug = f"{adbutils.adb_path()} -P {adbd.ADB_PORT} disconnect {adbd.SERIAL} >&2; sleep 5"
    script = f"case $* in *profiling*) {unplug};; *) cat {OUTPUTS}/xnnpack.txt;; esac"
    (row,) = bench([model_file(tmp_path, "m", script)], phone, profile=True)
    assert (row.error, row.statistics.median_ms, row.details.op_profile) == (None, 20.166, ())
    adbd.connect()
    for left in phone.iterdir():
        shutil.rmtree(left)


def test_plugged_in_again(phone, tmp_path):
    unplug = f"{adbutils.adb_path()} -P {adbd.ADB_PORT} disconnect {adbd.SERIAL} >&2; exec sleep 63"
    threading.Timer(3.0, adbd.connect).start()
    rows = bench([model_file(tmp_path, "unplugged", unplug), replay(tmp_path, "xnnpack")], phone)
    assert "broke off" in rows[0].error
    assert "Left on it" not in rows[0].error
    assert not subprocess.run(["pgrep", "-f", "sleep 63$"], capture_output=True, check=False).stdout
    assert rows[1].error is None
    assert rows[1].statistics.median_ms == 20.166


def test_ctrl_c_keeps_the_rows_so_far_and_cleans_up(phone, tmp_path):
    stopper = f"kill -INT {os.getpid()}; exec sleep 61"
    paths = [replay(tmp_path, "xnnpack"), model_file(tmp_path, "stopper", stopper), replay(tmp_path, "gpu")]
    with pytest.raises(benchmark.BenchmarkInterrupted) as stop:
        bench(paths, phone)
    assert [(row.name, row.statistics.median_ms) for row in stop.value.measurements] == [("xnnpack", 20.166)]
    assert not subprocess.run(["pgrep", "-f", "sleep 61$"], capture_output=True, check=False).stdout


def test_no_space_on_the_phone(phone, world, tmp_path):
    big = model_file(tmp_path, "big", f"cat {OUTPUTS}/xnnpack.txt; exit\n" + "#" * 300_000)
    row, good = bench([big, replay(tmp_path, "xnnpack")], world / "small")
    assert f"Expected 0.3 MB free on the device, for {big}. Received: 0." in row.error
    assert re.search(rf" MB in {world}/small/keras_mobattn-\w+\. Remove something there\.", row.error)
    assert good.error is None


def test_folders_on_the_phone_that_do_not_serve(phone, world, tmp_path):
    (row,) = bench([replay(tmp_path, "xnnpack")], world / "noexec")
    assert row.error.startswith("benchmark_model failed. This build does not run on the device. It says: ")
    assert "Permission denied" in row.error
    for folder in ("/proc", "/no/such"):
        with pytest.raises(InputError, match=rf"Expected a folder on the device .* Received: {folder} \("):
            bench([replay(tmp_path, "xnnpack")], folder)


def test_files_that_are_none(phone, tmp_path):
    (tmp_path / "text.tflite").write_text("Dear reader, this is no model.")
    paths = [tmp_path / "text.tflite", tmp_path / "gone.tflite", replay(tmp_path, "xnnpack"), tmp_path]
    text, gone, good, folder = bench(paths, phone)
    assert "Not a TFLite file" in text.error
    assert "No such file" in gone.error
    assert "Is a directory" in folder.error
    assert good.error is None


def test_several_devices(phone, tmp_path, monkeypatch):
    monkeypatch.delenv("ANDROID_SERIAL")
    adbutils.AdbClient().connect(adbd.TWIN)
    with pytest.raises(InputError, match=rf"Expected one Android device. Received: .*{adbd.TWIN} .*serial='"):
        bench([replay(tmp_path, "xnnpack")], phone)
    with pytest.raises(InputError, match=r"serial number of a connected device: .* Received: 'nobody'"):
        bench([replay(tmp_path, "xnnpack")], phone, serial="nobody")
    assert bench([replay(tmp_path, "xnnpack")], phone, serial=adbd.TWIN)[0].error is None
    adbutils.AdbClient().disconnect(adbd.TWIN)
    monkeypatch.setenv("ANDROID_SERIAL", "nobody")
    with pytest.raises(InputError, match=r"Received: 'nobody'"):
        bench([replay(tmp_path, "xnnpack")], phone)


STATES = {  # what adb lists -> part of the sentence
    "none": ({}, "Expected a connected Android device. Received: none. Switch on USB debugging"),
    "unauthorized": (
        {"A1": "unauthorized"},
        "adb calls 'device'. Received: A1, which it calls 'unauthorized'. Unlock it",
    ),
    "offline": ({"A1": "offline"}, "Received: A1, which it calls 'offline'. Unplug it"),
    "rights": ({"A1": "no"}, "Received: A1, which it calls 'no'. This user may not use it"),
    "unknown": ({"A1": "sideload"}, "Received: A1, which it calls 'sideload'. Restart it"),
    "several": (
        {"A1": "device", "B2": "device"},
        r"Expected one Android device. Received: A1 \(device\), B2 \(device\). Choose one: serial='A1'",
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_devices_that_do_not_serve(name, monkeypatch):
    states, sentence = STATES[name]
    listed = [adbutils.AdbDeviceInfo(serial, state) for serial, state in states.items()]
    monkeypatch.setattr(adbutils.AdbClient, "list", lambda self: listed)  # there is no other way to come by these
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    with pytest.raises(InputError, match=sentence):
        android_device.find_phone()


def test_adb_that_does_not_start(monkeypatch, tmp_path):
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "1")
    monkeypatch.setenv("ADBUTILS_ADB_PATH", "/bin/false")
    with pytest.raises(InputError, match=r"Expected an adb that starts and answers. Received: none \("):
        android_device.find_phone()


BAD_ARGUMENTS = {
    "delegates": (("nnapi",), "Expected delegate to be one of 'xnnpack', 'gpu', 'cpu'. Received: 'nnapi'"),
    "num_threads": ((1, 0), "num_threads to be a whole number from 1 up. Received: 0"),
    "gpu_precision": ("fp8", "Expected GPU precision to be one of .*Received: 'fp8'"),
    "warmup_min_secs": (-0.5, "warmup_min_secs to be a number from 0 up. Received: -0.5"),
    "cool_down": (-1.0, "cool_down to be a number from 0 up. Received: -1.0"),
    "benchmark_model": ("/no/such/tool", "Expected the path of benchmark_model, built for the phone"),
    "max_secs": (0.0, "max_secs to be a number above 0"),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_arguments_are_told_before_a_phone_is_asked(name):
    value, sentence = BAD_ARGUMENTS[name]
    with pytest.raises(InputError, match=sentence):
        benchmark.benchmark_android(["a.tflite"], **{name: value})
    with pytest.raises(InputError, match=r"at least one \.tflite file"):
        benchmark.benchmark_android([])
