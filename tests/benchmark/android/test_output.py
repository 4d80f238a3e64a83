"""The parser of benchmark_model's output, over recorded outputs of every form."""

import pytest

from helpers import FIXTURES
from keras_mobattn.benchmark import Statistics
from keras_mobattn.benchmark.android.benchmark_model_output import Delegation, parse, phase_of

OUTPUTS = FIXTURES / "benchmark_model_outputs"
MB = 2**20


def _read(name):
    return (OUTPUTS / f"{name}.txt").read_text()


# File -> load, first, warm-up in ms; memory once loaded and at the end in MB.
FIGURES = {
    "xnnpack": (41.216, 27.531, 20.4669, 32.5, 44.25),
    "xnnpack_in_pieces": (40.002, 29.0, 21.5, 32, 45),
    "gpu": (1523.77, 12.011, 8.2155, 120.5, 128),  # and not the 141.5 MB of the monitor, which are no growth
    "gpu_partial": (1203.5, 25.0, 16.8, 101, 110),
    "logcat": (1203.5, 25.0, 16.8, 101, 110),
    "gpu_nothing": (13.5, 11.0, 10.1, 11, 12),
    "no_gpu_in_this_build": (13.5, 11.0, 10.1, 11, 12),
    "cpu": (4.5, 1300.5, 1267.25, 0, 12.8672),
    "all_same": (0.41, 0.071, 0.071, None, None),
    "no_warmup": (0.41, 0.09, None, None, None),
    "build_of_2019": (9.933, 127.425, 76.6059, None, None),
    "build_of_2020": (870.557, 130.565, 122.373, 64, 72.5),
    "cut_off": (41.216, 27.531, None, None, None),
    "gpu_not_applied": (None,) * 5,
    "load_failed": (None,) * 5,
}
# File -> count; min, median, mean, std, p95, max in ms. Nothing but what is printed is made up.
STATISTICS = {
    "xnnpack": (50, 19.902, 20.166, 20.2314, 0.317, 20.838, 22.017),
    "gpu": (123, 7.755, 8.104, 8.12225, 0.204, 8.51, 8.93),
    "logcat": (62, 15.7, 16.08, 16.2, 0.4, 17.1, 18.2),
    "cpu": (50, 1248.1, 1250.8, 1251.25, 2.6, 1257, 1262),
    "all_same": (5, 0.069, 0.069, 0.069, 0, 0.069, 0.069),
    "no_warmup": (2, 0.07, 0.09, 0.08, 0.01, 0.09, 0.09),
    "build_of_2019": (50, 66.699, None, 66.7676, 0.039, None, 66.838),
    "build_of_2020": (50, 113.737, None, 119.375, 1.948, None, 124.776),
    "profile": (50, 20.8, 21.25, 21.3, 0.41, 22, 23.1),  # and not the count lines of the profile
    "profile_of_2020": (50, 66.699, None, 66.7676, 0.039, None, 66.838),
    "cut_off": None,
    "gpu_fallback_disallowed": None,
    "operator_unknown": None,
}
# File -> backend -> delegated, operators, partitions, complete
DELEGATIONS = {
    "xnnpack": {"xnnpack": Delegation(366, 366, 1, True)},
    "xnnpack_in_pieces": {"xnnpack": Delegation(375, 393, 10, False)},
    "gpu": {"gpu": Delegation(366, 366, 1, True)},
    "gpu_partial": {"gpu": Delegation(294, 312, 1, False), "xnnpack": Delegation(17, 19, 2, False)},
    "logcat": {"gpu": Delegation(294, 312, 1, False), "xnnpack": Delegation(17, 19, 2, False)},
    "gpu_nothing": {"gpu": Delegation(0, 7, 0, False)},
    "gpu_fallback_disallowed": {"gpu": Delegation(294, 312, 1, False)},
    "no_gpu_in_this_build": {},
    "build_of_2020": {"gpu": Delegation(99, 205, 1, False)},
    "build_of_2019": {},
    "cpu": {},
}
REFUSALS = {
    "gpu_partial": (
        "RESHAPE: OP is supported, but tensor type/shape isn't compatible.",
        "UNPACK: Operation is not supported.",
    ),
    "logcat": (
        "RESHAPE: OP is supported, but tensor type/shape isn't compatible.",
        "UNPACK: Operation is not supported.",
    ),
    "gpu_nothing": ("STRIDED_SLICE: Tensor dimensions must be less than 5.",),
    "build_of_2020": ("DEQUANTIZE:", "SPLIT: Operation is not supported."),
    "gpu": (),
}
FIRST_ERROR = {
    "gpu_not_applied": 'Can not open OpenCL library on this device - dlopen failed: library "libOpenCL.so" not found',
    "gpu_fallback_disallowed": "Disallowed CPU fallback detected.",
    "load_failed": "The model is not a valid Flatbuffer buffer",
    "logcat": None,
    "gpu": None,
}
# File -> (operator, ms, percent, inside a delegate's piece) of each in the order in which they ran
PROFILES = {
    "profile": [
        ("TfLiteXNNPackDelegate", 19.25, 96.25, False),
        ("SPLIT_V", 0.75, 3.75, False),
        ("RESHAPE", 0.0, 0.0, False),
        ("Convolution (NHWC, F32) IGEMM", 6.0, 31.579, True),
        ("Fully Connected (NC, F32) GEMM", 8.0, 42.105, True),
        ("Convolution (NHWC, F32) IGEMM", 3.0, 15.789, True),
        ("Softmax (NC, F32)", 2.0, 10.526, True),
    ],
    "profile_of_2020": [
        ("CONV_2D", 7.25, 72.5, False),
        ("DEPTHWISE_CONV_2D", 2.5, 25.0, False),
        ("SOFTMAX", 0.25, 2.5, False),
    ],
    "profile_csv": [("CONV_2D", 7.25, 72.5, False), ("SOFTMAX", 2.75, 27.5, False)],
    "gpu": [],
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures(name):
    load, first, warmup, loaded, peak = FIGURES[name]
    expected = {"load_ms": load, "first_ms": first, "warmup_ms": warmup}
    memory = {"load_memory_bytes": loaded, "peak_memory_bytes": peak}
    expected |= {key: None if value is None else round(value * MB) for key, value in memory.items()}
    assert dict.fromkeys(expected) | parse(_read(name)).figures == pytest.approx(expected)


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics(name):
    fields = ("min_ms", "median_ms", "mean_ms", "std_ms", "p95_ms", "max_ms")
    expected = STATISTICS[name]
    expected = expected and Statistics(expected[0], **dict(zip(fields, expected[1:], strict=True)))
    assert parse(_read(name)).statistics == expected


@pytest.mark.parametrize("name", DELEGATIONS)
def test_delegations(name):
    assert parse(_read(name)).delegations == DELEGATIONS[name]


def test_partitions_that_the_pieces_do_not_tell():
    line = "INFO: Replacing {} out of 9 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding {} partitions."
    for delegated, pieces, partitions in ((9, 1, 1), (4, 2, 1), (4, 4, 2), (4, 3, None)):
        assert parse(line.format(delegated, pieces)).delegations["xnnpack"].partitions == partitions


@pytest.mark.parametrize("name", REFUSALS)
def test_what_the_gpu_delegate_refused(name):
    assert parse(_read(name)).refusals == REFUSALS[name]


@pytest.mark.parametrize("name", FIRST_ERROR)
def test_the_first_error_is_the_cause(name):
    assert next(iter(parse(_read(name)).errors), None) == FIRST_ERROR[name]


@pytest.mark.parametrize("name", PROFILES)
def test_op_profile(name):
    profile = parse(_read(name)).op_profile
    assert [(row["op"], row["ms"], row["percent"], row["inside"]) for row in profile] == PROFILES[name]
    assert all(row["calls"] == 1 and row["name"] for row in profile)


def test_every_recorded_output_is_looked_at():
    tables = (FIGURES, STATISTICS, DELEGATIONS, REFUSALS, FIRST_ERROR, PROFILES)
    assert {path.stem for path in OUTPUTS.glob("*.txt")} == set().union(*tables)


@pytest.mark.parametrize("text", ["", "\n\n", "count=", "count=3", "INFO: count=x", "============\n\t\n", "\x00\xff: "])
def test_rubbish_is_nothing(text):
    output = parse(text)
    assert output.statistics is None
    assert output.op_profile == ()


def test_wherever_it_breaks_off_the_lines_before_are_read():
    lines = _read("profile").splitlines()
    whole, numbers = parse(_read("profile")), []
    for end in range(len(lines)):
        part = parse("\n".join(lines[:end]))
        assert part.op_profile == whole.op_profile[: len(part.op_profile)]
        assert part.statistics in (None, whole.statistics)
        numbers.append(len(part.op_profile))
    assert sorted(numbers) == numbers


def test_phases():
    phases = [phase_of(line) for line in _read("gpu").splitlines()]
    assert [phase for phase in phases if phase] == ["loading", "warming up", "running", "running"]
