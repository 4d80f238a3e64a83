"""Mesa's llvmpipe, a Vulkan driver that computes on the CPU, float16 as float16: Mesa 25.0 does, 22.3 does not.

`python -m keras_mobattn.gpu --half` gets it out of the packages of this machine's own Debian or Ubuntu, or out of its
backports (Debian 12), into the virtual environment: 12 MB, and up to 70 MB with the libraries that it needs where the
system lacks them. A driver is loaded into Python, so that it has to fit the system's C library: another release's
packages won't do.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from keras_mobattn import _debian as debian
from keras_mobattn.errors import InputError
from keras_mobattn.files import replacing

PACKAGE, LOADER = "mesa-vulkan-drivers", "libvulkan1"
FIRST = 25  # Mesa's version
DRIVER, MANIFEST = "libvulkan_lvp.so", "lvp_icd.json"
FETCHED = Path(sys.prefix) / "llvmpipe"


def llvmpipe():
    """The folder that holds llvmpipe, its manifest and Vulkan's loader, or None."""
    return FETCHED if (FETCHED / MANIFEST).exists() else None


def fetch(folder=None):
    """Unpack llvmpipe, with the libraries that it needs and the system lacks, into `folder`, FETCHED by default.

    Raises:
        InputError: no apt here, or it can't give Mesa 25 or newer.
        OSError: the folder can't be written.
    """
    name = debian.codename()
    found = []
    for suites in ((name, f"{name}-updates"), (name, f"{name}-backports")):
        with debian.apt(*suites) as apt:
            version = apt.version(PACKAGE)
            if version and int(re.match(r"(?:\d+:)?(\d+)", version)[1]) >= FIRST:
                return _unpack(apt, folder or FETCHED)
            found.append(f"{version or 'none'} in {' and '.join(suites)}")
    raise InputError(
        f"Expected Mesa {FIRST} or newer, whose llvmpipe computes float16. Received: {', '.join(found)}. Use a newer "
        "release of the system, or a GPU."
    )


def _unpack(apt, folder):
    with tempfile.TemporaryDirectory() as scratch, replacing(folder, folder=True) as kept:
        kept.mkdir()
        apt.unpack([PACKAGE, LOADER], scratch)
        _keep((DRIVER, "libvulkan.so.1"), scratch, kept)
        if _missing(kept):
            apt.unpack(set(apt.needed(PACKAGE)) - {PACKAGE, LOADER}, scratch)
        while missing := _missing(kept):  # what was missing may need more
            _keep(missing, scratch, kept)
        (manifest,) = Path(scratch).rglob("lvp_icd*.json")
        described = json.loads(manifest.read_text(encoding="utf-8"))
        described["ICD"]["library_path"] = f"./{DRIVER}"  # beside the manifest
        (kept / MANIFEST).write_text(json.dumps(described), encoding="utf-8")
        shutil.copy2(Path(scratch) / "usr/share/doc" / PACKAGE / "copyright", kept / "copyright")


def _keep(libraries, scratch, kept):
    for name in libraries:
        found = next(Path(scratch).rglob(name), None)
        if not found:
            raise InputError(
                f"Expected {name} in the packages that {PACKAGE} needs. Received: none. Install {PACKAGE}, version "
                f"{FIRST} or newer, by your system's own means."
            )
        shutil.copy2(found, kept / name)  # through the link, which names another


def _missing(folder):
    """The libraries that llvmpipe in `folder` needs, and that are neither there nor in the system."""
    listed = subprocess.run(
        ["ldd", folder / DRIVER], env=environment(folder), capture_output=True, text=True, check=False
    )
    return re.findall(r"(\S+) => not found", listed.stdout)


def environment(folder):
    """The environment of a process that is to use the driver in `folder` alone."""
    return with_libraries(folder) | {"VK_DRIVER_FILES": str(folder / MANIFEST)}


def with_libraries(folder):
    """This process's environment, with the libraries in `folder` before all others."""
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("LD_LIBRARY_PATH"))))
    return {**os.environ, "LD_LIBRARY_PATH": path}
