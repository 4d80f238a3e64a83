"""A module of this package as a process of its own, which starts without TensorFlow."""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]  # the folder in which the package lies


def command(module, *arguments):
    """The command line of a module, e.g. "keras_mobattn.gpu.worker"; start it with `environment`."""
    return [sys.executable, "-P", "-m", module, *arguments]  # -P: files of the current folder hide no package's


def environment(variables=None):
    """`variables` (this process's own by default) with which another process finds this same package."""
    variables = os.environ if variables is None else variables
    return {**variables, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), variables.get("PYTHONPATH"))))}


def run(module, *arguments, variables=None, timeout=None):
    """Run a module to its end; return a subprocess.CompletedProcess with the texts that it printed.

    Raises:
        subprocess.TimeoutExpired: it took longer than `timeout` seconds, and was ended.
    """
    return subprocess.run(
        command(module, *arguments),
        env=environment(variables),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )


def how_it_ended(returncode):
    """A process's exit code in words: "exit code 3", "signal SIGSEGV"."""
    return f"exit code {returncode}" if returncode >= 0 else f"signal {signal.Signals(-returncode).name}"
