"""The Vulkan driver under the GPU accelerator: a GPU's own where there is one, else SwiftShader, which uses the CPU.

`python -m keras_mobattn.gpu` gets SwiftShader, if no driver is there, out of Debian's chromium-common (31 MB) into the
virtual environment. It computes float16 as float32: it proves graphs and operators, and not what half precision does to
the numbers. For that there is `llvmpipe`.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from keras_mobattn import _debian as debian
from keras_mobattn.errors import InputError
from keras_mobattn.gpu import llvmpipe

PACKAGE = "chromium-common"
FILES = ("vk_swiftshader_icd.json", "libvk_swiftshader.so", "libvulkan.so.1")  # the last is Vulkan's loader
FETCHED = Path(sys.prefix) / "swiftshader"
FOLDERS = (FETCHED, Path("/usr/lib/chromium"), Path("/opt/google/chrome"))  # installed browsers have it too
CHOSEN = {"VK_ICD_FILENAMES", "VK_DRIVER_FILES"}  # variables by which a user names drivers; they hold


def swiftshader():
    """The folder that holds SwiftShader and a Vulkan loader, or None."""
    return next((folder for folder in FOLDERS if all((folder / name).exists() for name in FILES)), None)


def environment(real_float16: bool = False) -> dict[str, str]:
    """The environment of a process that is to use the accelerator; Vulkan reads it at the first import only.

    SwiftShader is offered beside the machine's own drivers: the accelerator takes a GPU before a CPU. Mesa's software
    driver is left out, since it compiles for 79 s where SwiftShader needs 2 (the tiny MobileViTv2, Mesa 25.0, 2 cores).
    With `real_float16` it is the only one, once it was fetched; where it was not, a GPU may be there.
    """
    chosen = CHOSEN & set(os.environ)
    if sys.platform != "linux":  # on macOS the accelerator uses Metal
        return dict(os.environ)
    if real_float16 and not chosen and (folder := llvmpipe.llvmpipe()):
        return llvmpipe.environment(folder)
    folder = swiftshader()
    if not folder:
        return dict(os.environ)
    variables = llvmpipe.with_libraries(folder)
    if not chosen:
        variables["VK_ADD_DRIVER_FILES"] = str(folder / FILES[0])
        variables.setdefault("VK_LOADER_DRIVERS_DISABLE", "*lvp_icd*")
    return variables


def fetch():
    """Unpack SwiftShader into FETCHED.

    Raises:
        InputError: no apt here, or apt can't give the package.
        OSError: FETCHED can't be written.
    """
    with debian.apt(debian.codename()) as apt, tempfile.TemporaryDirectory() as folder:
        if not apt.version(PACKAGE):
            raise InputError(
                f"Expected {PACKAGE} among apt's packages, to get SwiftShader out of it. Received: none, as on Ubuntu. "
                "Install a Vulkan driver, or Google Chrome, which brings SwiftShader."
            )
        apt.unpack([PACKAGE], folder)
        FETCHED.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            shutil.copy2(Path(folder) / "usr/lib/chromium" / name, FETCHED / name)
        shutil.copy2(Path(folder) / "usr/share/doc" / PACKAGE / "copyright", FETCHED / "copyright")
