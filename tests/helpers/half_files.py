"""Small .tflite files and .mlpackages of one image [1, 16, 16, 3], each with its own fate in half precision."""

import numpy as np
import tensorflow as tf

from helpers.half_cases import write_cases
from keras_mobattn._quiet import import_coremltools, quiet_stderr

SIDE = 16
PIXELS = SIDE * SIDE
GRAPHS = {  # name -> what TensorFlow computes of the image
    "fine": lambda image: 0.5 * image,
    "overflow": lambda image: tf.nn.relu(image * 300.0) - 1.0,  # 76500 at 255, the sum's headroom is one of its own
    "sum": lambda image: tf.reduce_sum(image, (1, 2)),
    "mean": lambda image: tf.reduce_mean(image, (1, 2)),
    "long mean": lambda image: tf.reduce_mean(tf.nn.relu(image * 4.0), (1, 2)),
    "vanished": lambda image: tf.nn.relu(image * 1e-5) * 1e-5,
    "cancelled": lambda image: tf.nn.relu(image / 255.0 + 2000.0) - 2000.0,
    "lacking": lambda image: tf.cumsum(image, 1),
}


def images(size):
    """Two images [2, H, W, 3]: 0, 1, 2, .. 255 down the pixels, alike in every channel; and 200 everywhere."""
    ramp = np.linspace(0, 255, size[0] * size[1], dtype=np.float32).reshape(*size, 1)
    return np.stack([np.repeat(ramp, 3, -1), np.full((*size, 3), 200, np.float32)])


def write_tflite(name, folder):
    """Write one of GRAPHS; return its path."""
    return write_cases(folder / f"{name}.tflite", {name: (GRAPHS[name], None)}, {"image": (1, SIDE, SIDE, 3)})


PROGRAMS = {  # name -> what MIL computes of the image
    "fine": lambda mb, x: mb.mul(x=x, y=0.5),
    "overflow": lambda mb, x: mb.sub(x=mb.relu(x=mb.mul(x=x, y=300.0)), y=1.0),
    "sum": lambda mb, x: mb.reduce_sum(x=x, axes=[1, 2]),
    "long mean": lambda mb, x: mb.reduce_mean(x=mb.relu(x=mb.mul(x=x, y=4.0)), axes=[1, 2]),
    "vanished": lambda mb, x: mb.mul(x=mb.relu(x=mb.mul(x=x, y=1e-5)), y=1e-5),
    "cancelled": lambda mb, x: mb.sub(x=mb.relu(x=mb.add(x=mb.mul(x=x, y=1 / 255), y=2000.0)), y=2000.0),
    "fp32": lambda mb, x: mb.mul(x=x, y=0.5),
}


def write_package(name, folder):
    """Write one of PROGRAMS in fp16, "fp32" in fp32; return its path."""
    ct = import_coremltools()
    from coremltools.converters.mil import Builder as mb  # noqa: N813  its own name everywhere

    precision = ct.precision.FLOAT32 if name == "fp32" else ct.precision.FLOAT16
    target = ct.target.iOS17
    with quiet_stderr():
        program = mb.program(input_specs=[mb.TensorSpec(shape=(1, SIDE, SIDE, 3))], opset_version=target)(
            lambda x: PROGRAMS[name](mb, x)
        )
        model = ct.convert(program, minimum_deployment_target=target, compute_precision=precision, skip_model_load=True)
        model.save(str(folder / f"{name}.mlpackage"))
    return folder / f"{name}.mlpackage"
