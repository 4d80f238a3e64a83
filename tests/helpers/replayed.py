"""Files that tell the stand-in for benchmark_model what to print, and a benchmark with it on a phone."""

from helpers import FIXTURES
from keras_mobattn import benchmark

OUTPUTS = FIXTURES / "benchmark_model_outputs"
STAND_IN = FIXTURES / "benchmark_model_stand_in.sh"


def model_file(folder, name, script):
    path = folder / f"{name}.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3\n" + script.encode())
    return path


def replay(folder, name, code=0):
    return model_file(folder, name, f"cat {OUTPUTS}/{name}.txt; exit {code}\n")


def bench(paths, phone, **options):
    given = dict(cool_down=0, benchmark_model=STAND_IN, device_dir=str(phone))
    return benchmark.benchmark_android(paths, **{**given, **options})
