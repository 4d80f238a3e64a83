"""Say what is here, what is missing for what, and how to mend it.

    mobattn doctor
    mobattn doctor --require android litert-gpu      # for a script: exit code 1 where one of them is missing

Exit code 0: all that `--require` names is there; 1: something of it is missing; 2: bad input.
"""

import importlib.metadata
import os
import platform
import shutil
from pathlib import Path
from typing import Literal

import rich.table
import rich.text

from keras_mobattn import cli
from keras_mobattn._quiet import quiet_stderr
from keras_mobattn.catalog import DEFAULT_WEIGHTS
from keras_mobattn.errors import InputError

PACKAGES = ("keras_mobattn", "tensorflow", "tf-keras", "ai-edge-litert", "coremltools", "huggingface_hub")
ROOM, MEMORY = 5e9, 4e9  # bytes that are enough for training on photographs


def versions():
    """The versions of Python and of the packages that matter."""
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            raise InputError(f"Expected the package {name}. Received: none. Install it: pip install {name}") from None
    return ", ".join(found)


def training_gpu():
    """The accelerators that TensorFlow has."""
    from keras_mobattn._tensorflow import tf

    devices = [device for kind in ("GPU", "TPU") for device in tf.config.list_physical_devices(kind)]
    if not devices:
        raise InputError(
            "Expected a GPU that TensorFlow can use. Received: none; training takes the CPU. With an NVIDIA GPU: "
            "pip install 'tensorflow[and-cuda]'"
        )
    names = [tf.config.experimental.get_device_details(each).get("device_name", each.name) for each in devices]
    return ", ".join(names)


def litert_gpu():
    """The GPU or software driver of LiteRT's GPU accelerator."""
    from keras_mobattn import gpu

    if problem := gpu.gpu_problem():
        raise InputError(f"Expected a driver for LiteRT's GPU accelerator. Received: none. {problem}")
    return gpu.gpu_adapter()


def android():
    """The phone that adb reaches."""
    from keras_mobattn.benchmark.android.phone import find_phone
    from keras_mobattn.benchmark.loop import DeviceLostError

    try:
        with quiet_stderr():  # adb tells that it starts
            phone = find_phone()
    except DeviceLostError as error:
        raise InputError(f"Expected an Android device that answers. Received: {error} Plug it in again.") from error
    return f"{phone.describe().name} ({phone.serial})"


def browsers():
    """The address at which phones' browsers find `mobattn serve`."""
    from keras_mobattn.benchmark.browser.addresses import choose_address
    from keras_mobattn.benchmark.browser.litert_js import expect_litert_js
    from keras_mobattn.benchmark.browser.server import expect_packages

    expect_packages()
    return f"{expect_litert_js()}; this machine is {choose_address()}"


def mac():
    """The macOS that Core ML runs on."""
    from keras_mobattn.benchmark.apple.iphone import expect_mac

    expect_mac("Core ML")
    return f"macOS {platform.mac_ver()[0]}, {platform.machine()}"


def iphone():
    """The iPhone on the USB port, which needs Xcode."""
    from keras_mobattn.benchmark.apple.iphone import expect_mac, find_iphone

    expect_mac("a benchmark on an iPhone")
    return find_iphone().describe().name


def hub():
    """The hub of published weights."""
    from keras_mobattn.weights import find_tag, hub_problem

    if problem := hub_problem(find_tag(DEFAULT_WEIGHTS)):
        raise InputError(
            f"Expected the hub of published weights, or {DEFAULT_WEIGHTS} in its cache. Received: none, since "
            f"{problem}. See to the network, or HF_ENDPOINT and HF_HUB_OFFLINE."
        )
    return f"has {DEFAULT_WEIGHTS}"


def disk():
    """Free disk space where runs go."""
    free = shutil.disk_usage(Path.cwd()).free
    if free < ROOM:
        raise InputError(
            f"Expected {ROOM / 1e9:.0f} GB of free disk in {Path.cwd()}. Received: {free / 1e9:.1f} GB. Make room, or "
            "change to another folder."
        )
    return f"{free / 1e9:.0f} GB free in {Path.cwd()}"


def memory():
    """Free memory."""
    import psutil

    free = psutil.virtual_memory().available
    if free < MEMORY:
        raise InputError(
            f"Expected {MEMORY / 1e9:.0f} GB of free memory. Received: {free / 1e9:.1f} GB. Close other programs, or "
            "train with smaller batches."
        )
    return f"{free / 1e9:.0f} GB free, {os.cpu_count()} cores"


CHECKS = {  # name -> (function that finds it or raises an InputError, what needs it)
    "versions": (versions, "Everything"),
    "disk": (disk, "A run"),
    "memory": (memory, "Training"),
    "hub": (hub, "A start from published weights"),
    "training-gpu": (training_gpu, "Training in minutes"),
    "litert-gpu": (litert_gpu, "The verdict on a phone's GPU"),
    "android": (android, "mobattn benchmark --device android"),
    "browsers": (browsers, "mobattn serve"),
    "mac": (mac, "mobattn benchmark --device mac"),
    "iphone": (iphone, "mobattn benchmark --device iphone"),
}


def main(require: tuple[Literal[tuple(CHECKS)], ...] = ("versions",)) -> int:
    """Say what is here, what is missing for what, and how to mend it.

    Args:
        require: What makes the exit code 1 when it is missing.
    """
    table = rich.table.Table.grid(padding=(0, 2, 0, 0))
    missing = set()
    with cli.console.status("Looking around") as status:
        for name, (find, purpose) in CHECKS.items():
            status.update(f"Looking for {name}")
            try:
                found, style = find(), "green"
            except (InputError, ImportError) as error:
                missing.add(name)
                found, style = f"{purpose} needs it. {error}", "yellow"
            state = rich.text.Text("missing" if name in missing else "here", style=style)
            table.add_row(state, name, rich.text.Text(found))
    cli.console.print(table)
    return int(bool(missing & set(require)))


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
