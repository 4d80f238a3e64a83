"""Descriptions of real files: what they hold, what breaks them, and the exit code for CI."""

import dataclasses
import io
import json
import subprocess
import sys

import numpy as np
import pytest
import rich.console

from helpers import ROOT
from helpers.small_graphs import GRAPHS, write_graphs
from keras_mobattn import describe, gpu
from keras_mobattn.commands import describe as command
from keras_mobattn.describe.difference import max_error
from keras_mobattn.describe.tflite import screen
from keras_mobattn.describe.tflite.rules import GPU_RULES
from keras_mobattn.errors import InputError
from keras_mobattn.formats.tflite.one_operator import sigmoid_model

SCRIPT = ROOT / "tflite" / "describe.py"


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    return write_graphs(tmp_path_factory.mktemp("graphs"))


LEFT = {  # graph -> partitions under XNNPACK, {operator that it left: part of the reason}. The others: one partition.
    "unequal_split": (2, {"SPLIT_V": "unequal parts"}),
    "l2_normalized": (2, {"L2_NORMALIZATION": "rsqrt"}),
    "broadcast": (1, {"BROADCAST_TO": "not in XNNPACK"}),
    "class": (1, {"ARG_MAX": "not in XNNPACK"}),
    "dynamic_range": (1, {"DEPTHWISE_CONV_2D": "int8 weights under float activations"}),
    "int8": (2, {"SOFTMAX": "not in XNNPACK in int8"}),
    "any_batch": (
        1,
        {"SHAPE": "run time", "STRIDED_SLICE": "in int32", "PACK": "run time", "RESHAPE": "run time"},
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_what_breaks_the_partition_is_named(graphs, name):
    xnnpack = describe.describe_tflite(graphs[name], execute_on_gpu=False).xnnpack
    partitions, left = LEFT.get(name, (1, {}))
    assert xnnpack.problem is None
    assert xnnpack.partitions == partitions
    assert {finding.operator for finding in xnnpack.left} == set(left)
    for finding in xnnpack.left:
        assert left[finding.operator] in finding.reason
        assert finding.tensor
    assert xnnpack.passed == (not left)


REFUSED = {  # graph -> {operator: rule}
    "rank_5": {"RESHAPE": "rank above 4", "TRANSPOSE": "rank above 4", "SUM": "rank above 4"},
    "l2_normalized": {"L2_NORMALIZATION": "operator"},
    "broadcast": {"BROADCAST_TO": "operator"},
    "class": {"ARG_MAX": "int64"},
    "minus_itself": {"SUB": "same input twice"},
    "times_itself": {"BATCH_MATMUL": "same input twice"},
    "any_batch": {"SHAPE": "dynamic shape"},
}
WRONG = {"added_halves": {"SPLIT": "split"}, "unequal_split": {"SPLIT_V": "split"}}


@pytest.mark.parametrize("name", GRAPHS)
def test_rules_for_the_gpu(graphs, name):
    verdict = describe.describe_tflite(graphs[name], execute_on_gpu=False).gpu
    for findings, expected in ((verdict.refused, REFUSED), (verdict.wrong, WRONG)):
        rules = {operator: GPU_RULES[rule].reason for operator, rule in expected.get(name, {}).items()}
        assert {finding.operator: finding.reason for finding in findings} == rules
    assert verdict.passed == (name not in REFUSED and name not in WRONG)
    assert (verdict.errors, verdict.not_run) == (None, "It was not asked.")


@pytest.mark.usefixtures("needs_gpu")
def test_rules_agree_with_the_run(graphs):
    """What a rule calls refused is refused, and nothing else; what is wrong has a rule against it."""
    for name, path in graphs.items():
        verdict = describe.describe_tflite(path).gpu
        assert verdict.not_run is None
        assert verdict.adapter == gpu.gpu_adapter()
        assert bool(verdict.reasons) == (name in REFUSED), name
        if verdict.errors:
            assert set(verdict.errors) == set(describe.GPU_MAX_ERROR)
            assert verdict.limits["fp32"] == (0.05 if name in ("int8", "dynamic_range") else 1e-4)
            wrong = verdict.errors["fp32"] > verdict.limits["fp32"]
            assert wrong == (name == "added_halves"), (name, verdict.errors)
            assert not wrong or verdict.wrong
            assert verdict.passed == (not wrong)
        else:
            assert not verdict.passed


def test_what_the_file_holds(graphs):
    int8 = describe.describe_tflite(graphs["int8"], execute_on_gpu=False)
    assert int8.size_bytes == graphs["int8"].stat().st_size
    assert int8.operators == {"CONV_2D": 2, "SOFTMAX": 1, "DEQUANTIZE": 1}
    ((name, image),) = int8.inputs.items()
    assert (name, image.shape, image.dtype) == ("image", (1, 16, 16, 8), "int8")
    assert image.scale == pytest.approx(1 / 255, rel=0.01)
    assert image.zero_point == -128
    assert int8.tensors["int8"] == 5  # the image, three results, and the kernel that both convolutions share
    assert int8.constant_bytes["int8"] == 64
    good = describe.describe_tflite(graphs["good"], execute_on_gpu=False)
    assert good.signature == "serving_default"
    assert {name: tensor.shape for name, tensor in good.outputs.items()} == {"result": (1, 16, 16, 8)}
    batch = describe.describe_tflite(graphs["any_batch"], execute_on_gpu=False)
    assert batch.inputs["image"].shape == (-1, 16, 16, 8)
    rank_5 = describe.describe_tflite(graphs["rank_5"], execute_on_gpu=False)
    assert {tensor.shape for tensor in rank_5.high_rank} == {(1, 8, 2, 16, 8), (1, 8, 16, 2, 8)}


def test_files_without_a_signature(tmp_path):
    (tmp_path / "sigmoid.tflite").write_bytes(sigmoid_model(3))
    found = describe.describe_tflite(tmp_path / "sigmoid.tflite", execute_on_gpu=gpu.gpu_problem() is None)
    assert found.signature is None
    assert set(found.inputs) == {"x"}
    assert found.gpu.passed


MAX_ERRORS = {  # received, expected -> error as a share of the spread
    "equal": ([1, 2, 3], [1, 2, 3], 0),
    "off": ([1, 2.5, 3], [1, 2, 3], 0.25),
    "constant": ([1, 1, 1.5], [1, 1, 1], 0.5),
    "NaN": ([1, np.nan, 3], [1, 2, 3], 1e9),
    "infinite": ([1, np.inf, 3], [1, 2, 3], 1e9),
    "bytes": (np.uint8([0, 255]), np.uint8([255, 255]), 255),
}


@pytest.mark.parametrize(("received", "expected", "error"), MAX_ERRORS.values(), ids=MAX_ERRORS)
def test_max_error(received, expected, error):
    assert max_error([{"y": np.array(received)}], [{"y": np.array(expected)}]) == error


def test_corrupt_files(graphs, tmp_path):
    good = graphs["good"].read_bytes()
    broken = {"empty": b"", "text": b"Dear reader, this is no model.", "cut": good[:900], "head": good[:9]}
    for name, content in broken.items():
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"Expected a .*TFLite file.* Received: '.*{name}.tflite'"):
            describe.describe_tflite(path)
    with pytest.raises(FileNotFoundError):
        describe.describe_tflite(tmp_path / "gone.tflite")


def _examples(graphs):
    examples = [describe.describe_tflite(path, execute_on_gpu=False) for path in graphs.values()]
    ran = dataclasses.replace(examples[0].gpu, not_run=None, adapter="GPU [1]", errors={"fp32": 1e-6, "fp16": 0.5})
    refused = dataclasses.replace(examples[0].gpu, not_run=None, reasons=("SPLIT: No [reason].",))
    return [*examples, *(dataclasses.replace(examples[0], gpu=verdict) for verdict in (ran, refused))]


def test_the_screen_fits_80_columns_and_names_all(graphs):
    for description in _examples(graphs):
        out = io.StringIO()
        described = dataclasses.replace(description, file="[b]model.tflite")
        screen.print_tflite(described, rich.console.Console(file=out, width=80, color_system=None))
        text = out.getvalue()
        assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
        assert "[b]model.tflite" in text
        for kind in description.operators:
            assert kind in text
        assert f"[{', '.join('?' if side < 0 else str(side) for side in description.inputs['image'].shape)}]" in text
        assert ("nothing left over" in text) == description.xnnpack.passed
        if description.gpu.errors:
            assert "fp32 error 1.0e-06" in text
            assert "GPU [1]" in text
        for reason in description.gpu.reasons:
            assert reason in text


EXITS = {  # files, --require -> exit code
    (("good",), ("xnnpack", "gpu")): 0,
    (("good", "unequal_split"), ("xnnpack",)): 1,
    (("rank_5",), ("xnnpack",)): 0,
    (("rank_5",), ("gpu",)): 1,
    (("l2_normalized",), ("gpu", "xnnpack")): 1,
    (("added_halves",), ("gpu",)): 1,
}


@pytest.mark.parametrize(("names", "require"), EXITS)
@pytest.mark.parametrize("execute", [False, True])
def test_exit_codes(graphs, names, require, execute, capsys):
    assert command.main(tuple(graphs[name] for name in names), require=require, gpu=execute) == EXITS[names, require]


def test_script_writes_json(graphs, tmp_path, capsys):
    assert command.main((graphs["good"], graphs["rank_5"]), gpu=False, json=tmp_path / "new" / "all.json") == 0
    good, rank_5 = json.loads((tmp_path / "new" / "all.json").read_text())
    assert good["xnnpack"] == {"partitions": 1, "left": [], "problem": None, "passed": True}
    assert good["gpu"]["passed"]
    assert not rank_5["gpu"]["passed"]
    assert rank_5["gpu"]["refused"][0]["operator"] == "RESHAPE"
    assert rank_5["inputs"]["image"]["shape"] == [1, 16, 16, 8]


def test_script_with_bad_input_is_one_sentence(graphs, tmp_path):
    kept = tmp_path / "all.json"
    kept.write_text("earlier")
    line = [sys.executable, str(SCRIPT), str(graphs["good"]), str(tmp_path / "gone.tflite"), "--json", str(kept)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "No such file or directory: " in done.stderr
    assert "Traceback" not in done.stderr
    assert kept.read_text() == "earlier"
