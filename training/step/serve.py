"""What the programs here share: make a training step, say so, and time as many as stdin asks for, line by line.

    python ours.py '{"model": ..., "attention": ..., "batch_size": 16, ...}'

Nothing of keras_mobattn is imported here: other packages' steps run in environments of their own.
"""

import json
import runpy
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
MEMORY = ROOT / "keras_mobattn" / "benchmark" / "this_machine" / "memory.py"
peak_memory = runpy.run_path(str(MEMORY))["peak_memory"]


def serve(make_step):
    """Call make_step(**job) -> (step, device, peak memory on it or None); then answer each n on stdin with n times.

    `step()` returns when its work is done. Answers are lines of JSON: {"device", "first_secs"} when ready, then
    {"samples_ms", "peak_memory_bytes"}. On a CPU the memory is the process's, less what it was before.
    """
    before = peak_memory(reset=True)
    start = time.perf_counter()
    step, device, device_memory = make_step(**json.loads(sys.argv[1]))
    step()
    _say({"device": device, "first_secs": time.perf_counter() - start})
    for line in sys.stdin:
        samples = []
        for _ in range(int(line)):
            begun = time.perf_counter()
            step()
            samples.append(1e3 * (time.perf_counter() - begun))
        memory = peak_memory() - before if device_memory is None else device_memory()
        _say({"samples_ms": samples, "peak_memory_bytes": int(memory)})


def _say(answer):
    print("\n" + json.dumps(answer), flush=True)  # a line of its own, whatever native code wrote before
