"""What coreml/describe.py shows and writes of a package, and its exit code for CI."""

import dataclasses
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import rich.console

from helpers import ROOT, small_packages
from helpers.described_packages import described, is_against
from keras_mobattn import describe, report
from keras_mobattn.commands import describe as command
from keras_mobattn.errors import InputError

SCRIPT = ROOT / "coreml" / "describe.py"


def _printed(description):
    out = io.StringIO()
    describe.print_coreml(description, rich.console.Console(file=out, width=80, color_system=None))
    return out.getvalue()


@pytest.mark.parametrize("name", small_packages.GRAPHS)
def test_the_screen_fits_80_columns_and_names_all(package, name):
    description = dataclasses.replace(described(package(name)), file="[b]model.mlpackage")
    text = _printed(description)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    for kind in (
        *description.operators,
        *description.compression,
        "[b]model.mlpackage",
        "By what is on record:",
        "licence Apache",
    ):
        assert kind in text
    assert ("nothing against it" in text) == (not is_against(name))
    if name == "enumerated":
        assert "2 shapes: [1, 3, 8, 8]" in text
    if name == "ranged":
        assert "1 3 8..32 8..64" in text


def test_the_screen_shows_the_plan(package, mac):
    text = " ".join(_printed(describe.describe_coreml(package("good"))).split())
    assert "1 operation it can't run. Estimated cost: Neural Engine 75 %, GPU 25 %, CPU 0 %" in text
    assert "conv 2 75.0 % Neural Engine CPU, GPU, Neural Engine" in text


EXITS = {  # packages, --require -> exit code
    (("good",), ("ane",)): 0,
    (("good", "head"), ("ane",)): 1,
    (("head",), ()): 0,
}


@pytest.mark.parametrize(("names", "require"), EXITS)
def test_exit_codes(package, names, require, capsys):
    assert command.main(tuple(map(package, names)), require=require) == EXITS[names, require]


def test_script_writes_json_and_plots(package, tmp_path, mac, monkeypatch, capsys):
    drawn = []
    real = report.operator_bars
    monkeypatch.setattr(report, "operator_bars", lambda *args, **kw: drawn.append(args[0]) or real(*args, **kw))
    paths = package("good"), package("head")
    assert command.main(paths, json=tmp_path / "new" / "all.json", plot=tmp_path / "new" / "all.png") == 0
    good, head = json.loads((tmp_path / "new" / "all.json").read_text())
    assert good["neural_engine"]["plan"]["cost_by_device"] == {"Neural Engine": 0.75, "GPU": 0.25, "CPU": 0.0}
    assert good["macs"] == {"float16": 19471}
    (found,) = (each for each in head["neural_engine"]["findings"] if each["operator"] == "linear")
    assert (found["effect"], found["standing"], found["where"]) == (
        "wrong numbers",
        "on record",
        "M4, MobileNetV3",
    )
    assert not head["neural_engine"]["passed"]
    assert drawn[0] == {
        "conv": {"Neural Engine": 75.0}, "reduce_mean": {"GPU": 25.0}, "cast": {"CPU": 0.0},
    }  # fmt: skip
    for name in ("all_good.png", "all_head.png"):
        assert (tmp_path / "new" / name).read_bytes().startswith(b"\x89PNG")
    assert command.main((package("head"),), plan=False, plot=tmp_path / "one.png") == 0
    assert drawn[-1] == {
        "cast": {"operators": 2}, "reduce_mean": {"operators": 1}, "linear": {"operators": 1}, "add": {"operators": 1},
        "relu6": {"operators": 1}, "mul": {"operators": 1},
    }  # fmt: skip
    assert (tmp_path / "one.png").exists()


def test_packages_of_one_name_have_a_plot_each(package, tmp_path):
    other = tmp_path / "other" / "good.mlpackage"
    shutil.copytree(package("good"), other)
    command.main((package("good"), other), plan=False, plot=tmp_path / "all.png")
    assert {path.name for path in tmp_path.glob("*.png")} == {"all_good.png", "all_good-2.png"}


def test_bad_arguments(package, tmp_path):
    with pytest.raises(InputError, match="or the folder of a run. Received: none"):
        command.main(())
    with pytest.raises(InputError, match="Expected a .png file as --plot. Received: 'a.svg'"):
        command.main((package("good"),), plot=Path("a.svg"))


def test_script_with_bad_input_is_one_sentence(package, tmp_path):
    kept = tmp_path / "all.json"
    kept.write_text("earlier")
    line = [sys.executable, str(SCRIPT), str(tmp_path / "gone.mlpackage"), str(package("good")), "--json", str(kept)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Expected an .mlpackage, which is a folder. Received: ")
    assert done.stderr.count("\n") == 1
    assert kept.read_text() == "earlier"
    assert done.stdout == ""
