"""A Site of small made-up files, and a record as the page posts it."""

import numpy as np

from keras_mobattn.benchmark.browser.litert_js import WASM
from keras_mobattn.benchmark.browser.site import ServedFile, Site

HOST = {
    "browser": "Safari 26.1", "system": "iOS 26.1", "device": "iPhone", "screen": "390 x 844 at 3.00", "cores": 6,
    "memory_gb": None, "touch": True, "secure": True, "isolated": True, "adapter": "apple / metal-3",
    "features": {"webgpu": True, "jspi": False, "threads": False, "relaxed_simd": False},
}  # fmt: skip
PROTOCOL = {"warmup_runs": 5, "num_runs": 50, "min_secs": 0.5, "max_secs": 30.0}
PROOF = {
    "right": True, "output": "probabilities", "max_abs_error": 1e-3, "spread": 0.9, "snr_db": 60.5, "agreement": 1,
    "agreement_title": "same top-1", "images": 8, "sentence": "As Keras.",
}  # fmt: skip
SAMPLES = [3.0, 4.0, 5.0, 3.5]


def record(**changes):
    """A record of a finished row, with `changes`."""
    whole = {
        "client": "abc", "run": 1, "battery": {"level": 0.8, "charging": False}, "battery_after": {"level": 0.7},
        "pressure": "fair", "model": "0", "backend": "webgpu-fp16", "host": HOST, "date": "2026-11-29T12:00:00Z",
        "whole": True, "threads": None, "fell_back": "", "load_ms": 200.5, "first_ms": 30, "samples_ms": SAMPLES,
        "warmup_runs": 5, "num_runs": 4, "min_secs": 0.5, "max_secs": 30, "proof": PROOF, "error": "", "done": True,
    }  # fmt: skip
    return {**whole, **changes}


def made_up_site(folder, count=2, **options):
    """A Site of `count` files in `folder`, which has LiteRT.js's files in litert/."""
    litert = folder / "litert"
    (litert / "wasm").mkdir(parents=True, exist_ok=True)
    (litert / "litert.js").write_text("export const one = 1;\n")
    (litert / WASM[1]).write_bytes(b"\0asm")
    (litert / "secret.txt").write_text("not LiteRT.js")
    files = []
    for number in range(count):
        path = folder / f"model{number}.tflite"
        path.write_bytes(b"\0\0\0\0TFL3" + bytes([number]) * 100)
        facts = {"name": path.stem, "input": "float32[1,4,4,3]", "size_bytes": 108}
        images, outputs = np.full((2, 4, 4, 3), number, np.uint8), {"probabilities": np.float32([[0.5, 0.5]] * 2)}
        files.append(ServedFile(path, path.read_bytes(), facts, {"source": "Keras"}, images, outputs))
    return Site("some models", tuple(files), litert, PROTOCOL, **options)
