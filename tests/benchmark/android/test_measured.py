"""What a phone measures: a real adb and a real adbd, behind which a stand-in replays benchmark_model's outputs."""

import dataclasses
import os

import pytest

from helpers.chromium import hosted
from helpers.replayed import OUTPUTS, STAND_IN, bench, model_file, replay
from keras_mobattn import benchmark
from keras_mobattn.benchmark import Conditions, Device
from keras_mobattn.benchmark.android import benchmark as android, phone as android_device
from keras_mobattn.benchmark.android.details import AndroidDetails
from keras_mobattn.commands import benchmark_android
from keras_mobattn.errors import InputError

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
    paths = [replay(tmp_path, "gpu_partial"), replay(tmp_path, "gpu_not_applied", 1), replay(tmp_path, "gpu")]
    first, failed, last = bench(paths, phone, delegates=["gpu"], num_threads=[2, 4], gpu_precision="fp32")
    assert (first.name, first.backend, first.num_threads) == ("gpu_partial", "gpu fp32", 2)
    assert first.error is None
    assert first.statistics.median_ms == 16.08
    assert failed.error.startswith("benchmark_model failed. The delegate could not be applied. It says: Can not open")
    assert failed.statistics is None
    assert last.statistics.median_ms == 8.104
    assert (last.load_ms, last.first_ms, last.details.warmup_ms) == (1523.77, 12.011, 8.2155)
    assert (last.details.operators, last.details.delegated, last.details.partitions) == (366, 366, 1)
    assert last.details.peak_memory_bytes == 128 * 2**20
    assert last.size_bytes == paths[2].stat().st_size
    assert len(last.sha256) == 16
    assert last.runtime.startswith("benchmark_model ")
    assert last.device == Device("Example Phone 7 [dual]", "Android 14 (API 34)", 8, "ACME X1000", "arm64-v8a")
    assert (
        last.details.before
        == last.details.after
        == Conditions(
            temperatures_c={"cpu-0-0": 46.7, "battery": 31.0, "CPU": 44.1, "skin": 38.5},
            clocks_mhz={"cpu0": 1803.0, "cpu7": 2914.0},
            battery_percent=87,
            throttling=1,
        )
    )


def test_every_configuration_and_its_flags(phone, tmp_path):
    model = model_file(tmp_path, "m", f'echo "$*" >>{tmp_path}/flags; cat {OUTPUTS}/xnnpack.txt')
    delegates, limits = ("xnnpack", "gpu", "cpu"), dict(warmup_runs=3, warmup_min_secs=0.1, num_runs=7, min_secs=0.2)
    options = dict(delegates=delegates, num_threads=(1, 4), require_full_delegation=True, max_secs=9, **limits)
    rows = bench([model], phone, **options)
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
    assert (rows[0].num_runs, rows[0].details.warmup_min_secs, rows[0].max_secs) == (7, 0.1, 9)


def test_op_profile_comes_from_runs_of_its_own(phone, tmp_path):
    script = f"case $* in *profiling=true*) cat {OUTPUTS}/profile.txt;; *) cat {OUTPUTS}/xnnpack.txt;; esac"
    row, failed = bench([model_file(tmp_path, "m", script), replay(tmp_path, "load_failed", 1)], phone, profile=True)
    assert row.statistics.median_ms == 20.166
    assert [operator["op"] for operator in row.details.op_profile][:2] == ["TfLiteXNNPackDelegate", "SPLIT_V"]
    assert failed.details.op_profile == ()
    top = benchmark.top_operators(row.details.op_profile, count=3)
    assert [kind[:3] for kind in top] == [
        ("Convolution (NHWC, F32) IGEMM", 2, 9.0),
        ("Fully Connected (NC, F32) GEMM", 1, 8.0),
        ("Softmax (NC, F32)", 1, 2.0),
    ]
    assert top[0][3] == pytest.approx(9 / 19.75)
    benchmark.save_json(tmp_path / "rows.json", [row, failed])
    assert benchmark.load_measurements(tmp_path / "rows.json") == [row, failed]


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
    paths = (replay(tmp_path, "gpu_partial"), replay(tmp_path, "build_of_2019"))
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
    stopper = model_file(tmp_path, "stopper", f"kill -INT {os.getpid()}; exec sleep 62")
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
    phone = dataclasses.replace(host, backend="gpu fp16", details=AndroidDetails(after=Conditions({"skin": 41.0})))
    phone = phone.filled(**fields)
    header, rows = benchmark.header_and_rows([host, phone])
    cells = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(row["median ms"], row["p95"], row["ops"], row["°C"]) for row in cells] == [
        ("3.00", "3.90", "", ""), ("~119", "", "99/205", "41.0"),
    ]  # fmt: skip


@pytest.mark.usefixtures("phone")
def test_a_page_that_the_phone_reaches_by_its_cable(tmp_path):
    """Its localhost leads to this machine's server as long as it is served; then nothing listens there any more."""
    (tmp_path / "page.txt").write_text("here it is")
    with hosted(tmp_path) as address:
        own, port = int(address.rpartition(":")[2]), 18231
        found = android_device.find_phone()
        ask = f"exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'GET /page.txt HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3"
        command = f'bash -c "{ask}"'
        with found.reached(port, own):
            text, code = found.shell(command)
            assert (code, text.rstrip().endswith("here it is")) == (0, True), text
        assert found.shell(command)[1] != 0
