"""Other packages' models beside ours: what their table says, and what becomes of a peer that can't be built.

Building them takes gigabytes of other packages: here a stand-in program does it.
"""

import importlib
import os
import sys

import pytest

import keras_mobattn
from helpers import ROOT
from helpers.made_up_rows import fake_row
from keras_mobattn import benchmark, export
from keras_mobattn.errors import InputError, expect_kind

SCRIPTS = ROOT / "tflite"


@pytest.fixture(name="script")
def script_fixture(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    yield importlib.import_module("benchmark_peers")
    for name in ("benchmark_peers", "peers", "peers.build"):
        sys.modules.pop(name, None)


@pytest.fixture(name="build")
def build_fixture(script, monkeypatch, tmp_path):
    """peers.build with one peer, whose builder is `tmp_path`/builder.py and whose environment needs no pip."""
    module = sys.modules["peers.build"]
    (tmp_path / "packages.txt").write_text("nothing==1.0\n")
    peer = module.Peer("nothing 1.0", "plain", "builder.py", (("packages.txt",),))
    monkeypatch.setattr(module, "PEERS", {"nothing": peer})
    monkeypatch.setattr(module, "HERE", tmp_path)
    monkeypatch.setattr(module, "make_environment", lambda peer, folder: sys.executable)
    return module


BUILDERS = {  # program -> the reason of the row
    "import missing_package": "ModuleNotFoundError: No module named 'missing_package'",
    "import sys; print('ValueError: no such layer'); print('bye'); sys.exit(1)": "ValueError: no such layer",
    "import sys; sys.exit(3)": "exit code 3.",
    "import sys; open(sys.argv[-1], 'w').write('half'); raise MemoryError('late')": "MemoryError: late",
}


@pytest.mark.parametrize("program", BUILDERS)
def test_a_peer_that_cannot_be_built_tells_why_and_leaves_no_file(build, tmp_path, program):
    (tmp_path / "builder.py").write_text(program)
    with pytest.raises(build.BuildError) as error:
        build.peer_file("nothing", "mobilevitv2_050", "fp32", tmp_path / "files" / "x.tflite", tmp_path)
    assert str(error.value) == BUILDERS[program]
    assert list((tmp_path / "files").iterdir()) == []


def test_files_are_made_once_and_again_when_their_builder_changes(build, tmp_path):
    builder, path = tmp_path / "builder.py", tmp_path / "files" / "x.tflite"
    builder.write_text(
        "import pathlib, sys\n*arguments, path = sys.argv[1:]\n"
        "runs = pathlib.Path(sys.argv[0]).with_name('runs')\n"
        "runs.write_text(runs.read_text() + 'x' if runs.exists() else 'x')\n"
        "pathlib.Path(path).write_text(' '.join(arguments))\n"
    )
    for _ in range(2):
        assert build.peer_file("nothing", "mobilevit_s", "int8", path, tmp_path) == path
    assert path.read_text() == "nothing mobilevit_s int8"
    assert (tmp_path / "runs").read_text() == "x"
    later = path.stat().st_mtime + 10
    os.utime(builder, (later, later))
    build.peer_file("nothing", "mobilevit_s", "int8", path, tmp_path)
    assert (tmp_path / "runs").read_text() == "xx"


def test_an_environment_that_cannot_be_installed_is_a_reason(script, monkeypatch, tmp_path):
    build = sys.modules["peers.build"]
    (tmp_path / "packages.txt").write_text("./no-such-folder\n")
    monkeypatch.setattr(build, "HERE", tmp_path)
    (tmp_path / "environment" / "bin").mkdir(parents=True)
    (tmp_path / "environment" / "bin" / "python").symlink_to(sys.executable)
    peer = build.Peer("nothing 1.0", "plain", "builder.py", (("packages.txt", "--no-deps", "--no-index"),))
    with pytest.raises(build.BuildError, match=r"^ERROR: .*no-such-folder"):
        build.make_environment(peer, tmp_path / "environment")
    assert not (tmp_path / "environment" / "packages.txt").exists()  # so the next run tries again


def _timed(median_ms=None, partitions=None):
    return fake_row("", (median_ms,), partitions=partitions) if median_ms else fake_row("", error="no")


def test_table_has_ratios_to_the_first_row_and_keeps_failures(script):
    rows = [script.Row(title, {}) for title in ("lost", "peer", "ours")]
    timed = {
        ("lost", "fp32"): _timed(),
        ("lost", "int8"): _timed(),
        ("peer", "fp32"): _timed(20.0, 10),
        ("peer", "int8"): _timed(10.0, 40),
        ("ours", "fp32"): _timed(15.0, 1),
        ("ours", "int8"): _timed(5.0, 2),
    }
    header, cells = script.table(rows, ("fp32", "int8"), timed, {"peer": "no", "ours": "yes, error 1e-06"})
    assert header[1:7] == ["M parameters", "M MACs", "fp32 ms", "fp32", "int8", "int8 / own fp32"]
    assert cells == [
        ["lost", "", "", "", "failed", "failed", "failed", "- / -", ""],
        ["peer", "", "", "20", "1.00", "0.50", "0.50", "10 / 40", "no"],
        ["ours", "", "", "15", "0.75", "0.25", "0.33", "1 / 2", "yes, error 1e-06"],
    ]
    header, cells = script.table(rows[1:], ("int8",), timed, {})
    assert header[3:5] == ["int8 ms", "int8"]
    assert [row[4] for row in cells] == ["1.00", "0.50"]


def test_what_was_not_built_is_a_row_and_the_rest_is_timed(script, monkeypatch, tmp_path):
    built = {"a": script.BuildError("no wheel"), "b": tmp_path / "b.tflite", "c": InputError("no operator")}
    measured = benchmark.Measurement("b", "b.tflite", benchmark.describe_host(), "rt", "xnnpack")
    monkeypatch.setattr(
        benchmark,
        "benchmark_files",
        lambda paths, **_: [measured for _ in expect_kind("paths", paths, tuple, "a tuple")],
    )
    rows = [script.Row(title, {"fp32": found}) for title, found in built.items()]
    timed = script._time(rows, num_threads=1)
    assert [(row.name, row.error) for row in timed.values()] == [
        ("a, fp32", "It was not built: no wheel"),
        ("b, fp32", None),
        ("c, fp32", "It was not built: no operator"),
    ]


def test_costs_are_those_of_the_file(script, tmp_path):
    model = keras_mobattn.MobileViTv2(variant="test", width=0.5, input_shape=(64, 64, 3), classes=3)
    export.to_tflite(keras_mobattn.randomize_weights(model), tmp_path / "x.tflite")
    parameters, macs = script._costs(script.Row("ours", {"fp32": tmp_path / "x.tflite"}))
    assert float(parameters) == pytest.approx(model.count_params() / 1e6, abs=0.1)
    assert float(macs) == pytest.approx(keras_mobattn.models.count_macs(model) / 1e6, abs=1)


def test_every_model_has_a_peer(script):
    build = sys.modules["peers.build"]
    for model, made in script.MODELS.items():
        assert any(model in peer.models for peer in build.PEERS.values())
        assert made.variants


def test_every_peer_has_its_files(script):
    build = sys.modules["peers.build"]
    for peer in build.PEERS.values():
        for name in (peer.builder, *(file for file, *_ in peer.requirements)):
            assert (build.HERE / name).exists()


@pytest.mark.parametrize("name", ["num_threads", "num_runs", "rounds"])
def test_bad_input_is_told_before_anything_is_built(script, tmp_path, name):
    with pytest.raises(InputError, match=f"{name} to be a whole number from 1 up. Received: 0"):
        script.main(output_dir=tmp_path / "new", **{name: 0})
    assert not (tmp_path / "new").exists()
