"""The Vulkan driver under the GPU accelerator: a GPU's own where there is one, else SwiftShader, which uses the CPU.

`python -m keras_mobattn.gpu` gets SwiftShader, if no driver is there, out of Debian's chromium-common (31 MB) into the
virtual environment. It computes float16 as float32: it proves graphs and operators, and not what half precision does to
the numbers.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from keras_mobattn.errors import InputError

PACKAGE = "chromium-common"
FILES = ("vk_swiftshader_icd.json", "libvk_swiftshader.so", "libvulkan.so.1")  # the last is Vulkan's loader
FETCHED = Path(sys.prefix) / "swiftshader"
FOLDERS = (FETCHED, Path("/usr/lib/chromium"), Path("/opt/google/chrome"))  # installed browsers have it too


def swiftshader():
    """The folder that holds SwiftShader and a Vulkan loader, or None."""
    return next((folder for folder in FOLDERS if all((folder / name).exists() for name in FILES)), None)


def environment():
    """The environment of a process that is to use the accelerator; Vulkan reads it at the first import only.

    SwiftShader is offered beside the machine's own drivers: the accelerator takes a GPU before a CPU. Mesa's software
    driver is left out, since it compiles for 79 s where SwiftShader needs 2 (the tiny MobileViTv2, Mesa 25.0, 2 cores);
    set VK_ICD_FILENAMES to its .json to use it all the same, for instance for real float16.
    """
    variables, folder = dict(os.environ), swiftshader()
    if sys.platform != "linux" or not folder:  # on macOS the accelerator uses Metal
        return variables
    variables["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, (str(folder), variables.get("LD_LIBRARY_PATH"))))
    if not {"VK_ICD_FILENAMES", "VK_DRIVER_FILES"} & set(variables):
        variables["VK_ADD_DRIVER_FILES"] = str(folder / FILES[0])
        variables.setdefault("VK_LOADER_DRIVERS_DISABLE", "*lvp_icd*")
    return variables


def fetch():
    """Unpack SwiftShader into FETCHED.

    Raises:
        InputError: no apt here, or apt can't give the package.
        OSError: FETCHED can't be written.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise InputError(
            "Expected apt-get and dpkg-deb, to get SwiftShader out of Debian's chromium-common. Received: a machine "
            "without them. Install a Vulkan driver, or Google Chrome, which brings SwiftShader."
        )
    with tempfile.TemporaryDirectory() as folder:
        download = ["apt-get", "download", PACKAGE]
        done = _quietly(download, folder)
        if done.returncode and os.geteuid() == 0:  # a bare machine has no package lists yet
            _quietly(["apt-get", "update"], folder)
            done = _quietly(download, folder)
        archives = list(Path(folder).glob("*.deb"))
        if done.returncode or not archives:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise InputError(
                f"Expected apt-get to download {PACKAGE}. Received: {reason}. Run `apt-get update` as root; where "
                "there is no such package (Ubuntu), install a Vulkan driver or Google Chrome, which brings SwiftShader."
            )
        _quietly(["dpkg-deb", "-x", str(archives[0]), folder], folder)
        FETCHED.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            shutil.copy2(Path(folder) / "usr/lib/chromium" / name, FETCHED / name)
        shutil.copy2(Path(folder) / "usr/share/doc" / PACKAGE / "copyright", FETCHED / "copyright")


def _quietly(command, folder):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
