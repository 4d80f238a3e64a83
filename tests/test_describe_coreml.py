"""Descriptions of real Core ML packages: what they hold, what speaks against the Neural Engine, plans, exit codes."""

import dataclasses
import functools
import io
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import rich.console
import small_packages
import tensorflow as tf

import keras_mobattn
from keras_mobattn import describe, report
from keras_mobattn._quiet import import_coremltools, quiet_stderr
from keras_mobattn.commands import describe as command
from keras_mobattn.describe.coreml import compute_plan as coreml_plan
from keras_mobattn.describe.coreml.rules import NEURAL_ENGINE_RULES
from keras_mobattn.errors import InputError

SCRIPT = Path(__file__).parents[1] / "coreml" / "describe.py"


@functools.cache
def _described(path):
    return describe.describe_coreml(path)


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
    found = _described(package(name))
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
    found = _described(package(name))
    assert [dataclasses.astuple(weights) for weights in found.weights] == WEIGHTS[name]
    kinds = {kind for kind, *_ in WEIGHTS[name] if kind != "const"}
    assert found.compression == dict.fromkeys(kinds, 1)
    assert not kinds & set(found.operators)
    files = [file for file in package(name).rglob("*") if file.is_file()]
    assert found.size_bytes == sum(file.stat().st_size for file in files)
    assert found.weights_bytes == sum(file.stat().st_size for file in files if file.suffix == ".bin")
    assert found.weights_bytes >= sum(size for *_, size in WEIGHTS[name])


OPEN = "dynamic shape"
AGAINST = {  # package -> {operator: rules}; nothing against the others
    "fp32": dict.fromkeys(["conv", "conv_transpose", "reduce_mean", "linear"], {"float32"}),
    "rank_5": {"reshape": {"rank above 4"}, "transpose": {"rank above 4"}},
    "gathered": {"gather": {"gather"}},
    "counted": {"non_zero": {"non_zero", OPEN}},
    "multiplied": {"reduce_prod": {"no hardware path"}},
    "long": {"tile": {"large dimension"}, "cast": {"large dimension"}},
    "ranged": dict.fromkeys(["cast", "conv", "relu"], {OPEN}),
}


@pytest.mark.parametrize("name", small_packages.GRAPHS)
def test_rules_for_the_neural_engine(package, name):
    verdict = _described(package(name)).neural_engine
    found = {}
    for finding in verdict.findings:
        found.setdefault(finding.operator, set()).add(finding.reason)
        assert finding.tensor
    rules = AGAINST.get(name, {})
    assert found == {kind: {NEURAL_ENGINE_RULES[rule].reason for rule in broken} for kind, broken in rules.items()}
    assert verdict.passed == (name not in AGAINST)


def test_every_rule_has_a_package_that_breaks_it():
    assert {rule for broken in AGAINST.values() for rules in broken.values() for rule in rules} == set(
        NEURAL_ENGINE_RULES
    )


def test_counts_that_the_neural_engine_asks_for(package):
    rank_5 = _described(package("rank_5"))
    assert (rank_5.max_rank, rank_5.transposes, rank_5.reshapes) == (5, 1, 2)
    assert {value.shape for value in rank_5.high_rank} == {(1, 3, 2, 4, 8), (1, 2, 3, 4, 8)}
    assert _described(package("gathered")).gathers == 1
    assert _described(package("counted")).non_zeros == 1
    assert _described(package("counted")).open_shapes == 1
    assert _described(package("ranged")).open_shapes == 4
    assert _described(package("good")).operators == {
        "conv": 3, "cast": 2, "conv_transpose": 1, "reduce_mean": 1, "linear": 1,
    }  # fmt: skip


def test_inputs_and_outputs(package):
    (image,) = _described(package("classifier")).inputs
    assert (image.kind, image.colour, image.shape, image.dtype) == ("image", "BGR", (8, 8), "uint8")
    assert {feature.kind for feature in _described(package("classifier")).outputs} == {"string", "dictionary"}
    assert _described(package("classifier")).classes == 5
    good = _described(package("good"))
    assert [(f.name, f.kind, f.dtype, f.shape) for f in (*good.inputs, *good.outputs)] == [
        ("x", "tensor", "float32", (1, 3, 8, 8)),
        ("y", "tensor", "float32", (1, 5)),
    ]
    assert good.classes is None
    (enumerated,) = _described(package("enumerated")).inputs
    assert (enumerated.flexible, enumerated.shapes) == ("enumerated", ((1, 3, 8, 8), (1, 3, 16, 16)))
    (ranged,) = _described(package("ranged")).inputs
    assert (ranged.flexible, ranged.ranges) == ("range", ((1, 1), (3, 3), (8, 32), (8, 64)))


def test_metadata_and_systems(package):
    found = _described(package("int4"))
    assert (found.author, found.licence, found.version, found.description) == ("Me", "Apache-2.0", "7", "Five letters")
    assert (found.specification_version, found.systems) == (9, ("iOS 18", "macOS 15"))
    assert _described(package("good")).systems == ("iOS 17", "macOS 14")


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


@pytest.mark.skipif(platform.system() == "Darwin", reason="what is told where MLComputePlan doesn't run")
def test_no_plan_off_macos(package):
    plan = _described(package("good")).neural_engine.plan
    assert plan.not_run == "MLComputePlan, which tells where operations run, needs macOS."
    assert plan.operations == ()


def _device(name):
    from coremltools.models import compute_device

    return mock.create_autospec(getattr(compute_device, name), instance=True)


@pytest.fixture
def mac(monkeypatch):
    """A Mac as coremltools 9 shows it: its own dataclasses, and functions with its signatures."""
    ct = import_coremltools()
    from coremltools.models import compute_plan as cp

    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
    cpu, gpu, engine = (_device(f"ML{name}ComputeDevice") for name in ("CPU", "GPU", "NeuralEngine"))
    planned = [  # operator, result, preferred, supported, cost
        ("const", "weight", None, (), None),
        ("ios17.cast", "x_to_fp16", cpu, (cpu, gpu, engine), None),
        ("ios17.conv", "plain", engine, (cpu, gpu, engine), 0.5),
        ("ios17.conv", "depthwise", engine, (cpu, gpu, engine), 0.25),
        ("reduce_mean", "mean", gpu, (cpu, gpu), 0.25),
    ]
    operations = [
        cp.MLModelStructureProgramOperation(
            inputs={},
            operator_name=kind,
            outputs=[cp.MLModelStructureProgramNamedValueType(name, cp.MLModelStructureProgramValueType())],
            blocks=[],
            __proxy__=None,
        )
        for kind, name, *_ in planned
    ]
    block = cp.MLModelStructureProgramBlock(inputs=[], operations=operations, output_names=["y"])
    main = cp.MLModelStructureProgramFunction(inputs=[], block=block)
    program = cp.MLModelStructureProgram(functions={"main": main})
    structure = cp.MLModelStructure(neuralnetwork=None, program=program, pipeline=None)
    plan = mock.create_autospec(cp.MLComputePlan, instance=True, model_structure=structure)
    found = {id(operation): row for operation, row in zip(operations, planned, strict=True)}

    def usage(operation):
        *_, preferred, supported, _ = found[id(operation)]
        return preferred and cp.MLComputePlanDeviceUsage(preferred, list(supported))

    def cost(operation):
        weight = found[id(operation)][-1]
        return None if weight is None else cp.MLComputePlanCost(weight)

    plan.get_compute_device_usage_for_mlprogram_operation.side_effect = usage
    plan.get_estimated_cost_for_mlprogram_operation.side_effect = cost
    load = mock.create_autospec(cp.MLComputePlan.load_from_path, return_value=plan)
    compile_model = mock.create_autospec(ct.models.utils.compile_model, return_value="made/model.mlmodelc")
    monkeypatch.setattr(cp.MLComputePlan, "load_from_path", load)
    monkeypatch.setattr(ct.models.utils, "compile_model", compile_model)
    return {"load": load, "compile": compile_model, "planned": planned}


def test_the_plan_of_a_mac(package, mac):
    engine = describe.describe_coreml(package("good")).neural_engine
    plan = engine.plan
    assert plan.not_run is None
    assert [(o.operator, o.preferred, o.cost) for o in plan.operations] == [
        ("cast", "CPU", 0.0), ("conv", "Neural Engine", 0.5), ("conv", "Neural Engine", 0.25),
        ("reduce_mean", "GPU", 0.25),
    ]  # fmt: skip
    assert plan.cost_by_device == {"Neural Engine": 0.75, "GPU": 0.25, "CPU": 0.0}
    assert list(plan.cost_by_operator.items())[:2] == [
        ("conv", {"Neural Engine": 0.75}),
        ("reduce_mean", {"GPU": 0.25}),
    ]
    assert [operation.tensor for operation in plan.off_neural_engine] == ["mean"]
    assert not engine.findings
    assert not engine.passed  # by the plan, whatever the rules say
    mac["load"].assert_called_once_with(path="made/model.mlmodelc", compute_units=import_coremltools().ComputeUnit.ALL)
    assert mac["compile"].call_args.args == (str(package("good")),)


def test_a_mac_that_gives_no_plan(package, mac, monkeypatch):
    mac["load"].side_effect = RuntimeError("Error in declaring\nnetwork.")
    engine = describe.describe_coreml(package("good")).neural_engine
    assert engine.plan.not_run == "Core ML gave no plan (Error in declaring network.)."
    assert engine.passed
    monkeypatch.setattr(platform, "mac_ver", lambda: ("14.3.1", ("", "", ""), "arm64"))
    assert coreml_plan.compute_plan(package("good")).not_run == "MLComputePlan needs macOS 14.4 or newer."
    assert describe.describe_coreml(package("good"), plan=False).neural_engine.plan.not_run == "It was not asked."


@pytest.mark.skipif(platform.system() == "Darwin", reason="what coremltools itself says where Core ML doesn't run")
def test_a_plan_that_coremltools_refuses(package, monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "mac_ver", lambda: ("15.1", ("", "", ""), "arm64"))
    assert coreml_plan.compute_plan(package("good")).not_run.startswith("Core ML gave no plan (")


def test_names_of_devices_and_versions_are_those_of_coremltools():
    ct = import_coremltools()
    from coremltools.models import compute_device

    assert all(hasattr(compute_device, name) for name in describe.DEVICES.values())
    for version, (ios, macos) in describe.coreml.describe.SYSTEMS.items():
        for system in (ios, macos):
            assert ct.target[system.replace(" ", "")].value == version, system


def _printed(description):
    out = io.StringIO()
    describe.print_coreml(description, rich.console.Console(file=out, width=80, color_system=None))
    return out.getvalue()


@pytest.mark.parametrize("name", small_packages.GRAPHS)
def test_the_screen_fits_80_columns_and_names_all(package, name):
    description = dataclasses.replace(_described(package(name)), file="[b]model.mlpackage")
    text = _printed(description)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    for kind in (*description.operators, *description.compression, "[b]model.mlpackage", "By rules:", "licence Apache"):
        assert kind in text
    assert ("nothing against it" in text) == (name not in AGAINST)
    if name == "enumerated":
        assert "2 shapes: [1, 3, 8, 8]" in text
    if name == "ranged":
        assert "1 3 8..32 8..64" in text


def test_the_screen_shows_the_plan(package, mac):
    text = " ".join(_printed(describe.describe_coreml(package("good"))).split())
    assert "1 operation it can't run. Estimated cost: Neural Engine 75 %, GPU 25 %, CPU 0 %" in text
    assert "conv 2 75.0 % Neural Engine CPU, GPU, Neural Engine" in text


EXITS = {  # packages, --require -> exit code
    (("good",), ("ane",)): 0,
    (("good", "rank_5"), ("ane",)): 1,
    (("rank_5",), ()): 0,
}


@pytest.mark.parametrize(("names", "require"), EXITS)
def test_exit_codes(package, names, require, capsys):
    assert command.main(tuple(map(package, names)), require=require) == EXITS[names, require]


def test_script_writes_json_and_plots(package, tmp_path, mac, monkeypatch, capsys):
    drawn = []
    real = report.operator_bars
    monkeypatch.setattr(report, "operator_bars", lambda *args, **kw: drawn.append(args[0]) or real(*args, **kw))
    paths = package("good"), package("rank_5")
    assert command.main(paths, json=tmp_path / "new" / "all.json", plot=tmp_path / "new" / "all.png") == 0
    good, rank_5 = json.loads((tmp_path / "new" / "all.json").read_text())
    assert good["neural_engine"]["plan"]["cost_by_device"] == {"Neural Engine": 0.75, "GPU": 0.25, "CPU": 0.0}
    assert good["macs"] == {"float16": 19471}
    assert rank_5["neural_engine"]["findings"][0]["operator"] == "reshape"
    assert not rank_5["neural_engine"]["passed"]
    assert drawn[0] == {
        "conv": {"Neural Engine": 75.0}, "reduce_mean": {"GPU": 25.0}, "cast": {"CPU": 0.0},
    }  # fmt: skip
    for name in ("all_good.png", "all_rank_5.png"):
        assert (tmp_path / "new" / name).read_bytes().startswith(b"\x89PNG")
    assert command.main((package("rank_5"),), plan=False, plot=tmp_path / "one.png") == 0
    assert drawn[-1] == {"cast": {"operators": 2}, "reshape": {"operators": 2}, "transpose": {"operators": 1}}
    assert (tmp_path / "one.png").exists()


def test_packages_of_one_name_have_a_plot_each(package, tmp_path):
    other = tmp_path / "other" / "good.mlpackage"
    shutil.copytree(package("good"), other)
    command.main((package("good"), other), plan=False, plot=tmp_path / "all.png")
    assert {path.name for path in tmp_path.glob("*.png")} == {"all_good.png", "all_good-2.png"}


def test_bad_arguments(package, tmp_path):
    with pytest.raises(InputError, match="or the folder of a run. Received: none"):
        command.main(())
    with pytest.raises(InputError, match="Expected a .png file as --plot. Received: 'a.svg'"):
        command.main((package("good"),), plot=Path("a.svg"))


def test_script_with_bad_input_is_one_sentence(package, tmp_path):
    kept = tmp_path / "all.json"
    kept.write_text("earlier")
    line = [sys.executable, str(SCRIPT), str(tmp_path / "gone.mlpackage"), str(package("good")), "--json", str(kept)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Expected an .mlpackage, which is a folder. Received: ")
    assert done.stderr.count("\n") == 1
    assert kept.read_text() == "earlier"
    assert done.stdout == ""
