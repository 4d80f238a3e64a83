"""What this machine is, for the record."""

import os
import platform
import subprocess
from pathlib import Path

from keras_mobattn.benchmark.measurement import Device


def describe_host() -> Device:
    """This machine as a Device: processor, operating system, and the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Device(name=_processor(), os=_system(), cores=cores)


def _system():
    named = f"macOS {platform.mac_ver()[0]}" if platform.system() == "Darwin" else None
    return f"{named or f'{platform.system()} {platform.release()}'} {platform.machine()}"


def _processor():
    if platform.system() == "Darwin":
        model = _sysctl("hw.model")  # "Mac14,2"
        return (_sysctl("machdep.cpu.brand_string") or platform.machine()) + (f" ({model})" if model else "")
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():
        if line.startswith("model name"):  # absent on most ARM boards
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _sysctl(name):
    return subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False).stdout.strip()
