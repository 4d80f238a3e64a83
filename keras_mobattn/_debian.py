"""Packages of Debian or Ubuntu, downloaded and unpacked into a folder; nothing is installed, and no root needed."""

import contextlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from keras_mobattn.errors import InputError

TOOLS = ("apt-get", "dpkg-deb")


class Apt:
    """apt with sources, lists and a cache of its own, for some suites ("bookworm") of this machine's own mirror."""

    def __init__(self, scratch, suites):
        for name in ("lists/partial", "archives/partial", "debs"):
            (scratch / name).mkdir(parents=True)
        mirror = _mirror()
        (scratch / "sources.list").write_text("".join(f"deb {mirror} {suite} main\n" for suite in suites))
        options = {
            "Dir::Etc::sourcelist": scratch / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": scratch / "lists",
            "Dir::State::status": "/dev/null",  # as if nothing were installed
            "Dir::Cache": scratch,
            "Acquire::Languages": "none",
            "APT::Default-Release": suites[-1],  # it wins over the suites before it, as backports do not by themselves
            "APT::Update::Error-Mode": "any",  # otherwise no network is only a warning
        }
        if os.geteuid() == 0:
            options["APT::Sandbox::User"] = "root"  # another user can't write here
        self._options = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        self._debs = scratch / "debs"
        self._run("apt-get", "update")

    def version(self, package):
        """The version of a package that there is, "25.0.7-2"; None if there is none."""
        found = re.search(r"Candidate: (\d\S*)", self._run("apt-cache", "policy", package))
        return found and found[1]

    def needed(self, package):
        """The names of a package and of all that it needs."""
        planned = self._run("apt-get", "install", "--simulate", "--no-install-recommends", package)
        return re.findall(r"^Inst (\S+)", planned, re.MULTILINE)

    def unpack(self, packages, folder):
        """Download packages and unpack them into `folder`."""
        self._run("apt-get", "download", *packages)
        for archive in self._debs.glob("*.deb"):
            _run("dpkg-deb", "-x", archive, folder)
            archive.unlink()

    def _run(self, program, *words):
        return _run(program, "-q", *self._options, *words, cwd=self._debs)


@contextlib.contextmanager
def apt(*suites):
    """Yield an Apt for these suites of this machine's mirror; packages of the last suite are preferred.

    Raises:
        InputError: no apt, no mirror among its sources, no such suite, no network; also raised by what Apt does.
    """
    if not all(shutil.which(tool) for tool in TOOLS):
        raise InputError(
            f"Expected {' and '.join(TOOLS)}, to get packages of Debian or Ubuntu. Received: a machine without them. "
            "Install a Vulkan driver by your system's own means."
        )
    with tempfile.TemporaryDirectory() as scratch:
        yield Apt(Path(scratch), suites)


def codename():
    """The name of this machine's release, "bookworm"; "" where it has none."""
    try:
        return platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    except OSError:  # no Linux
        return ""


def _mirror():
    """The address from which this machine's own apt has its release."""
    listed = _run("apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages")
    addresses = dict(line.split() for line in reversed(listed.splitlines()))  # of several, the first one
    if codename() not in addresses:
        raise InputError(
            f"Expected {codename() or 'a release of Debian or Ubuntu'} among apt's sources. Received: "
            f"{', '.join(addresses) or 'none'}. Add it to /etc/apt/sources.list."
        )
    return addresses[codename()]


def _run(program, *words, cwd=None):
    done = subprocess.run(
        [program, *words], cwd=cwd, capture_output=True, text=True, errors="replace", env={**os.environ, "LC_ALL": "C"},
        check=False,
    )  # fmt: skip
    if done.returncode:
        reasons = [line.removeprefix("E: ") for line in done.stderr.splitlines() if line.startswith("E: ")]
        reason = (reasons or done.stderr.strip().splitlines() or ["no reason given"])[0].rstrip(".")
        raise InputError(f"Expected {program} to work. Received: {reason}. Look at apt's sources and at the network.")
    return done.stdout
