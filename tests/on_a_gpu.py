"""Run a folder of .tflite files on this machine's GPU, in fp32 and in fp16: error, time and verdict of each.

    .venv/bin/python tests/helpers/make_gpu_folder.py FOLDER    # where the package is: makes the folder
    python tests/on_a_gpu.py FOLDER                             # where the GPU is

It needs the packages ai-edge-litert and numpy and nothing else, also no network; a Vulkan driver, and Vulkan's loader
(libvulkan.so.1). Beside each NAME.tflite lies NAME.npz with what make_gpu_folder.py describes. Each file has a process
of its own, where a crash costs no other file. The exit code is 1 if something fails, 2 if there is nothing to run.

Errors are shares of the outputs' spread; times are medians in ms, from the inputs' writing to the outputs' reading.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

MAX_SECS = 300  # of one file
ROUNDS = 20  # timed runs, after one that is not
PRECISIONS = ("fp32", "fp16")
ROW = "{:32} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}  {}"
HEAD = ROW.format("file", "fp32", "limit", "fp16", "limit", "fp32 ms", "fp16 ms", "verdict")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds NAME.tflite and NAME.npz")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # NAME: run it in this process, and print JSON
    given = parser.parse_args()
    if given.one:
        print("\n" + json.dumps(run_file(given.folder / given.one)))
        return 0
    names = sorted(path.stem for path in given.folder.glob("*.tflite") if path.with_suffix(".npz").exists())
    if not names:
        print(f"Expected a folder with NAME.tflite and NAME.npz. Received: {str(given.folder)!r}.", file=sys.stderr)
        return 2
    return report(given.folder, names)


def report(folder, names):
    """Run the files, print a row for each, and return the exit code."""
    failed, as_float32, adapters = [], [], set()
    print(HEAD)
    for name in names:
        found, adapter = in_a_process(folder, name)
        adapters.add(adapter)
        problem = found.get("problem") or verdict(found)
        failed += [name] if problem else []
        as_float32 += [found["same"]] if "same" in found else []
        numbers = [found.get(each, "") for each in ("fp32", "limit fp32", "fp16", "limit fp16", "fp32 ms", "fp16 ms")]
        print(ROW.format(name, *(f"{n:.2g}" if n != "" else "-" for n in numbers), problem or "ok"), flush=True)
    print(
        f"\nOn {', '.join(sorted(adapters - {''})) or 'nothing'}: {len(names) - len(failed)} of {len(names)} are right."
    )
    if as_float32 and all(as_float32):
        print("fp16 has fp32's numbers bit for bit: half precision is not computed here.")
    return 1 if failed else 0


def verdict(found):
    """What is wrong, or ""."""
    return ", ".join(f"{each} wrong" for each in PRECISIONS if not found[each] <= found[f"limit {each}"])


def in_a_process(folder, name):
    """What `run_file` returns, or {"problem": ...}; and the adapter's name."""
    command = [sys.executable, __file__, str(folder), "--one", name]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=MAX_SECS, check=False
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"problem": f"took longer than {MAX_SECS} s"}, ""
    selected = re.search(r"Selected adapter: (.+?), arch=", done.stderr)
    adapter = selected[1] if selected else ""
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if lines:
        found = json.loads(lines[-1])
    else:
        said = [line for line in done.stderr.splitlines() if re.search(r"Error|ERROR|Check failed", line)]
        found = {"problem": f"exit code {done.returncode}: {' '.join(said[-1:])}"}
    refused = re.findall(r"^\s*(\w+: .*not supported.*|.*No support of.*|.*No adapters found.*)$", done.stderr, re.M)
    if "problem" in found and refused:
        found["problem"] = refused[0].strip()
    return found, adapter


def run_file(stem):
    """{"fp32": error, "fp32 ms": time, "limit fp32": ..., the same of "fp16", "same": whether both are equal}, or
    {"problem": ...}."""
    cases, limits = read(stem.with_name(stem.name + ".npz"))
    found, outputs = {f"limit {each}": limits[each] for each in PRECISIONS}, {}
    try:
        for precision in PRECISIONS:
            run = compiled(stem.with_name(stem.name + ".tflite"), precision)
            outputs[precision] = [run(inputs) for inputs, _ in cases]
            found[precision] = error(outputs[precision], [expected for _, expected in cases])
            found[f"{precision} ms"] = timed(run, cases[0][0])
    except Exception as problem:  # whatever the runtime has to say
        return {**found, "problem": " ".join(str(problem).split())[:200] or type(problem).__name__}
    pairs = zip(*outputs.values(), strict=True)
    found["same"] = all(np.array_equal(a[name], b[name]) for a, b in pairs for name in a)
    return found


def read(path):
    """[({input: array}, {expected output: array}), ...] and {precision: limit of the error}."""
    cases, limits = {}, {}
    with np.load(path) as arrays:
        for key in arrays:
            kind, first, *rest = key.split("/", 2)
            if kind == "limit":
                limits[first] = float(arrays[key])
            else:
                cases.setdefault(int(first), {"in": {}, "out": {}})[kind][rest[0]] = arrays[key]
    return [(cases[number]["in"], cases[number]["out"]) for number in sorted(cases)], limits


def compiled(path, precision):
    """A function {input: array} -> {output: array} that runs the file on the accelerator alone."""
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator
    from ai_edge_litert.options import GpuOptions, Options

    gpu = GpuOptions(enforce_f32=precision == "fp32")
    options = Options(hardware_accelerators=HardwareAccelerator.GPU, gpu_options=gpu)
    model = CompiledModel.from_file(str(path), options=options)
    if not model.is_fully_accelerated():
        raise RuntimeError("some operators are not accelerated")
    signature = model.get_signature_by_index(0)
    inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)
    takes, gives = (
        [(name, read(signature["key"])[name]) for name in signature[kind]]
        for kind, read in (("inputs", model.get_input_tensor_details), ("outputs", model.get_output_tensor_details))
    )

    def run(given):
        for buffer, (name, detail) in zip(inputs, takes, strict=True):
            buffer.write(np.asarray(given[name], detail["dtype"]))
        model.run_by_index(0, inputs, outputs)
        return {
            name: buffer.read(int(np.prod(detail["shape"])), np.dtype(detail["dtype"])).reshape(detail["shape"])
            for buffer, (name, detail) in zip(outputs, gives, strict=True)
        }

    return run


def error(received, expected):
    """The largest difference as a share of the spread of what was expected; infinite for NaN and infinity."""
    worst = 0.0
    for name in expected[0]:
        wanted, got = (
            np.stack([each[name] for each in outputs]).astype(np.float64) for outputs in (expected, received)
        )
        share = np.abs(got - wanted).max() / (np.ptp(wanted) or 1.0)
        worst = max(worst, float(share) if np.isfinite(share) else float("inf"))
    return worst


def timed(run, inputs):
    """The median time of a run in ms."""
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run(inputs)
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times))


if __name__ == "__main__":
    sys.exit(main())
