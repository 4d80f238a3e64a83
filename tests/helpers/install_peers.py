"""Install what tests/helpers/peers.txt lists beside the package, unless that would bring CUDA, which takes several GB.

python tests/helpers/install_peers.py

Without them the tests that compare with them are skipped, and say so. Of what the package itself needs, the versions
in constraints.txt hold.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

HELPERS = Path(__file__).parent
WITH_DEPENDENCIES = ("torch", "transformers")
ALONE = ("timm", "torchvision")
CUDA = ("cuda-", "nvidia-", "triton")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "1", "install"]
PIP += ["--constraint", HELPERS.parents[1] / "constraints.txt", "--constraint", HELPERS / "peers.txt"]


class PeersMissingError(Exception):
    """They can't be had; the message says why."""


def install():
    """Install those that are missing.

    Raises:
        PeersMissingError: no network, no build for this machine, or only one for CUDA.
    """
    if all(importlib.util.find_spec(name) for name in (*WITH_DEPENDENCIES, *ALONE)):
        return
    planned = json.loads(_run([*PIP, "--quiet", "--dry-run", "--report", "-", *WITH_DEPENDENCIES]))
    names = [each["metadata"]["name"] for each in planned["install"]]
    if cuda := [name for name in names if name.lower().startswith(CUDA)]:
        raise PeersMissingError(
            f"torch brings CUDA here ({len(cuda)} packages, such as {cuda[0]}); install a CPU build of it into .venv, "
            "or name an index that has one in PIP_EXTRA_INDEX_URL"
        )
    _run([*PIP, *WITH_DEPENDENCIES])
    _run([*PIP, "--no-deps", *ALONE])


def _run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise PeersMissingError(last[-1] if last else f"pip failed with {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    try:
        install()
    except PeersMissingError as error:
        sys.exit(f"Tests against timm and transformers are skipped: {error}.")
