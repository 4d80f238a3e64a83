"""The memory of a process. Nothing but the standard library: other packages' programs run this file by its path."""

import contextlib
import resource
from pathlib import Path


def peak_memory(reset=False):
    """Peak resident memory of this process in bytes; with `reset`, count from now on.

    Linux's getrusage also reports the peak of the process that forked us (its ru_maxrss survives exec), which with
    TensorFlow loaded there would hide everything that we do here: /proc has our own.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: bytes, and our own
    if reset:
        with contextlib.suppress(OSError):  # some containers forbid it; the peak of the imports then stays in
            Path("/proc/self/clear_refs").write_text("5")
    return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
