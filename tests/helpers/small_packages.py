"""Small Core ML packages that each hold something of their own, for an input [1, 3, 8, 8]."""

import shutil

import numpy as np

from keras_mobattn._quiet import import_coremltools, quiet_stderr

RNG = np.random.default_rng(0)
SHAPE = (1, 3, 8, 8)


def _weights(*shape):
    return RNG.normal(size=shape).astype("float32")


def _good(mb, x):
    x = mb.conv(x=x, weight=_weights(8, 3, 3, 3), pad_type="same", name="plain")
    x = mb.conv(x=x, weight=_weights(8, 1, 3, 3), pad_type="same", groups=8, name="depthwise")
    x = mb.conv(x=x, weight=_weights(4, 4, 1, 1), groups=2, strides=(2, 2), name="grouped")
    x = mb.conv_transpose(x=x, weight=_weights(4, 3, 2, 2), strides=(2, 2), name="up")
    return mb.linear(x=mb.reduce_mean(x=x, axes=[2, 3]), weight=_weights(5, 3), bias=_weights(5), name="y")


def _products(mb, x):
    x = mb.matmul(x=x, y=_weights(8, 5), name="product")  # [1, 3, 8, 5]
    x = mb.matmul(x=x, y=_weights(1, 3, 8, 8), transpose_x=True, name="transposed")  # [1, 3, 5, 8]
    return mb.einsum(values=(x, mb.transpose(x=x, perm=[0, 3, 2, 1])), equation="nchw,nwhu->nchu", name="y")


def _attention(mb, x):
    key, value = _weights(1, 3, 5, 8), _weights(1, 3, 5, 6)
    return mb.scaled_dot_product_attention(query=x, key=key, value=value, name="y")


def _rank_5(mb, x):
    x = mb.transpose(x=mb.reshape(x=x, shape=[1, 3, 2, 4, 8]), perm=[0, 2, 1, 3, 4])
    return mb.reshape(x=x, shape=[1, 6, 4, 8], name="y")


def _scaled(mb, x):
    return mb.softmax(x=mb.linear(x=mb.reduce_mean(x=x, axes=[2, 3]), weight=_weights(5, 3)), name="y")


def _conv(mb, x):
    return mb.relu(x=mb.conv(x=x, weight=_weights(64, 3, 3, 3)), name="y")


# Name -> what it computes. `write` has the options that some take.
GRAPHS = {
    "good": _good,
    "fp32": _good,
    "products": _products,
    "attention": _attention,
    "rank_5": _rank_5,
    "gathered": lambda mb, x: mb.gather(x=x, indices=np.int32([2, 0]), axis=1, name="y"),
    "counted": lambda mb, x: mb.non_zero(x=x, name="y"),
    "multiplied": lambda mb, x: mb.reduce_prod(x=x, axes=[1], name="y"),
    "long": lambda mb, x: mb.tile(x=mb.reshape(x=x, shape=[1, 192]), reps=[1, 100], name="y"),
    "classifier": _scaled,
    "enumerated": _conv,
    "ranged": _conv,
    "int8": _conv,
    "int4": _conv,
    "palettized": _conv,
}


def write(name, folder):
    """Write the package of that name into the folder; return its path."""
    ct = import_coremltools()
    from coremltools.converters.mil import Builder as mb  # noqa: N813 (its own name everywhere)
    from coremltools.converters.mil.mil import get_new_symbol

    shapes = {
        "enumerated": ct.EnumeratedShapes([SHAPE, (1, 3, 16, 16)]),
        "ranged": ct.Shape((1, 3, ct.RangeDim(8, 32), ct.RangeDim(8, 64))),
    }
    open_shape = (1, 3, get_new_symbol(), get_new_symbol())
    target = ct.target.iOS18 if name in ("attention", "int4") else ct.target.iOS17
    specs = [mb.TensorSpec(shape=open_shape if name in shapes else SHAPE)]
    options = {"compute_precision": ct.precision.FLOAT32} if name == "fp32" else {}
    if name in shapes:
        options["inputs"] = [ct.TensorType(name="x", shape=shapes[name])]
    if name == "classifier":
        options["inputs"] = [ct.ImageType(name="x", shape=SHAPE, scale=1 / 255, bias=[-1, 0, 1], color_layout="BGR")]
        options["classifier_config"] = ct.ClassifierConfig(list("abcde"))
    with quiet_stderr():
        program = mb.program(input_specs=specs, opset_version=target)(lambda x: GRAPHS[name](mb, x))
        model = ct.convert(program, minimum_deployment_target=target, skip_model_load=True, **options)
        model = _compressed(ct, model, name)
        model.author, model.license, model.version = "Me", "Apache-2.0", "7"
        model.short_description = "Five letters"
        model.save(str(folder / f"{name}.mlpackage"))
    return folder / f"{name}.mlpackage"


def _compressed(ct, model, name):
    cto = ct.optimize.coreml
    small = {"weight_threshold": 0}
    operations = {
        "int8": (cto.linear_quantize_weights, cto.OpLinearQuantizerConfig(**small)),
        "int4": (
            cto.linear_quantize_weights,
            cto.OpLinearQuantizerConfig(dtype="int4", granularity="per_channel", **small),
        ),
        "palettized": (cto.palettize_weights, cto.OpPalettizerConfig(mode="uniform", nbits=6, **small)),
    }
    if name not in operations:
        return model
    compress, config = operations[name]
    return compress(model, cto.OptimizationConfig(config))


def with_spec(package, path, change):
    """Copy a package to `path` with `change(spec)` as its specification: a changed one, another one, or bytes."""
    shutil.copytree(package, path)
    file = path / "Data" / "com.apple.CoreML" / "model.mlmodel"
    changed = change(import_coremltools().utils.load_spec(str(file)))
    file.write_bytes(changed if isinstance(changed, bytes) else changed.SerializeToString())
    return path
