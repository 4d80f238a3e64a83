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


def _rank_5_product(mb, x):
    x = mb.reshape(x=x, shape=[1, 3, 2, 4, 8])
    return mb.reduce_sum(x=mb.matmul(x=x, y=x, transpose_y=True, name="product"), axes=[4], name="y")


def _scaled(mb, x):
    return mb.softmax(x=mb.linear(x=mb.reduce_mean(x=x, axes=[2, 3]), weight=_weights(5, 3)), name="y")


def _conv(mb, x):
    return mb.relu(x=mb.conv(x=x, weight=_weights(64, 3, 3, 3)), name="y")


def _convolutions(mb, x):
    x = mb.conv(x=x, weight=_weights(4, 3, 1, 14), pad_type="same", name="wide")
    x = mb.conv(x=x, weight=_weights(4, 4, 5, 5), strides=(5, 5), pad_type="same", name="fives")
    x = mb.conv_transpose(x=x, weight=_weights(4, 3, 4, 4), strides=(4, 4), name="fourfold")
    x = mb.conv_transpose(x=x, weight=_weights(3, 3, 2, 2), strides=(2, 2), output_shape=[1, 3, 16, 16], name="shaped")
    x = mb.concat(values=(x, x), axis=1, name="joined")
    return mb.conv(x=x, weight=_weights(6, 1, 3, 3), groups=6, name="y")


def _moved(mb, x):
    x = mb.pad(x=x, pad=[0, 0, 1, 0, 0, 0, 0, 0], name="channels")
    x = mb.pad(x=x, pad=[1, 1, 1, 1], mode="reflect", name="reflected")
    x = mb.slice_by_index(x=x, begin=[0, 0, 0, 2], end=[1, 4, 10, 10], name="sliced")
    x = mb.resize_bilinear(
        x=x, target_size_height=16, target_size_width=16, sampling_mode="STRICT_ALIGN_CORNERS", name="resized"
    )
    x = mb.tile(x=mb.reshape(x=x, shape=[1, 1, 1, 1024]), reps=[1, 1, 1, 3])
    return mb.reduce_argmax(x=x, axis=3, keep_dims=False, name="y")


def _sorted(mb, x):
    return mb.topk(x=mb.sin(x=x), k=2, axis=1)[0]


def _norms(mb, x):
    x = mb.layer_norm(x=x, axes=[1], epsilon=1e-6, name="norm")
    x = mb.rsqrt(x=mb.add(x=mb.abs(x=x), y=np.float32(1e-6), name="plus"), epsilon=1e-6, name="root")
    x = mb.softplus(x=mb.softmax(x=x, axis=3, name="pixels"), name="plus_exp")
    x = mb.reduce_mean(x=mb.reshape(x=mb.tile(x=x, reps=[2, 1, 1, 1]), shape=[384, 1, 1, 1]), axes=[1], name="maps")
    return mb.reduce_sum(x=mb.tile(x=x, reps=[1, 300, 1]), axes=[0, 1], keep_dims=True, name="y")


def _head(mb, x):
    x = mb.linear(x=mb.reduce_mean(x=x, axes=[2, 3]), weight=_weights(5, 3), bias=_weights(5), name="head")
    return mb.mul(x=x, y=mb.relu6(x=mb.add(x=x, y=np.float32(3)), name="gate"), name="y")


def _activated(mb, x):
    x = mb.matmul(x=mb.reduce_mean(x=x, axes=[2, 3]), y=_weights(3, 5), name="product")
    return mb.reduce_log_sum_exp(x=mb.tanh(x=x), axes=[1], keep_dims=True, name="y")


def _shuffled(mb, x):
    x = mb.space_to_depth(x=mb.tile(x=x, reps=[1, 1, 2, 2]), block_size=16, name="moved")
    return mb.add(x=x, y=np.float32([[[[-np.inf]]]]), name="y")


def _many(mb, x):
    return mb.tile(x=mb.reshape(x=x, shape=[1, 192, 1, 1]), reps=[1, 400, 1, 1], name="y")


def _normed(mb, x):
    return mb.layer_norm(x=_conv(mb, x), axes=[1, 2, 3], name="normed")


def _in_bytes(mb, x):
    return mb.dequantize(input=mb.quantize(input=x, scale=np.float32(0.5), output_dtype="int8"), scale=np.float32(0.5))


# Name -> what it computes. `write` has the options that some take.
GRAPHS = {
    "good": _good,
    "fp32": _good,
    "products": _products,
    "attention": _attention,
    "rank_5": _rank_5,
    "rank_5_product": _rank_5_product,
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
    "blocks": _conv,
    "palettized_18": _conv,
    "convolutions": _convolutions,
    "moved": _moved,
    "sorted": _sorted,
    "norms": _norms,
    "head": _head,
    "activated": _activated,
    "shuffled": _shuffled,
    "many": _many,
    "enumerated_norm": _normed,
    "in_bytes": _in_bytes,
}
FOR_IOS_18 = ("attention", "int4", "blocks", "palettized_18")


def write(name, folder):
    """Write the package of that name into the folder; return its path."""
    ct = import_coremltools()
    from coremltools.converters.mil import Builder as mb  # noqa: N813 (its own name everywhere)
    from coremltools.converters.mil.mil import get_new_symbol

    shapes = {
        "enumerated": ct.EnumeratedShapes([SHAPE, (1, 3, 16, 16)]),
        "enumerated_norm": ct.EnumeratedShapes([SHAPE, (1, 3, 16, 16)]),
        "ranged": ct.Shape((1, 3, ct.RangeDim(8, 32), ct.RangeDim(8, 64))),
    }
    open_shape = (1, 3, get_new_symbol(), get_new_symbol())
    target = ct.target.iOS18 if name in FOR_IOS_18 else ct.target.iOS17
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
        "blocks": (
            cto.linear_quantize_weights,
            cto.OpLinearQuantizerConfig(dtype="int4", granularity="per_block", block_size=1, **small),
        ),
        "palettized": (cto.palettize_weights, cto.OpPalettizerConfig(mode="uniform", nbits=6, **small)),
        "palettized_18": (cto.palettize_weights, cto.OpPalettizerConfig(mode="uniform", nbits=6, **small)),
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
