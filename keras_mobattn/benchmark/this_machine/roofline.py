"""The most that this machine can do: 1x1 convolutions alone, timed among the files, and each file's share of it."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from keras_mobattn._quiet import quiet_stderr
from keras_mobattn._types import PathLike
from keras_mobattn.benchmark.measurement import Measurement
from keras_mobattn.errors import expect_kind, expect_path
from keras_mobattn.files import replacing
from keras_mobattn.formats.tflite.macs import count_file_macs

# Maps of side x side pixels and their channels: what a MobileViT works on at 256 pixels, and 16.8 million MACs each.
BRANCHES = ((64, 64), (32, 128), (16, 256), (8, 512))
DEPTH = 8  # convolutions of a branch, each with a ReLU that is fused into it
NAMES = {"float32": "roofline_fp32", "int8": "roofline_int8"}  # what is computed in -> the row's name
IMAGES = 4  # random inputs that the int8 file's ranges are measured on


def roofline_files(paths: Sequence[PathLike], folder: PathLike) -> list[Path]:
    """Return the roofline files, made in `folder`, for what the files at `paths` compute in: float32, int8 or both.

    Raises:
        InputError: no paths, or no folder.
        OSError: a file can't be written.
    """
    expect_kind("paths", paths, (list, tuple), "several paths")
    folder = expect_path(folder, "folder")
    kinds = {_kind(path) for path in paths}
    return [_written(folder / f"{name}.tflite", kind) for kind, name in NAMES.items() if kind in kinds]


def with_roofline(measurements: Iterable[Measurement]) -> list[Measurement]:
    """Fill in `macs` and `roofline_gflops` of every row that has a roofline row of its type, backend and threads.

    Raises:
        OSError: the file of a row is gone.
    """
    rows = [_counted(row) for row in measurements]
    rooflines = {  # by the file, since a row has its path for a name where others have the same one
        (stem, row.backend, row.num_threads): row.gflops
        for row in rows
        if (stem := Path(row.file).stem) in NAMES.values() and row.macs
    }
    kinds = [None if row.error else _kind(row.file) for row in rows]
    keys = [(NAMES.get(kind or "", ""), row.backend, row.num_threads) for kind, row in zip(kinds, rows, strict=True)]
    return [dataclasses.replace(row, roofline_gflops=rooflines.get(key)) for row, key in zip(rows, keys, strict=True)]


def _counted(row):
    return row if row.error else dataclasses.replace(row, macs=sum(count_file_macs(row.file).values()))


def _kind(path):
    """What most of a file's MACs are computed in; None where that can't be told, which the file's own row explains."""
    try:
        counts = count_file_macs(path)
    except Exception:  # whatever a corrupt file leads the reader into
        return None
    return max(counts, key=counts.get) if counts else None


def _written(path, kind):
    import tensorflow as tf  # here, since `benchmark` is otherwise quick to import

    rng = np.random.default_rng(0)
    kernels = [
        [rng.normal(0, (2 / channels) ** 0.5, (1, 1, channels, channels)).astype("float32") for _ in range(DEPTH)]
        for _, channels in BRANCHES
    ]

    def branches(*maps):
        for layer in zip(*kernels, strict=True):
            maps = [tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME")) for x, kernel in zip(maps, layer, strict=True)]
        return maps

    shapes = {f"map{side}": (1, side, side, channels) for side, channels in BRANCHES}
    specs = [tf.TensorSpec(shape, tf.float32, name=name) for name, shape in shapes.items()]
    concrete = tf.function(branches).get_concrete_function(*specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    if kind == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            {name: rng.random(shape, "float32") for name, shape in shapes.items()} for _ in range(IMAGES)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with quiet_stderr(), replacing(path) as beside:
        beside.write_bytes(converter.convert())
    return path
