"""Benchmarks on a phone: a real adb and a real adbd, behind which a stand-in replays benchmark_model's outputs."""

import dataclasses
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import adbd
import adbutils
import pytest

from keras_mobattn import benchmark
from keras_mobattn.benchmark import Conditions, Device
from keras_mobattn.benchmark.android import benchmark as android
from keras_mobattn.benchmark.android import phone as android_device
from keras_mobattn.commands import benchmark_android
from keras_mobattn.errors import InputError

TESTS = Path(__file__).parent
OUTPUTS = TESTS / "benchmark_model_outputs"
STAND_IN = TESTS / "benchmark_model_stand_in.sh"
PROPERTIES = """\
[ro.build.version.release]: [14]
[ro.build.version.sdk]: [34]
[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a,armeabi]
[ro.product.manufacturer]: [Example]
[ro.product.model]: [Phone 7 [dual]]
[ro.soc.manufacturer]: [ACME]
[ro.soc.model]: [X1000]
"""
BATTERY = """\
Current Battery Service state:
  USB powered: true
  level: 87
  scale: 100
  voltage: 4213
  temperature: 312
"""
THERMAL = """\
IsStatusOverride: false
Thermal Status: 1
Cached temperatures:
\tTemperature{mValue=99.0, mType=0, mName=CPU, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
\tTemperature{mValue=44.125, mType=0, mName=CPU, mStatus=0}
\tTemperature{mValue=38.5, mType=3, mName=skin, mStatus=1}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}
"""
ZONES = {"cpu-0-0": "46700", "soc": "87", "battery": "31", "vbat": "4213", "gpu": "0", "modem": "-273000"}
CLOCKS = {"cpu0": "1803000", "cpu7": "2914000"}


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A folder with what the phone sees: programs of Android's, sensors, small and noexec file systems."""
    world = tmp_path_factory.mktemp("phone")
    for name, text in {"getprop": PROPERTIES, "dumpsys": None}.items():
        script = world / "bin" / name
        script.parent.mkdir(exist_ok=True)
        (world / "getprop.txt").write_text(PROPERTIES)
        (world / "battery.txt").write_text(BATTERY)
        (world / "thermalservice.txt").write_text(THERMAL)
        script.write_text(f"#!/bin/sh\ncat {world}/getprop.txt\n" if text else f"#!/bin/sh\ncat {world}/$1.txt\n")
        script.chmod(0o755)
    for index, (name, value) in enumerate(ZONES.items()):
        zone = world / "thermal" / f"thermal_zone{index}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(name + "\n")
        (zone / "temp").write_text(value + "\n")
    for name, value in CLOCKS.items():
        core = world / "cpu" / name / "cpufreq"
        core.mkdir(parents=True)
        (core / "scaling_cur_freq").write_text(value + "\n")
    (world / "cpu" / "possible").write_text("0-7\n")
    for name in ("small", "noexec", "tmp"):
        (world / name).mkdir()
    return world


@pytest.fixture(scope="session")
def daemon(world):
    """The function that enters the phone's network."""
    prepare = " && ".join(
        (
            f"mount -t tmpfs -o size=200k tmpfs {world}/small",
            f"mount -t tmpfs -o noexec tmpfs {world}/noexec",
            f"mount --bind {world}/thermal /sys/class/thermal",
            f"mount --bind {world}/cpu /sys/devices/system/cpu",
        )
    )
    try:
        with adbd.running(adbd.install(), world / "bin", prepare) as inside:
            yield inside
    except adbd.AdbdMissingError as error:
        pytest.skip(f"adbd, for a phone to test with, can't be had: {error}")


@pytest.fixture
def phone(daemon, world):
    """Be in the phone's network; return the folder on it that is used. Nothing may be left in it."""
    with daemon():
        adbd.connect()
        yield world / "tmp"
    assert not list((world / "tmp").iterdir())


def _model(folder, name, script):
    path = folder / f"{name}.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3\n" + script.encode())
    return path


def _replay(folder, name, code=0):
    return _model(folder, name, f"cat {OUTPUTS}/{name}.txt; exit {code}\n")


def _benchmark(paths, phone, **options):
    given = dict(cool_down=0, benchmark_model=STAND_IN, device_dir=str(phone))
    return benchmark.benchmark_android(paths, **{**given, **options})


# recording -> (delegate, exit code, require_full_delegation), (median, delegated, partitions, part of the reason)
REPLAYED = {
    "xnnpack": (("xnnpack", 0, True), (20.166, 366, 1, None)),
    "xnnpack_in_pieces": (("xnnpack", 0, False), (21.25, 375, 10, None)),
    "gpu": (("gpu", 0, True), (8.104, 366, 1, None)),
    "gpu_partial": (("gpu", 0, False), (16.08, 294, 1, None)),
    "gpu_partial ": (("gpu", 0, True), (None, 294, 1, "took only 294 of 312 operators (RESHAPE: OP is supported")),
    "gpu_nothing": (("gpu", 0, False), (None, 0, 0, "gpu delegate took none of the operators (STRIDED_SLICE:")),
    "gpu_fallback_disallowed": (("gpu", 1, True), (None, 294, 1, "Not delegated as a whole")),
    "gpu_not_applied": (("gpu", 1, False), (None, None, 0, 'It says: Can not open OpenCL library on this device')),
    "no_gpu_in_this_build": (("gpu", 0, False), (None, None, None, "built without the GPU delegate")),
    "xnnpack ": (("gpu", 0, False), (None, None, None, "tells of no gpu delegate: what ran was xnnpack")),
    "build_of_2020": (("gpu", 0, False), (None, 99, 1, None)),  # it prints no median
    "build_of_2019": (("xnnpack", 0, False), (None, None, None, None)),
    "build_of_2019 ": (("xnnpack", 0, True), (None, None, None, "does not tell whether")),
    "cpu": (("cpu", 0, True), (1250.8, None, None, None)),
    "load_failed": (("xnnpack", 1, False), (None, None, None, "could not read the file. It says: The model is not")),
    "operator_unknown": (("cpu", 1, False), (None, None, None, "lacks an operator. It says: Didn't find op")),
    "cut_off": (("xnnpack", 0, False), (None, 366, 1, "ended without figures")),
}  # fmt: skip


@pytest.mark.parametrize("name", REPLAYED)
def test_what_a_run_tells(name):
    (delegate, code, require), (median, delegated, partitions, reason) = REPLAYED[name]
    fields = android.fields_of((OUTPUTS / f"{name.strip()}.txt").read_text(), code, delegate, require)
    assert (fields["delegated"], fields["partitions"]) == (delegated, partitions)
    assert (fields["error"] is None) == (reason is None)
    assert reason is None or reason in fields["error"]
    assert (fields["statistics"] is None) == (reason is not None)
    assert fields["statistics"] is None or fields["statistics"].median_ms == median


def test_rows_of_a_phone(phone, tmp_path):
    paths = [_replay(tmp_path, "gpu_partial"), _replay(tmp_path, "gpu_not_applied", 1), _replay(tmp_path, "gpu")]
    first, failed, last = _benchmark(paths, phone, delegates=["gpu"], num_threads=[2, 4], gpu_precision="fp32")
    assert (first.name, first.backend, first.num_threads) == ("gpu_partial", "gpu fp32", 2)
    assert first.error is None
    assert first.statistics.median_ms == 16.08
    assert failed.error.startswith("benchmark_model failed. The delegate could not be applied. It says: Can not open")
    assert failed.statistics is None
    assert last.statistics.median_ms == 8.104
    assert (last.load_ms, last.first_ms, last.warmup_ms) == (1523.77, 12.011, 8.2155)
    assert (last.operators, last.delegated, last.partitions) == (366, 366, 1)
    assert last.peak_memory_bytes == 128 * 2**20
    assert last.size_bytes == paths[2].stat().st_size
    assert len(last.sha256) == 16
    assert last.runtime.startswith("benchmark_model ")
    assert last.device == Device("Example Phone 7 [dual]", "Android 14 (API 34)", 8, "ACME X1000", "arm64-v8a")
    assert (
        last.before
        == last.after
        == Conditions(
            temperatures_c={"cpu-0-0": 46.7, "battery": 31.0, "CPU": 44.1, "skin": 38.5},
            clocks_mhz={"cpu0": 1803.0, "cpu7": 2914.0},
            battery_percent=87,
            throttling=1,
        )
    )


def test_every_configuration_and_its_flags(phone, tmp_path):
    model = _model(tmp_path, "m", f'echo "$*" >>{tmp_path}/flags; cat {OUTPUTS}/xnnpack.txt')
    delegates, limits = ("xnnpack", "gpu", "cpu"), dict(warmup_runs=3, warmup_min_secs=0.1, num_runs=7, min_secs=0.2)
    options = dict(delegates=delegates, num_threads=(1, 4), require_full_delegation=True, max_secs=9, **limits)
    rows = _benchmark([model], phone, **options)
    assert [(row.backend, row.num_threads) for row in rows] == [
        ("xnnpack", 1), ("xnnpack", 4), ("gpu fp16", 1), ("builtin", 1), ("builtin", 4),
    ]  # fmt: skip
    common = "--warmup_runs=3 --warmup_min_secs=0.1 --num_runs=7 --min_secs=0.2 --max_secs=9"
    full = "--require_full_delegation=true "
    assert (tmp_path / "flags").read_text().splitlines() == [
        f"--graph=model.tflite --num_threads=1 --use_xnnpack=true {full}{common}",
        f"--graph=model.tflite --num_threads=4 --use_xnnpack=true {full}{common}",
        f"--graph=model.tflite --num_threads=1 --use_gpu=true --gpu_precision_loss_allowed=true {full}{common}",
        f"--graph=model.tflite --num_threads=1 --use_xnnpack=false {common}",
        f"--graph=model.tflite --num_threads=4 --use_xnnpack=false {common}",
    ]
    assert (rows[0].num_runs, rows[0].warmup_min_secs, rows[0].max_secs) == (7, 0.1, 9)


DEATHS = {  # what the program does -> part of the reason
    "killed": ("echo INFO: ; kill -9 $$", "was killed, as Android does when memory runs out. Its last words: INFO:"),
    "crash": ("kill -SEGV $$", "crashed (signal SIGSEGV). Its last words: none."),
    "abort": ("echo 'FATAL: op 17' >&2; kill -ABRT $$", "crashed (signal SIGABRT). Its last words: FATAL: op 17"),
    "exit": ("echo 'ERROR: no luck'; exit 3", "Exit code 3. It says: no luck"),
    "silent": ("exit 0", "ended without figures"),
    "hang": ("echo INFO: STARTING!; exec sleep 60", "hung and was ended. Its last words: INFO: STARTING!"),
}  # fmt: skip


def test_whatever_dies_is_a_row_and_the_others_are_kept(phone, tmp_path, monkeypatch):
    monkeypatch.setattr(android, "LOAD_SECS", 0.5)
    paths = [_model(tmp_path, name, script) for name, (script, _) in DEATHS.items()] + [_replay(tmp_path, "xnnpack")]
    *rows, good = _benchmark(paths, phone, min_secs=0, max_secs=0.5)
    assert good.error is None
    for row in rows:
        assert DEATHS[row.name][1] in row.error
        assert row.statistics is None
        assert row.before.temperatures_c
        assert row.size_bytes
    assert not subprocess.run(["pgrep", "-f", "sleep 60$"], capture_output=True, check=False).stdout


def test_unplugged_half_way(phone, tmp_path, monkeypatch):
    monkeypatch.setattr(android, "RETURN_SECS", 0.5)
    unplug = f"{adbutils.adb_path()} -P {adbd.ADB_PORT} disconnect {adbd.SERIAL} >&2; sleep 5"
    paths = [_replay(tmp_path, "xnnpack"), _model(tmp_path, "unplugged", unplug), _replay(tmp_path, "gpu")]
    good, lost, after = _benchmark(paths, phone)  # the last row is not reached, whatever it would replay
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
    (row,) = _benchmark([_model(tmp_path, "m", script)], phone, profile=True)
    assert (row.error, row.statistics.median_ms, row.op_profile) == (None, 20.166, ())
    adbd.connect()
    for left in phone.iterdir():
        shutil.rmtree(left)


def test_plugged_in_again(phone, tmp_path):
    unplug = f"{adbutils.adb_path()} -P {adbd.ADB_PORT} disconnect {adbd.SERIAL} >&2; exec sleep 63"
    threading.Timer(3.0, adbd.connect).start()
    rows = _benchmark([_model(tmp_path, "unplugged", unplug), _replay(tmp_path, "xnnpack")], phone)
    assert "broke off" in rows[0].error
    assert "Left on it" not in rows[0].error
    assert not subprocess.run(["pgrep", "-f", "sleep 63$"], capture_output=True, check=False).stdout
    assert rows[1].error is None
    assert rows[1].statistics.median_ms == 20.166


def test_ctrl_c_keeps_the_rows_so_far_and_cleans_up(phone, tmp_path):
    stopper = f"kill -INT {os.getpid()}; exec sleep 61"
    paths = [_replay(tmp_path, "xnnpack"), _model(tmp_path, "stopper", stopper), _replay(tmp_path, "gpu")]
    with pytest.raises(benchmark.BenchmarkInterrupted) as stop:
        _benchmark(paths, phone)
    assert [(row.name, row.statistics.median_ms) for row in stop.value.measurements] == [("xnnpack", 20.166)]
    assert not subprocess.run(["pgrep", "-f", "sleep 61$"], capture_output=True, check=False).stdout


def test_no_space_on_the_phone(phone, world, tmp_path):
    big = _model(tmp_path, "big", f"cat {OUTPUTS}/xnnpack.txt; exit\n" + "#" * 300_000)
    row, good = _benchmark([big, _replay(tmp_path, "xnnpack")], world / "small")
    assert f"Expected 0.3 MB free on the device, for {big}. Received: 0." in row.error
    assert re.search(rf" MB in {world}/small/keras_mobattn-\w+\. Remove something there\.", row.error)
    assert good.error is None


def test_folders_on_the_phone_that_do_not_serve(phone, world, tmp_path):
    (row,) = _benchmark([_replay(tmp_path, "xnnpack")], world / "noexec")
    assert row.error.startswith("benchmark_model failed. This build does not run on the device. It says: ")
    assert "Permission denied" in row.error
    for folder in ("/proc", "/no/such"):
        with pytest.raises(InputError, match=rf"Expected a folder on the device .* Received: {folder} \("):
            _benchmark([_replay(tmp_path, "xnnpack")], folder)


def test_files_that_are_none(phone, tmp_path):
    (tmp_path / "text.tflite").write_text("Dear reader, this is no model.")
    paths = [tmp_path / "text.tflite", tmp_path / "gone.tflite", _replay(tmp_path, "xnnpack"), tmp_path]
    text, gone, good, folder = _benchmark(paths, phone)
    assert "Not a TFLite file" in text.error
    assert "No such file" in gone.error
    assert "Is a directory" in folder.error
    assert good.error is None


def test_op_profile_comes_from_runs_of_its_own(phone, tmp_path):
    script = f"case $* in *profiling=true*) cat {OUTPUTS}/profile.txt;; *) cat {OUTPUTS}/xnnpack.txt;; esac"
    row, failed = _benchmark([_model(tmp_path, "m", script), _replay(tmp_path, "load_failed", 1)], phone, profile=True)
    assert row.statistics.median_ms == 20.166
    assert [operator["op"] for operator in row.op_profile][:2] == ["TfLiteXNNPackDelegate", "SPLIT_V"]
    assert failed.op_profile == ()
    top = benchmark.top_operators(row.op_profile, count=3)
    assert [kind[:3] for kind in top] == [
        ("Convolution (NHWC, F32) IGEMM", 2, 9.0),
        ("Fully Connected (NC, F32) GEMM", 1, 8.0),
        ("Softmax (NC, F32)", 1, 2.0),
    ]
    assert top[0][3] == pytest.approx(9 / 19.75)
    benchmark.save_json(tmp_path / "rows.json", [row, failed])
    assert benchmark.load_measurements(tmp_path / "rows.json") == [row, failed]


def test_several_devices(phone, tmp_path, monkeypatch):
    monkeypatch.delenv("ANDROID_SERIAL")
    adbutils.AdbClient().connect(adbd.TWIN)
    with pytest.raises(InputError, match=rf"Expected one Android device. Received: .*{adbd.TWIN} .*serial='"):
        _benchmark([_replay(tmp_path, "xnnpack")], phone)
    with pytest.raises(InputError, match=r"serial number of a connected device: .* Received: 'nobody'"):
        _benchmark([_replay(tmp_path, "xnnpack")], phone, serial="nobody")
    assert _benchmark([_replay(tmp_path, "xnnpack")], phone, serial=adbd.TWIN)[0].error is None
    adbutils.AdbClient().disconnect(adbd.TWIN)
    monkeypatch.setenv("ANDROID_SERIAL", "nobody")
    with pytest.raises(InputError, match=r"Received: 'nobody'"):
        _benchmark([_replay(tmp_path, "xnnpack")], phone)


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


PHONES = {  # properties -> Device
    "old": (
        "[ro.product.model]: [Nexus 5]\r\n[ro.board.platform]: [msm8974]\r\n[ro.build.version.release]: [6.0.1]\r\n",
        Device("Nexus 5", "Android 6.0.1", soc="msm8974"),
    ),
    "silent": ("", Device("unknown Android device", "Android")),
    "twice": (
        "[ro.product.manufacturer]: [vivo]\n[ro.product.model]: [vivo]\n[ro.hardware]: [mt6983]\n",
        Device("vivo", "Android", soc="mt6983"),
    ),
}


@pytest.mark.parametrize("name", PHONES)
def test_properties_of_phones(name):
    text, device = PHONES[name]
    assert android_device.describe_phone(android_device.read_properties(text)) == device


def test_a_phone_that_forbids_everything_has_no_conditions():
    for text in ("", "zone  \ncore cpu0 \n", "Can't find service: battery\n"):
        assert android_device.read_conditions(text) == Conditions()


def test_script_writes_what_it_has(phone, tmp_path, capfd):
    given = dict(cool_down=0, benchmark_model=STAND_IN, device_dir=str(phone), output_dir=tmp_path / "out")
    paths = (_replay(tmp_path, "gpu_partial"), _replay(tmp_path, "build_of_2019"))
    main = benchmark_android.main
    assert main(paths, delegates=("xnnpack,gpu",), num_threads=("1,2", "4"), profile=True, **given) == 0
    rows = benchmark.load_measurements(tmp_path / "out" / "benchmark.json")
    assert [(row.backend, row.num_threads) for row in rows[:4]] == [
        ("xnnpack", 1), ("xnnpack", 2), ("xnnpack", 4), ("gpu fp16", 1),
    ]  # fmt: skip
    assert len((tmp_path / "out" / "benchmark.csv").read_text().splitlines()) == 9
    shown = capfd.readouterr().out
    assert "294/312" in shown
    assert "46.7 → 46.7" in shown
    assert "gpu_partial: gpu fp16 left out 18 of 312 operators (RESHAPE:" in shown
    assert "build_of_2019: ~ is the mean" in shown
    assert "gave no op profile" in shown
    stopper = _model(tmp_path, "stopper", f"kill -INT {os.getpid()}; exec sleep 62")
    with pytest.raises(KeyboardInterrupt):
        main((paths[0], stopper), **given)
    assert [row.name for row in benchmark.load_measurements(tmp_path / "out" / "benchmark.json")] == ["gpu_partial"]
    assert main((tmp_path / "gone.tflite", paths[0]), **given) == 1
    assert "gone failed: No such file or directory" in capfd.readouterr().out
    with pytest.raises(InputError, match="Expected whole numbers of threads, e.g. 1 2 4. Received: 'many'"):
        main(paths, num_threads=("many",), **given)


def test_phone_and_host_stand_in_one_table():
    host = benchmark.Measurement("m", "m.tflite", Device("chip", "Linux", 2), "rt 1", "xnnpack")
    host = dataclasses.replace(host, statistics=benchmark.Statistics.of([2.0, 4.0]))
    fields = android.fields_of((OUTPUTS / "build_of_2020.txt").read_text(), 0, "gpu")
    phone = dataclasses.replace(host, backend="gpu fp16", **fields, after=Conditions({"skin": 41.0}))
    header, rows = benchmark.header_and_rows([host, phone])
    cells = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(row["median ms"], row["p95"], row["ops"], row["°C"]) for row in cells] == [
        ("3.00", "3.90", "", ""), ("~119", "", "99/205", "41.0"),
    ]  # fmt: skip
