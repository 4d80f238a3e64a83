"""Latency against the number of tokens: cells that are kept, left out and failed, and the slopes."""

import dataclasses

import pytest

from keras_mobattn import benchmark
from keras_mobattn.benchmark import Statistics
from keras_mobattn.errors import InputError
from keras_mobattn.studies import benchmark_resolution, resolution

QUICK = {"num_runs": 2, "warmup_runs": 1, "min_secs": 0.0, "rounds": 1}


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
def test_extrapolation_goes_through_the_last_two_points(slope):
    points = [(4, 1e9), *((tokens, 0.3 * tokens**slope) for tokens in (64, 16))]
    assert resolution.extrapolate(points, 1024) == pytest.approx(0.3 * 1024**slope)
    assert resolution.extrapolate(points[:1], 1024) is None


def test_tokens_are_those_of_layer_3():
    assert [resolution.tokens_at(side) for side in (64, 256, 1024)] == [16, 256, 4096]
    assert resolution.lone_layer("separable", 64).input_shape == (None, 8, 8, 128)


def _stand_in(monkeypatch, exponent):
    """Replace timing: every style needs tokens^exponent ms and MB. Returns the list of what was timed."""
    calls = []

    def time_resolution(files, side, *, num_threads, **settings):
        calls.extend((style, side) for style in files)
        count = resolution.tokens_at(side) ** exponent
        measured = dict(statistics=Statistics.of([count]), samples_ms=(count,), peak_memory_bytes=round(1e6 * count))
        rows = {
            style: benchmark_resolution._row(path, style, side, *num_threads, **settings)
            for style, path in files.items()
        }
        return {style: row.filled(**measured) for style, row in rows.items()}

    monkeypatch.setattr(benchmark_resolution, "time_resolution", time_resolution)
    return calls


@pytest.fixture(name="no_conversion")
def no_conversion_fixture(monkeypatch):
    """Files that hold nothing but their name; "xca" can't be converted."""

    def subject_file(subject, style, side, folder):
        if style == "xca":
            raise InputError("no operator")
        folder.mkdir(exist_ok=True)
        path = folder / f"{subject}_{style}_{side}.tflite"
        path.write_bytes(b"\0\0\0\0TFL3" + path.name.encode())
        return path

    monkeypatch.setattr(benchmark_resolution, "subject_file", subject_file)


def test_cells_beyond_the_limits_and_failed_ones_are_rows_with_the_reason(no_conversion, monkeypatch, tmp_path):
    calls = _stand_in(monkeypatch, 2)
    given = dict(styles=("softmax", "xca"), output_dir=tmp_path, **QUICK)
    assert benchmark_resolution.main(resolutions=(64, 128, 256, 512), max_run_secs=1.0, **given) == 1
    assert calls == [("softmax", 64), ("softmax", 128)]  # then 256 tokens would need 65 s
    rows = {row.name: row for row in benchmark.load_measurements(tmp_path / "layer.json")}
    assert "predict 66 s and 66 GB" in rows["softmax, 256 tokens"].error
    assert "1 s (--max-run-secs)" in rows["softmax, 1024 tokens"].error
    assert rows["xca, 16 tokens"].error == "no operator"
    assert (tmp_path / "layer.png").read_bytes()[:4] == b"\x89PNG"
    assert len((tmp_path / "layer.csv").read_text().splitlines()) == 9
    assert benchmark_resolution.main(resolutions=(64, 128, 256), max_run_secs=100, max_memory_gb=60, **given) == 1
    rows = {row.name: row for row in benchmark.load_measurements(tmp_path / "layer.json")}
    assert "60 GB (--max-memory-gb)" in rows["softmax, 256 tokens"].error


def test_measured_cells_are_kept_until_file_or_settings_change(no_conversion, monkeypatch, tmp_path):
    calls = _stand_in(monkeypatch, 1)
    monkeypatch.setattr(benchmark_resolution.report, "latency_by_tokens", lambda *_, **__: b"a plot takes a second")
    given = dict(resolutions=(64, 128), output_dir=tmp_path, **QUICK)
    assert benchmark_resolution.main(styles=("mobile", "flow"), **given) == 0
    assert len(calls) == 4
    assert benchmark_resolution.main(styles=("mobile",), **given) == 0
    assert len(calls) == 4
    assert len(benchmark.load_measurements(tmp_path / "layer.json")) == 4  # flow's cells are still there
    assert benchmark_resolution.main(styles=("mobile",), **{**given, "resolutions": (64, 128, 256)}) == 0
    assert calls[4:] == [("mobile", 256)]
    assert benchmark_resolution.main(styles=("mobile",), **{**given, "num_runs": 3}) == 0
    assert calls[5:] == [("mobile", 64), ("mobile", 128)]
    monkeypatch.setattr(
        benchmark_resolution,
        "subject_file",
        lambda *names: _other_bytes(names[-1] / f"layer_mobile_{names[2]}.tflite", names[2]),
    )
    assert benchmark_resolution.main(styles=("mobile",), **{**given, "num_runs": 3}) == 0
    assert calls[7:] == [("mobile", 128)]


def _other_bytes(path, side):
    if side == 128:
        path.write_bytes(b"\0\0\0\0TFL3other")
    return path


def test_table_has_the_slopes_of_the_last_sizes():
    def cell(tokens, ms):
        row = benchmark.Measurement("x", "", benchmark.Device("chip", "Linux"), "rt", "xnnpack")
        broken = dataclasses.replace(row, error="no")
        return tokens, dataclasses.replace(row, statistics=Statistics.of([ms])) if ms else broken

    quadratic = [cell(16, 7.0), *(cell(n, n**2 / 1e3) for n in (64, 256, 1024))]
    linear = [*(cell(n, n / 1e2) for n in (16, 64, 256)), cell(1024, None)]
    header, rows = benchmark_resolution.slopes_table(
        {"softmax": quadratic, "mobile": linear, "lost": [cell(n, None) for n in (1, 2, 3, 4)]}
    )
    assert header[1:5] == ["16", "64", "256", "1024"]
    assert rows == [
        ["softmax", "7", "4.1", "65.5", "1.05e+03", "2.00", "2.00"],
        ["mobile", "0.16", "0.64", "2.56", "-", "1.00", "1.00"],
        ["lost", "-", "-", "-", "-", "", ""],
    ]


BAD = {  # arguments -> part of the sentence
    "no resolution": ({"resolutions": ()}, "Received: none"),
    "no multiple of 16": ({"resolutions": (64, 72)}, "that 16 divides. Received: 64 72"),
    "too small": ({"resolutions": (48,)}, "from 64 up"),
    "negative": ({"resolutions": (64, -128)}, "from 64 up"),
    "no attention": ({"styles": ("1x1 conv",), "subject": "backbone"}, "styles for the backbone among softmax, "),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(tmp_path, name):
    arguments, sentence = BAD[name]
    with pytest.raises(InputError, match=sentence):
        benchmark_resolution.main(output_dir=tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_foreign_results_are_refused_and_kept(tmp_path):
    (tmp_path / "layer.json").write_text("[1]")
    with pytest.raises(InputError, match="Remove it first, or give another --output-dir"):
        benchmark_resolution.main(styles=("mobile",), output_dir=tmp_path)
    assert (tmp_path / "layer.json").read_text() == "[1]"


@pytest.mark.sampled
def test_a_style_for_real(tmp_path, capfd):
    given = dict(styles=("separable", "1x1 conv"), resolutions=(64, 128), output_dir=tmp_path, **QUICK)
    assert benchmark_resolution.main(**given) == 0
    rows = benchmark.load_measurements(tmp_path / "layer.json")
    expected = [f"{style}, {tokens} tokens" for tokens in (16, 64) for style in ("separable", "1x1 conv")]
    assert [row.name for row in rows] == expected
    assert [row.inputs for row in rows[::2]] == [("float32[1,8,8,128]",), ("float32[1,16,16,128]",)]
    assert all(row.details.partitions == 1 and not row.details.undelegated for row in rows)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "files").iterdir()}
    assert benchmark_resolution.main(**given) == 0  # nothing is converted or timed again
    assert benchmark.load_measurements(tmp_path / "layer.json") == rows
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "files").iterdir()} == made
    assert "slope, last 3 sizes" in capfd.readouterr().out


@pytest.mark.slow
def test_whole_models_for_real(tmp_path):
    given = dict(styles=("separable", "mobile"), resolutions=(64, 128), output_dir=tmp_path, **QUICK)
    assert benchmark_resolution.main(subject="backbone", **given) == 0
    rows = benchmark.load_measurements(tmp_path / "backbone.json")
    assert [row.inputs for row in rows[::2]] == [("float32[1,64,64,3]",), ("float32[1,128,128,3]",)]
    assert all(row.details.partitions == 1 and not row.details.undelegated for row in rows)
