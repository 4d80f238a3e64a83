"""What this machine is, for the record."""

import os
import platform
import subprocess
from pathlib import Path

from keras_mobattn.benchmark.measurement import Device


def describe_host():
    """This machine as a Device: processor, operating system, and the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Device(name=_processor(), os=f"{platform.system()} {platform.release()} {platform.machine()}", cores=cores)


def _processor():
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():
        if line.startswith("model name"):  # absent on most ARM boards
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
