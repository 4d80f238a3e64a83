"""The MIL evaluator against TensorFlow, operation by operation, and as a gate: damaged programs must not pass."""

import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import keras_mobattn
from helpers.mil_cases import CASES, MISTAKES, SHAPE, rng
from keras_mobattn import export, mil
from keras_mobattn._quiet import import_coremltools, quiet_stderr
from keras_mobattn.errors import InputError
from keras_mobattn.export import check
from keras_mobattn.export.exportable import INPUT_NAME
from keras_mobattn.formats.coreml.package import WEIGHTS
from keras_mobattn.formats.coreml.program import read_program
from keras_mobattn.layers import from_heads, to_heads

SIZES = (SHAPE, (1, 14, 4, 8))
LABELS = ("ash", "birch", "cedar", "elm", "fir", "oak", "pine", "yew")
FOLDER = tempfile.TemporaryDirectory()


@functools.cache
def operations_program():
    """All CASES as one saved and reloaded program, an image, output name -> case, and TensorFlow's results."""
    names = sorted(CASES)
    concrete = tf.function(lambda image: {name: CASES[name](image) for name in names}).get_concrete_function(
        tf.TensorSpec(SHAPE, tf.float32, INPUT_NAME)
    )
    image = np.random.default_rng(2).normal(size=SHAPE).astype(np.float32)
    expected = {name: MISTAKES.get(name, CASES[name])(tf.constant(image)).numpy() for name in names}
    return (
        convert(concrete),
        image,
        dict(zip([t.name.split(":")[0] for t in concrete.outputs], names, strict=True)),
        expected,
    )


def convert(concrete, precision="FLOAT32", shapes=(SHAPE,), labels=()):
    """Convert, save and reload; the weights stay in their file, which lives as long as the process."""
    ct = import_coremltools()
    outputs = [tensor.name.split(":")[0] for tensor in concrete.outputs]
    shape = ct.EnumeratedShapes(shapes=list(shapes)) if len(shapes) > 1 else shapes[0]
    types = [tensor.dtype.as_numpy_dtype for tensor in concrete.outputs]
    named = {"outputs": [ct.TensorType(name=name, dtype=type) for name, type in zip(outputs, types, strict=True)]}
    path = f"{tempfile.mkdtemp(dir=FOLDER.name)}/model.mlpackage"
    with quiet_stderr():
        ct.convert(
            [concrete],
            source="tensorflow",
            minimum_deployment_target=ct.target.iOS17,
            compute_precision=getattr(ct.precision, precision),
            inputs=[ct.TensorType(name=INPUT_NAME, shape=shape, dtype=np.float32)],
            skip_model_load=True,
            **({"classifier_config": ct.ClassifierConfig(list(labels))} if labels else named),
        ).save(path)
    return read_program(path)


def operation_types(program):
    return {operation.kind for operation in program.operations}


@functools.cache
def flexible_program():
    """A program for two sizes that splits a map into patches and heads and puts it together again, times two."""

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 8), tf.float32, INPUT_NAME)])
    def double(image):
        return {"doubled": from_heads(2 * to_heads(image, 2, 2), image, 2)}

    return convert(double.get_concrete_function(), shapes=SIZES)


@functools.cache
def classifier_program():
    """Softmax over the mean colour of an image as a classifier of LABELS."""
    concrete = tf.function(lambda image: tf.nn.softmax(tf.reduce_mean(image, (1, 2)))).get_concrete_function(
        tf.TensorSpec(SHAPE, tf.float32, INPUT_NAME)
    )
    return convert(concrete, labels=LABELS)


def test_each_operation_computes_what_tensorflow_computes():
    program, image, names, expected = operations_program()
    results = mil.evaluate(program, {INPUT_NAME: image})
    for output, case in names.items():
        assert results[output].dtype == expected[case].dtype
        np.testing.assert_allclose(results[output], expected[case], rtol=1e-5, atol=3e-6, err_msg=case)


def test_the_cases_cover_the_table_of_operations():
    seen = operation_types(operations_program()[0])
    assert {case.split()[0] for case in CASES} <= seen
    seen |= operation_types(flexible_program()) | operation_types(classifier_program())
    assert seen | set(IN_BYTES) == set(mil.OPS)  # test_in_bytes has those, which TensorFlow's graphs don't become


IN_BYTES = {  # -> operands, and what MIL's text says of them: clip(round(input / scale) + zero point), and back
    "quantize": (
        {"input": np.float32([[-100, 0.24, 0.26], [1, 2, 300]]), "scale": np.float32(0.5), "output_dtype": "int8"},
        [[-128, 0, 1], [2, 4, 127]],
    ),
    "dequantize": (
        {
            "input": np.uint8([[0, 128, 255], [1, 2, 3]]),
            "scale": np.float32([0.5, 2]),
            "zero_point": np.uint8([128, 0]),
            "axis": 0,
        },
        [[-64, 0, 63.5], [2, 4, 6]],
    ),
}


@pytest.mark.parametrize("kind", IN_BYTES)
def test_in_bytes(kind):
    operands, expected = IN_BYTES[kind]
    result = mil.OPS[kind](**operands)
    assert result.dtype == {"quantize": np.int8, "dequantize": np.float32}[kind]
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("shape", [(1, 6, 10, 8), (1, 14, 4, 8)])
def test_sizes_known_at_run_time(shape):
    assert shape in SIZES
    image = rng.normal(size=shape).astype(np.float32)
    (result,) = mil.evaluate(flexible_program(), {INPUT_NAME: image}).values()
    np.testing.assert_array_equal(result, 2 * image)


def test_a_size_that_is_not_among_those_has_wrong_channels():
    with pytest.raises(InputError, match=r"of shape \(1, -1, -1, 8\)"):
        mil.evaluate(flexible_program(), {INPUT_NAME: np.zeros((1, 6, 10, 7))})


def test_a_classifier_gives_a_label_and_a_probability_for_each():
    image = rng.normal(size=SHAPE).astype(np.float32)
    label, probabilities = mil.evaluate(classifier_program(), {INPUT_NAME: image}).values()
    expected = tf.nn.softmax(image.mean((1, 2)))[0].numpy()
    assert list(probabilities) == list(LABELS)
    np.testing.assert_allclose(list(probabilities.values()), expected, rtol=1e-5)
    assert label == LABELS[expected.argmax()]


def test_fp16_results_are_rounded_to_fp16():
    concrete = tf.function(lambda image: 3.0 * image + 1000.0).get_concrete_function(
        tf.TensorSpec(SHAPE, tf.float32, INPUT_NAME)
    )
    program = convert(concrete, "FLOAT16")
    assert "cast" in operation_types(program)
    image = rng.normal(size=SHAPE).astype(np.float32)
    (result,) = mil.evaluate(program, {INPUT_NAME: image}).values()
    half = image.astype(np.float16)
    np.testing.assert_array_equal(result, (half * np.float16(3) + np.float16(1000)).astype(np.float32))
    (result,) = mil.evaluate(program, {INPUT_NAME: image + 3e4}).values()
    assert np.isinf(result).all()  # 9e4 is beyond float16


@functools.cache
def tiny():
    """A small MobileViTv2 as an Exportable, its saved fp32 package, and images."""
    model = keras_mobattn.MobileViTv2(variant="test", attention="mobile_published", input_shape=(36, 64, 3), classes=10)
    keras_mobattn.randomize_weights(model, seed=1)
    images = np.random.default_rng(1).uniform(0, 255, (2, 36, 64, 3)).astype(np.float32)
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name, "model.mlpackage")
    export.to_coreml(model, path, "fp32", check_images=images)
    return export.load(model), path, images, folder  # the folder lives as long as the cache


def verify(path):
    """The check of to_coreml on a package."""
    source, _, images, _ = tiny()
    program = read_program(path)
    return check.verify(
        source,
        lambda image: mil.evaluate(program, {INPUT_NAME: image}),
        images,
        export.COREML_PRECISIONS["fp32"].tolerance,
        path=path,
        written=path,
        format="Core ML",
        precision="fp32",
        start=0.0,
    )


def test_a_whole_model_in_fp32_is_within_1e_5():
    report = verify(tiny()[1])
    assert report.max_abs_error <= 1e-5
    assert report.max_abs_error <= 1e-5 * report.spread


def operations(spec, kind):
    """The operations of one kind in a saved program."""
    main = spec.mlProgram.functions["main"]
    return [op for op in main.block_specializations[main.opset].operations if op.type == kind]


def constant(spec, op, operand):
    """The value of a constant operand: a protobuf message to change."""
    name = op.inputs[operand].arguments[0].name
    const = next(c for c in operations(spec, "const") if c.outputs[0].name == name)
    return const.attributes["val"].immediateValue.tensor


def retype(old, new, last=1):
    def change(spec):
        for operation in operations(spec, old)[:last]:
            operation.type = new

    return change


def drop(kind, operand):
    def change(spec):
        del operations(spec, kind)[0].inputs[operand]

    return change


def swap(kind):
    def change(spec):
        x, y = (operations(spec, kind)[0].inputs[name].arguments[0] for name in ("x", "y"))
        x.name, y.name = y.name, x.name

    return change


def assign(kind, operand, field, values):
    def change(spec):
        target = getattr(constant(spec, operations(spec, kind)[0], operand), field).values
        assert list(target) != values
        target[:] = values

    return change


MUTATIONS = {  # one change of a saved program that leaves it loadable
    "softmax over another axis": assign("softmax", "axis", "ints", [1]),
    "sigmoid for swish": retype("silu", "sigmoid"),
    "maximum for minimum": retype("minimum", "maximum"),
    "means for sums": retype("reduce_sum", "reduce_mean", last=None),  # the first alone is multiplied by 1e-6
    "sum for product": retype("mul", "add"),
    "operands of a subtraction swapped": swap("sub"),
    "operands of a division swapped": swap("real_div"),
    "no bias": drop("conv", "bias"),
    "padding on one side": assign("conv", "pad", "ints", [0, 2, 0, 2]),
    "another epsilon": assign("rsqrt", "epsilon", "floats", [1e-2]),
    "another resizing rule": assign("resize_bilinear", "sampling_mode", "strings", ["DEFAULT"]),
    "another scale of the input": assign("mul", "y", "floats", [1 / 250]),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_damaged_program_fails_the_check(name, tmp_path):
    damaged = tmp_path / "damaged.mlpackage"
    shutil.copytree(tiny()[1], damaged)
    file = damaged / "Data" / "com.apple.CoreML" / "model.mlmodel"
    ct = import_coremltools()
    spec = ct.utils.load_spec(str(file))
    MUTATIONS[name](spec)
    ct.utils.save_spec(spec, str(file))
    with pytest.raises(export.VerificationError, match="to agree with Keras"):
        verify(damaged)


def test_damaged_weights_fail_the_check(tmp_path):
    damaged = tmp_path / "damaged.mlpackage"
    shutil.copytree(tiny()[1], damaged)
    weights = damaged / WEIGHTS / "weight.bin"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    weights.write_bytes(data)
    with pytest.raises(export.VerificationError, match="to agree with Keras"):
        verify(damaged)


def test_an_unknown_operation_is_named(monkeypatch):
    program, image, _, _ = operations_program()
    monkeypatch.delitem(mil.OPS, "tanh")
    with pytest.raises(InputError, match="'tanh' named"):
        mil.evaluate(program, {INPUT_NAME: image})


def test_a_wrong_shape_is_named(monkeypatch):
    program, image, _, _ = operations_program()
    monkeypatch.setitem(mil.OPS, "tanh", lambda x: np.tanh(x)[0])
    with pytest.raises(InputError, match=r"declared shape \(1, 6, 10, 8\).*'tanh'"):
        mil.evaluate(program, {INPUT_NAME: image})


@pytest.mark.parametrize("inputs", [{}, {INPUT_NAME: np.zeros((1, 2, 3))}, {"photo": np.zeros(SHAPE)}])
def test_wrong_inputs_are_named(inputs):
    with pytest.raises(InputError, match="input 'image' of shape"):
        mil.evaluate(operations_program()[0], inputs)


def test_unreadable_packages_are_refused(tmp_path):
    with pytest.raises(InputError, match="there is nothing"):
        read_program(tmp_path / "absent.mlpackage")
    damaged = tmp_path / "damaged.mlpackage"
    shutil.copytree(tiny()[1], damaged)
    (damaged / "Data" / "com.apple.CoreML" / "model.mlmodel").write_bytes(b"no model")
    with pytest.raises(InputError, match="damaged.mlpackage': it is damaged"):
        read_program(damaged)
