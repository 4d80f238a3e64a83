"""The constants of Core ML packages, bit by bit as coremltools' own reader has them."""

import functools
import shutil

import numpy as np
import pytest

from keras_mobattn._quiet import import_coremltools, quiet_stderr
from keras_mobattn.errors import InputError
from keras_mobattn.formats.coreml.constants import DECOMPRESS, read_constants
from keras_mobattn.formats.coreml.package import WEIGHTS
from keras_mobattn.formats.coreml.program import read_program
from keras_mobattn.formats.coreml.types import from_bytes

RNG = np.random.default_rng(0)
SHAPE = (1, 8, 6, 6)


def _quantized(optimize, **options):
    return optimize.linear_quantize_weights, optimize.OpLinearQuantizerConfig(weight_threshold=0, **options)


def _palettized(optimize, nbits, **options):
    config = optimize.OpPalettizerConfig(mode="uniform", nbits=nbits, weight_threshold=0, **options)
    return optimize.palettize_weights, config


def _pruned(optimize):
    return optimize.prune_weights, optimize.OpMagnitudePrunerConfig(target_sparsity=0.5, weight_threshold=0)


def _joint(optimize, step):
    """A step on what is pruned."""
    compress, config = step
    return [_pruned(optimize), (functools.partial(compress, joint_compression=True), config)]


# Name -> (the oldest system that takes it, function of coremltools.optimize.coreml).
COMPRESSIONS = {
    "int8": ("iOS16", _quantized),
    "int8 around a zero point": ("iOS16", lambda o: _quantized(o, mode="linear")),
    "uint8": ("iOS16", lambda o: _quantized(o, mode="linear", dtype="uint8")),
    "int8 of a tensor": ("iOS18", lambda o: _quantized(o, granularity="per_tensor")),
    "int4 in blocks": ("iOS18", lambda o: _quantized(o, dtype="int4", granularity="per_block", block_size=4)),
    "uint4 around a zero point": ("iOS18", lambda o: _quantized(o, mode="linear", dtype="uint4")),
    **{f"{bits} bits": ("iOS16", lambda o, bits=bits: _palettized(o, bits)) for bits in (1, 2, 4, 6, 8)},
    "3 bits": ("iOS18", lambda o: _palettized(o, 3)),
    "4 bits in groups": ("iOS18", lambda o: _palettized(o, 4, granularity="per_grouped_channel", group_size=4)),
    "pruned": ("iOS16", _pruned),
    "pruned, int8": ("iOS18", lambda o: _joint(o, _quantized(o))),
    "pruned, uint4 around a zero point": ("iOS18", lambda o: _joint(o, _quantized(o, mode="linear", dtype="uint4"))),
    "pruned, 4 bits": ("iOS18", lambda o: _joint(o, _palettized(o, 4))),
}
CASES = [
    (name, system, precision)
    for name, (since, _) in COMPRESSIONS.items()
    for system in ("iOS16", "iOS18")
    for precision in ("FLOAT16", "FLOAT32")
    if system >= since
]


@functools.cache
def plain(system, precision):
    """A coremltools model of two convolutions and constants of several types, without compression."""
    ct = import_coremltools()
    from coremltools.converters.mil import Builder as mb  # noqa: N813 (its own name everywhere)

    def layers(x):
        x = mb.conv(x=x, weight=RNG.normal(size=(16, 8, 3, 3)).astype("float32"), pad_type="same")
        x = mb.conv(x=mb.relu(x=x), weight=RNG.normal(size=(12, 16, 1, 1)).astype("float32"))
        x = mb.mul(x=x, y=RNG.normal(size=(12, 1, 1)).astype("float32"))
        return mb.concat(values=(x, mb.transpose(x=x, perm=[0, 1, 3, 2])), axis=1, interleave=False)

    target = getattr(ct.target, system)
    program = mb.program(input_specs=[mb.TensorSpec(shape=SHAPE)], opset_version=target)(layers)
    options = {"compute_precision": getattr(ct.precision, precision), "skip_model_load": True}
    with quiet_stderr():
        return ct.convert(program, minimum_deployment_target=target, **options)


def written(path, system="iOS18", precision="FLOAT16", compression=None):
    """Write the model as a package; return its path."""
    ct, model = import_coremltools(), plain(system, precision)
    with quiet_stderr():
        if compression:
            steps = COMPRESSIONS[compression][1](ct.optimize.coreml)
            for compress, config in steps if isinstance(steps, list) else [steps]:
                model = compress(model, ct.optimize.coreml.OptimizationConfig(config))
        model.save(str(path))
    return path


def read_by_coremltools(path):
    """{name: value} of all constants, compressed weights as what they stand for."""
    from coremltools.converters.mil.frontend.milproto.load import load

    spec = read_program(path).spec
    read = load(spec, specification_version=spec.specificationVersion, file_weights_dir=str(path / WEIGHTS))
    values = {}
    for op in read.functions["main"].operations:
        if op.op_type == "const":
            values[op.outputs[0].name] = op.outputs[0].val
        elif op.op_type.startswith("constexpr_"):
            made = op.materialized_val_inference()
            made = made if isinstance(made, tuple) else (made,)
            values |= {output.name: value for output, value in zip(op.outputs, made, strict=True)}
    return values


def expect_same(path):
    program, expected = read_program(path), read_by_coremltools(path)
    received = read_constants(program)
    names = {name for name in received if "/" not in name}  # the others have no name in the file
    assert names >= {value.name for each in program.operations for bound in each.operands.values() for value in bound
                     if value.name in expected and "/" not in value.name}  # fmt: skip
    assert names <= set(expected)
    for name in names:
        ours, theirs = np.asarray(received[name]), np.asarray(expected[name])
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), name
        assert ours.tobytes() == theirs.tobytes(), name
    return program


@pytest.mark.parametrize(("name", "system", "precision"), CASES)
def test_compressed_weights(name, system, precision, tmp_path):
    program = expect_same(written(tmp_path / "model.mlpackage", system, precision, name))
    assert len(program.constexprs) >= 2


@pytest.mark.parametrize("precision", ["FLOAT16", "FLOAT32"])
def test_plain_weights(precision, tmp_path):
    program = expect_same(written(tmp_path / "model.mlpackage", "iOS16", precision))
    types = {type(value) for value in read_constants(program).values()}
    assert types == {np.ndarray, str}
    assert not program.constexprs


def test_every_way_to_unpack_has_a_case(tmp_path):
    """Besides constexpr_cast, which coremltools' compressions don't make."""
    systems = dict.fromkeys(("int8", "4 bits", "pruned"), ("iOS16", "iOS18"))
    systems |= dict.fromkeys(("pruned, int8", "pruned, 4 bits"), ("iOS18",))
    kinds = set()
    for number, (name, system) in enumerate((n, system) for n in systems for system in systems[n]):
        path = written(tmp_path / f"{number}.mlpackage", system, compression=name)
        kinds |= {operation.kind for operation in read_program(path).constexprs}
    assert kinds == set(DECOMPRESS) - {"constexpr_cast"}
    single = DECOMPRESS["constexpr_cast"](np.float16([1.5, -2]), "fp32")
    assert (single.dtype, single.tolist()) == (np.float32, [1.5, -2])


@pytest.mark.parametrize("dtype", ["int4", "uint1", "uint2", "uint3", "uint4", "uint6"])
def test_values_of_less_than_a_byte(dtype):
    from coremltools.optimize import _utils as coremltools_utils

    bits, signed = int(dtype.lstrip("uint")), dtype.startswith("i")
    held = np.int8 if signed else np.uint8
    values = RNG.integers(-(1 << bits - 1) if signed else 0, 1 << bits - signed, (3, 7)).astype(held)
    packed = coremltools_utils.pack_elements_into_bits(values.reshape(-1), bits).tobytes()
    read = from_bytes(packed, dtype, (3, 7))
    assert read.dtype == held
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("case", ["cut off", "another file", "gone"])
def test_damaged_weights_are_refused(case, tmp_path):
    path = written(tmp_path / "whole.mlpackage")
    shutil.copytree(path, tmp_path / "damaged.mlpackage")
    file = tmp_path / "damaged.mlpackage" / WEIGHTS / "weight.bin"
    content = file.read_bytes()
    if case == "gone":
        file.unlink()
    else:
        file.write_bytes(content[: len(content) // 3] if case == "cut off" else bytes(len(content)))
    with pytest.raises(InputError, match=r"Received: '.*damaged.mlpackage', unreadable"):
        read_constants(read_program(tmp_path / "damaged.mlpackage"))
    assert read_constants(read_program(path))


def test_an_unknown_compression_is_named(tmp_path, monkeypatch):
    path = written(tmp_path / "model.mlpackage", compression="pruned")
    monkeypatch.delitem(DECOMPRESS, "constexpr_sparse_to_dense")
    with pytest.raises(InputError, match="constexpr_sparse_to_dense"):
        read_constants(read_program(path))
