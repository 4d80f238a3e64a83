"""The script for a machine with a GPU, on what stands in for one here."""

import ast
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from helpers import ROOT, make_gpu_folder
from helpers.half_cases import CASES
from keras_mobattn import gpu
from keras_mobattn.gpu import driver

SCRIPT = ROOT / "tests" / "on_a_gpu.py"
OPERATORS = ("ADD", "BATCH_MATMUL left", "MEAN", "PACK")  # the last is refused, and left out


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    make_gpu_folder.make(folder, {name: CASES[name] for name in OPERATORS}, ["DeiT"])
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "folder")


def run(folder, tmp_path, real_float16=False):
    """Run a copy of the script, away from the package; return its exit code and what it printed."""
    shutil.copy(SCRIPT, tmp_path)
    variables = driver.environment(real_float16)
    variables.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, tmp_path / SCRIPT.name, folder], env=variables, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def errors(printed):
    """{file: (error in fp32, its limit, in fp16, its limit)} of the rows with numbers."""
    rows = re.findall(r"^((?:operator|test)_\S+)((?: +[\d.e+-]+){4})", printed, re.MULTILINE)
    return {name: tuple(map(float, numbers.split())) for name, numbers in rows}


def change(path, key, value):
    arrays = dict(np.load(path))
    assert key in arrays
    np.savez(path, **{**arrays, key: value})


def test_it_needs_only_numpy_and_the_runtime():
    nodes = list(ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) == {"ai_edge_litert", "numpy"}


FILES = {"operator_ADD", "operator_BATCH_MATMUL_left", "operator_MEAN", "test_DeiT_mobile", "test_DeiT_separable"}


def test_what_is_made(made):
    assert {path.name for path in made.iterdir()} == {f"{name}.{kind}" for name in FILES for kind in ("tflite", "npz")}
    limits = {name: float(np.load(made / f"{name}.npz")["limit/fp16"]) for name in FILES}
    assert 1e-3 < limits["operator_ADD"] < 3e-3  # 4 units of numbers up to 4, whose spread is 8: 4 * 2^-9 / 8
    assert 2e-3 < limits["test_DeiT_mobile"] < 2e-2


@pytest.mark.usefixtures("needs_gpu")
def test_files_that_are_right(folder, tmp_path):
    code, printed = run(folder, tmp_path)
    found = errors(printed)
    assert (code, set(found)) == (0, FILES), printed
    assert all(fp32 <= limit == 1e-4 and fp16 <= more for fp32, limit, fp16, more in found.values())
    assert f"On {gpu.gpu_adapter()}: 5 of 5 are right." in printed
    if "SwiftShader" in gpu.gpu_adapter():
        assert "half precision is not computed here" in printed


@pytest.mark.usefixtures("needs_real_float16")
def test_half_precision_shows(folder, tmp_path):
    for path in folder.glob("test_*"):  # they compile for a while
        path.unlink()
    code, printed = run(folder, tmp_path, real_float16=True)
    assert code == 0, printed
    assert "half precision is not computed here" not in printed
    assert all(fp16 > 1e-5 for _, _, fp16, _ in errors(printed).values())


@pytest.mark.usefixtures("needs_gpu")
def test_files_that_fail(folder, tmp_path):
    """Wrong numbers, numbers that are none, a file that is none, and a limit that float32 itself can't keep."""
    shutil.copy(folder / "operator_ADD.npz", folder / "operator_cut.npz")
    (folder / "operator_cut.tflite").write_bytes((folder / "operator_ADD.tflite").read_bytes()[:900])
    change(folder / "operator_ADD.npz", "out/0/case 0", np.zeros((1, 7, 11, 5), np.float32))
    change(folder / "operator_MEAN.npz", "in/0/x", np.full((1, 7, 11, 5), np.nan, np.float32))
    change(folder / "test_DeiT_mobile.npz", "limit/fp16", -1.0)
    code, printed = run(folder, tmp_path)
    verdicts = dict(re.findall(r"^((?:operator|test)_\w+) .*?  (\S[^\n]*)$", printed, re.MULTILINE))
    ends = {name: line.split("  ")[-1] for name, line in verdicts.items()}
    assert code == 1
    assert ends.pop("operator_cut").startswith("Failed to load model")
    assert ends == {
        "operator_ADD": "fp32 wrong, fp16 wrong",
        "operator_BATCH_MATMUL_left": "ok",
        "operator_MEAN": "fp32 wrong, fp16 wrong",
        "test_DeiT_mobile": "fp16 wrong",
        "test_DeiT_separable": "ok",
    }
    assert ": 2 of 6 are right." in printed


def test_without_files(tmp_path):
    code, printed = run(tmp_path, tmp_path)
    assert (code, printed) == (2, f"Expected a folder with NAME.tflite and NAME.npz. Received: {str(tmp_path)!r}.\n")


def test_without_a_driver(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "environment", lambda _: {**os.environ, "VK_DRIVER_FILES": "/nowhere.json"})
    for path in folder.glob("test_*"):
        path.unlink()
    code, printed = run(folder, tmp_path)
    assert code == 1
    assert "No adapters found" in printed
    assert "On nothing: 0 of 3 are right." in printed
