"""The table at the end of make slow."""

import os
import re
import subprocess
import sys

import pytest

from helpers import ROOT

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
