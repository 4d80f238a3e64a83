"""Descriptions of real Core ML packages: what they hold, which are refused."""

import dataclasses
import shutil

import pytest
import tensorflow as tf

import keras_mobattn
from helpers import small_packages
from helpers.described_packages import described
from keras_mobattn import describe
from keras_mobattn._quiet import import_coremltools, quiet_stderr
from keras_mobattn.errors import InputError

MACS = {  # package -> {type: MACs}, operations of open size
    # conv 512 * 27, depthwise 512 * 9, grouped 64 * 4, transposed 64 * 12, linear 5 * 3
    "good": ({"float16": 13824 + 4608 + 256 + 768 + 15}, 0),
    "fp32": ({"float32": 19471}, 0),
    "products": ({"float16": 120 * 8 + 120 * 8 + 3 * 5 * 8 * 3}, 0),
    "attention": ({"float16": 3 * 8 * 5 * (8 + 6)}, 0),
    "int8": ({"float16": 64 * 36 * 27}, 0),
    "rank_5": ({}, 0),
    "enumerated": ({}, 1),
}


@pytest.mark.parametrize("name", MACS)
def test_macs_are_those_of_the_formulas(package, name):
    found = described(package(name))
    assert (found.macs, found.macs_unknown) == MACS[name]


@pytest.mark.parametrize("attention", ["softmax", pytest.param("separable", marks=pytest.mark.slow)])
def test_macs_agree_with_the_keras_model(tiny_model, tmp_path, attention):
    """The converter's own graph, without what our export may fuse."""
    ct, model = import_coremltools(), tiny_model("MobileViTv2", attention)
    function = tf.function(lambda image: model(image, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="image"))
    with quiet_stderr():
        converted = ct.convert([concrete], source="tensorflow", convert_to="mlprogram", skip_model_load=True)
    converted.save(str(tmp_path / "model.mlpackage"))
    found = describe.describe_coreml(tmp_path / "model.mlpackage")
    assert sum(found.macs.values()) == pytest.approx(keras_mobattn.count_macs(model), rel=0.01)
    assert found.max_rank == 4
    assert (found.gathers, found.non_zeros, found.open_shapes) == (0, 0, 0)


WEIGHTS = {  # package -> [(kind, type, constants, bytes)]
    "good": [("const", "float16", 5, 2 * (216 + 72 + 16 + 48 + 15))],  # the bias of 5 stands in the program
    "fp32": [("const", "float32", 5, 4 * (216 + 72 + 16 + 48 + 15))],
    "int8": [("constexpr_affine_dequantize", "int8", 2, 1728 + 64), ("constexpr_affine_dequantize", "float16", 1, 128)],
    "int4": [
        ("constexpr_blockwise_shift_scale", "int4", 1, 864),
        ("constexpr_blockwise_shift_scale", "float16", 1, 128),
    ],
    "palettized": [("constexpr_lut_to_dense", "uint8", 1, 1296), ("constexpr_lut_to_dense", "float16", 1, 128)],
    "rank_5": [],
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_by_kind_and_type(package, name):
    found = described(package(name))
    assert [dataclasses.astuple(weights) for weights in found.weights] == WEIGHTS[name]
    kinds = {kind for kind, *_ in WEIGHTS[name] if kind != "const"}
    assert found.compression == dict.fromkeys(kinds, 1)
    assert not kinds & set(found.operators)
    files = [file for file in package(name).rglob("*") if file.is_file()]
    assert found.size_bytes == sum(file.stat().st_size for file in files)
    assert found.weights_bytes == sum(file.stat().st_size for file in files if file.suffix == ".bin")
    assert found.weights_bytes >= sum(size for *_, size in WEIGHTS[name])


def test_counts_that_the_neural_engine_asks_for(package):
    rank_5 = described(package("rank_5"))
    assert (rank_5.max_rank, rank_5.transposes, rank_5.reshapes) == (5, 1, 2)
    assert {value.shape for value in rank_5.high_rank} == {(1, 3, 2, 4, 8), (1, 2, 3, 4, 8)}
    assert described(package("gathered")).gathers == 1
    assert described(package("counted")).non_zeros == 1
    assert described(package("counted")).open_shapes == 1
    assert described(package("ranged")).open_shapes == 4
    assert described(package("good")).operators == {
        "conv": 3, "cast": 2, "conv_transpose": 1, "reduce_mean": 1, "linear": 1,
    }  # fmt: skip


def test_inputs_and_outputs(package):
    (image,) = described(package("classifier")).inputs
    assert (image.kind, image.colour, image.shape, image.dtype) == ("image", "BGR", (8, 8), "uint8")
    assert {feature.kind for feature in described(package("classifier")).outputs} == {"string", "dictionary"}
    assert described(package("classifier")).classes == 5
    good = described(package("good"))
    assert [(f.name, f.kind, f.dtype, f.shape) for f in (*good.inputs, *good.outputs)] == [
        ("x", "tensor", "float32", (1, 3, 8, 8)),
        ("y", "tensor", "float32", (1, 5)),
    ]
    assert good.classes is None
    (enumerated,) = described(package("enumerated")).inputs
    assert (enumerated.flexible, enumerated.shapes) == ("enumerated", ((1, 3, 8, 8), (1, 3, 16, 16)))
    (ranged,) = described(package("ranged")).inputs
    assert (ranged.flexible, ranged.ranges) == ("range", ((1, 1), (3, 3), (8, 32), (8, 64)))


def test_metadata_and_systems(package):
    found = described(package("int4"))
    assert (found.author, found.licence, found.version, found.description) == ("Me", "Apache-2.0", "7", "Five letters")
    assert (found.specification_version, found.systems) == (9, ("iOS 18", "macOS 15"))
    assert described(package("good")).systems == ("iOS 17", "macOS 14")


def test_several_functions(package, tmp_path):
    """ "main" is described, else the default one."""

    def add(spec):
        spec.mlProgram.functions["other"].CopyFrom(spec.mlProgram.functions["main"])
        return spec

    def without_main(spec):
        main = spec.mlProgram.functions.pop("main")
        for name in ("first", "second"):
            spec.mlProgram.functions[name].CopyFrom(main)
            described = spec.description.functions.add(name=name)
            described.input.extend(spec.description.input)
            described.output.extend(spec.description.output)
        del spec.description.input[:], spec.description.output[:]
        spec.description.defaultFunctionName = "second"
        return spec

    both = describe.describe_coreml(small_packages.with_spec(package("good"), tmp_path / "both.mlpackage", add))
    assert (both.function, both.functions) == ("main", ("main", "other"))
    named = describe.describe_coreml(
        small_packages.with_spec(package("good"), tmp_path / "named.mlpackage", without_main)
    )
    assert (named.function, named.functions) == ("second", ("first", "second"))
    assert (named.macs, named.inputs) == (both.macs, both.inputs)


def _foreign(kind):
    def change(spec):
        other = type(spec)(specificationVersion=4)
        getattr(other, kind).SetInParent()
        return other

    return change


def _dangling(spec):
    block = next(iter(spec.mlProgram.functions["main"].block_specializations.values()))
    del block.operations[:3]
    return spec


FOREIGN = {  # what is made of a good package -> part of the sentence
    "a neural network": (_foreign("neuralNetworkClassifier"), "holds an older neural network"),
    "a pipeline": (_foreign("pipeline"), "holds a pipeline of models"),
    "a tree": (_foreign("treeEnsembleRegressor"), "holds a model of type treeEnsembleRegressor"),
    "empty": (lambda spec: b"", "holds no model"),
    "no functions": (_foreign("mlProgram"), "holds no function"),
    "cut": (lambda spec: spec.SerializeToString()[:700], "damaged"),
    "dangling": (_dangling, "refers to what is not in it"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_and_damaged_packages(package, tmp_path, name):
    change, reason = FOREIGN[name]
    path = small_packages.with_spec(package("good"), tmp_path / "a.mlpackage", change)
    with pytest.raises(InputError, match=f"Expected .* Received: '.*a.mlpackage'.*{reason}"):
        describe.describe_coreml(path)


def test_what_is_no_package(package, tmp_path):
    (tmp_path / "file.mlpackage").write_bytes(b"\x1c\0\0\0TFL3")
    (tmp_path / "empty.mlpackage").mkdir()
    shutil.copytree(package("good"), tmp_path / "lost.mlpackage")
    (tmp_path / "lost.mlpackage" / "Data" / "com.apple.CoreML" / "model.mlmodel").unlink()
    shutil.copytree(package("good"), tmp_path / "torn.mlpackage")
    (tmp_path / "torn.mlpackage" / "Manifest.json").write_text("{")
    reasons = {
        "gone": "there is nothing",
        "file": "it is a file",
        "empty": "no Manifest",
        "lost": "",
        "torn": "damaged",
    }
    for name, reason in reasons.items():
        with pytest.raises(InputError, match=f"Received: '.*{name}.mlpackage': .*{reason}.* copy the whole folder"):
            describe.describe_coreml(tmp_path / f"{name}.mlpackage")
    assert not list((tmp_path / "empty.mlpackage").iterdir())
