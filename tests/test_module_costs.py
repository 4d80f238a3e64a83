"""The table at the end of make slow."""

import os
import re
import subprocess
import sys
from operator import itemgetter

import pytest

from helpers import ROOT

NOTHING = 5  # pytest's exit code where no test is left
SMALL = "def test_nothing(): pass\ndef test_less(): pass\n"
LARGE = """
import subprocess, sys, time
def test_a_child_that_takes_memory():
    code = "import time; held = bytes(range(256)) * 1200000; time.sleep(2)"
    subprocess.run([sys.executable, "-c", code], check=True)
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "workers"])
def test_modules_are_listed_with_their_costs(workers, tmp_path):
    (tmp_path / "test_small.py").write_text(SMALL)
    (tmp_path / "test_large.py").write_text(LARGE)
    command = [sys.executable, "-m", "pytest", "-p", "helpers.module_costs", "--costs", *workers, "."]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^ +([\d.]+) +([\d.]+) +([\d.]+) +(\d+)  (\S+)$", done.stdout, re.MULTILINE)
    assert [(module, count) for *_, count, module in rows] == [("test_large.py", "1"), ("test_small.py", "2")]
    (_, large, kept, *_), (_, small, *_) = rows
    assert float(large) > 0.3 > float(small) > 0
    assert 0 < float(kept) < 0.3
    together = float(re.search(r"All processes together: ([\d.]+) GB", done.stdout)[1])
    assert together >= float(large)


def test_a_run_that_was_stopped_goes_on(tmp_path):
    (tmp_path / "test_two.py").write_text(
        "import pathlib\ndef test_one(): pass\ndef test_other(): assert pathlib.Path('done').exists()"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "helpers.module_costs",
        "--costs",
        "--go-on",
        "kept/passed",
        "-n",
        "2",
        ".",
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    ends = []
    for _ in range(3):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        ends.append(
            (done.returncode, re.search(r"=+ (.*) in ", done.stdout)[1], re.search(r"(\d+)  test_two", done.stdout)[1])
        )
        (tmp_path / "done").touch()
    assert [*map(itemgetter(0, 2), ends)] == [(1, "2"), (0, "2"), (NOTHING, "2")]
    assert "1 failed, 1 passed" in ends[0][1]
    assert ends[1][1].endswith("1 passed")
