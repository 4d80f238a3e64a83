"""The record of devices: each rule finds its construct and leaves alone what is written as the rule asks."""

import dataclasses
import io
import json

import pytest
import rich.console

from helpers.small_graphs import computed, constant, integers, write_operators
from keras_mobattn import describe
from keras_mobattn.commands import describe as command
from keras_mobattn.describe.tflite import record
from keras_mobattn.describe.tflite.record import FIRM, ONE_DEVICE, OPEN, RECORD, TARGETS, record_findings
from keras_mobattn.formats.tflite.contents import read_contents

BMM = "BatchMatMulOptions"
INT8 = {"dtype": "int8"}


def one(kind, *inputs, to, options=None):
    """A graph of one operator: inputs are tensors, or shapes of what is computed."""
    inputs = [computed(*tensor) if isinstance(tensor, tuple) else tensor for tensor in inputs]
    to = computed(*to) if isinstance(to, tuple) else to
    return [(kind, inputs, to, options) if options else (kind, inputs, to)]


def then(graph, kind, *more, to):
    """A graph, and an operator that reads its result and more."""
    return [*graph, (kind, [graph[-1][2], *more], computed(*to))]


def dense(weights, shape=(1, 8), outputs=5):
    return one("FULLY_CONNECTED", shape, weights(outputs, 8), to=(*shape[:-1], outputs))


def dequantized(dtype):
    weights = computed(5, 8)
    source = constant(5, 8, dtype=dtype)
    return [("DEQUANTIZE", [source], weights), *one("FULLY_CONNECTED", (1, 8), weights, to=(1, 5))]


def float_weights(*shape):
    return constant(*shape)


def int8_weights(*shape):
    return constant(*shape, **INT8)


def transposed(side):
    """7 pixels that become `side`, by a stride of 2 and a kernel of 3."""
    options = ("TransposeConvOptions", {"padding": 0, "strideH": 2, "strideW": 2})
    ends = [integers(1, side, side, 8), constant(8, 3, 3, 8), computed(1, 7, 7, 8)]
    return one("TRANSPOSE_CONV", *ends, to=(1, side, side, 8), options=options)


def squared(reader):
    return then(one("SQUARED_DIFFERENCE", (1, 4, 4, 8), (1, 4, 4, 1), to=(1, 4, 4, 8)), *reader, to=(1, 4, 4, 1))


def joined(side):
    parts = [computed(1, side, side, 8, dtype="int16") for _ in range(2)]
    whole = computed(1, side, side, 16, dtype="int16")
    other, total = (computed(1, side, side, 16, dtype="int16") for _ in range(2))
    return [("CONCATENATION", parts, whole), ("ADD", [whole, other], total)]


def softmax_by_hand(over):
    x, s = computed(1, 4, 4, 1), computed(1, 1, 1, 1)
    e = computed(1, 4, 4, 1)
    return [(over, [x], e), ("SUM", [e, integers(1, 2)], s), ("DIV", [e, s], computed(1, 4, 4, 1))]


def level(reader_of_its_own):
    x, y, z = (computed(1, 4, 4, 8) for _ in range(3))
    own = [("MUL", [y, constant(1)], computed(1, 4, 4, 8))] if reader_of_its_own else []
    return [("RELU", [x], y), ("TANH", [y], z), *own], () if reader_of_its_own else (y,)


MAP, ROW = (1, 4, 4, 8), (1, 8)
CASES = {  # rule -> (graph with its construct, graph without)
    "reduction": (
        one("MEAN", (1, 32, 32, 64), integers(1, 2, 3), to=(1, 1, 1, 1)),
        one("MEAN", (1, 1, 1, 65_536), integers(1, 2, 3), to=(1, 1, 1, 1)),
    ),
    "large sum": (
        one("SUM", (1, 12_544, 1, 8), integers(1), to=(1, 1, 1, 8)),
        one("MEAN", (1, 12_544, 1, 8), integers(1), to=(1, 1, 1, 8)),
    ),
    "variance": (squared(("MEAN", integers(3))), squared(("RELU",))),
    "groups": (
        one("CONV_2D", MAP, constant(6, 3, 3, 4), to=(1, 4, 4, 6)),
        one("CONV_2D", MAP, constant(8, 3, 3, 4), to=MAP),
    ),
    "transposed convolution's padding": (transposed(14), transposed(13)),
    "transposed operand": (
        one("BATCH_MATMUL", (1, 2, 8, 4), (1, 2, 8, 4), to=(1, 2, 8, 8), options=(BMM, {"adjY": True})),
        one("BATCH_MATMUL", (1, 2, 8, 4), (1, 2, 4, 8), to=(1, 2, 8, 8), options=(BMM, {"adjY": False})),
    ),
    "constant on the left": (
        one("BATCH_MATMUL", constant(1, 1, 7, 4), (1, 1, 4, 8), to=(1, 1, 7, 8)),
        one("BATCH_MATMUL", (1, 1, 7, 4), constant(1, 1, 4, 8), to=(1, 1, 7, 8)),
    ),
    "width 40": (
        one("BATCH_MATMUL", (1, 4, 49, 8), (1, 4, 8, 40), to=(1, 4, 49, 40)),
        one("BATCH_MATMUL", (1, 4, 64, 8), (1, 4, 8, 40), to=(1, 4, 64, 40)),
    ),
    "rank 3 product": (
        one("BATCH_MATMUL", (2, 7, 4), (2, 4, 8), to=(2, 7, 8)),
        one("BATCH_MATMUL", (1, 2, 7, 4), (1, 2, 4, 8), to=(1, 2, 7, 8)),
    ),
    "int8 weights to float": (dequantized("int8"), dequantized("float16")),
    "int8 weights, rows": (dense(int8_weights, (3, 8)), dense(int8_weights)),
    "int8 weights, rank 3": (
        then(dense(int8_weights, (1, 3, 8)), "ADD", computed(1, 3, 5), to=(1, 3, 5)),
        then(dense(float_weights, (1, 3, 8)), "ADD", computed(1, 3, 5), to=(1, 3, 5)),
    ),
    "int8 head": (dense(int8_weights, outputs=161), dense(int8_weights, outputs=160)),
    "int8 dense": (
        one("FULLY_CONNECTED", computed(1, 8, **INT8), constant(5, 8, **INT8), to=computed(1, 5, **INT8)),
        dense(int8_weights),
    ),
    "int8 activations": (
        one("CONV_2D", computed(*MAP, **INT8), constant(8, 1, 1, 8, **INT8), to=computed(*MAP, **INT8)),
        one("CONV_2D", MAP, constant(8, 1, 1, 8), to=MAP),
    ),
    "layer scale": (
        then(one("MUL", MAP, constant(8), to=MAP), "ADD", computed(*MAP), to=MAP),
        then(one("MUL", MAP, constant(), to=MAP), "ADD", computed(*MAP), to=MAP),
    ),
    "rank 2 and a constant": (one("ADD", ROW, constant(8), to=ROW), one("ADD", ROW, ROW, to=ROW)),
    "large constant": (
        one("ADD", (1, 197, 1, 192), constant(1, 197, 1, 192), to=(1, 197, 1, 192)),
        one("ADD", (1, 197, 1, 192), constant(192), to=(1, 197, 1, 192)),
    ),
    "rank 0": (one("ADD", MAP, (), to=MAP), one("ADD", MAP, (1, 1, 1, 1), to=MAP)),
    "rank 0 factor": (one("DIV", MAP, (), to=MAP), one("DIV", MAP, constant(), to=MAP)),
    "broadcast over axis 1": (one("MUL", MAP, (1, 1, 4, 8), to=MAP), one("MUL", MAP, (1, 4, 1, 8), to=MAP)),
    "channels-first scale": (
        one("MUL", (1, 8, 1, 1), (1, 8, 4, 4), to=(1, 8, 4, 4)),
        one("MUL", (1, 1, 1, 8), (1, 4, 4, 8), to=MAP),
    ),
    "constants alone": (one("DIV", constant(8), constant(8), to=(8,)), one("DIV", MAP, constant(8), to=MAP)),
    "compared with a constant": (
        one("LESS_EQUAL", MAP, constant(8), to=computed(*MAP, dtype="bool")),
        one("LESS_EQUAL", MAP, MAP, to=computed(*MAP, dtype="bool")),
    ),
    "relu to 1": (one("RELU_0_TO_1", MAP, to=MAP), one("RELU_N1_TO_1", MAP, to=MAP)),
    "padded rank 3": (
        one("PAD", (1, 4, 8), integers(0, 0, 1, 1, 0, 0), to=(1, 6, 8)),
        one("PAD", (1, 4, 8), integers(0, 0, 0, 0, 1, 1), to=(1, 4, 10)),
    ),
    "padded rank 2": (
        one("PAD", ROW, integers(0, 0, 1, 1), to=(1, 10)),
        one("PAD", (1, 4, 8), integers(0, 0, 0, 0, 1, 1), to=(1, 4, 10)),
    ),
    "rank 5": (one("EXP", (1, 2, 2, 2, 8), to=(1, 2, 2, 2, 8)), one("EXP", MAP, to=MAP)),
    "transposed rank 5": (
        one("TRANSPOSE", (1, 2, 3, 4, 5), integers(0, 1, 2, 4, 3), to=(1, 2, 3, 5, 4)),
        one("TRANSPOSE", MAP, integers(0, 3, 1, 2), to=(1, 8, 4, 4)),
    ),
    "int64": (
        one("SUM", computed(1, 8, dtype="int64"), integers(1), to=computed(1, dtype="int64")),
        one("SUM", computed(1, 8, dtype="int32"), integers(1), to=computed(1, dtype="int32")),
    ),
    "softmax composite": (
        one("STABLEHLO_COMPOSITE", MAP, to=MAP, options=("StableHLOCompositeOptions", {"name": "odml.softmax"})),
        one("STABLEHLO_COMPOSITE", MAP, to=MAP, options=("StableHLOCompositeOptions", {"name": "odml.rms_norm"})),
    ),
    "large scores": (
        one("SOFTMAX", (1, 16, 5184, 5184), to=(1, 16, 5184, 5184)),
        one("SOFTMAX", (1, 16, 1024, 1024), to=(1, 16, 1024, 1024)),
    ),
    "open size": (
        one("RESIZE_BILINEAR", MAP, computed(2, dtype="int32"), to=(1, 8, 8, 8)),
        one("RESIZE_BILINEAR", MAP, integers(8, 8), to=(1, 8, 8, 8)),
    ),
    "transposed convolution": (
        one("TRANSPOSE_CONV", integers(1, 8, 8, 8), constant(8, 2, 2, 8), MAP, to=(1, 8, 8, 8)),
        one("CONV_2D", MAP, constant(8, 2, 2, 8), to=MAP),
    ),
    "broadcast": (
        one("BROADCAST_TO", (1, 1, 1, 8), integers(*MAP), to=MAP),
        one("MUL", (1, 1, 1, 8), constant(*MAP), to=MAP),
    ),
    "output that is read": (level(False), level(True)),
    "rank 3 read twice": (
        [("RELU", [x := computed(1, 4, 8)], y := computed(1, 4, 8)), *([("TANH", [y], computed(1, 4, 8))] * 2)],
        then(one("RELU", (1, 4, 8), to=(1, 4, 8)), "TANH", to=(1, 4, 8)),
    ),
    "npu: sum of a concatenation": (joined(256), joined(64)),
    "npu: scores": (
        one("SOFTMAX", (1, 4, 196, 196), to=(1, 4, 196, 196)),
        one("SOFTMAX", (1, 4, 256, 256), to=(1, 4, 256, 256)),
    ),
    "npu: softmax by hand": (softmax_by_hand("EXP"), softmax_by_hand("RELU")),
    "npu: tanh GELU": (
        then(one("TANH", MAP, to=MAP), "ADD", constant(), to=MAP),
        then(one("TANH", MAP, to=MAP), "ADD", computed(*MAP), to=MAP),
    ),
    "webgpu: rank 5": (
        one("RESHAPE", MAP, integers(1, 2, 2, 4, 8), to=(1, 2, 2, 4, 8)),
        one("RESHAPE", MAP, integers(1, 16, 1, 8), to=(1, 16, 1, 8)),
    ),
    "webgpu: int64": (
        one("ARG_MAX", MAP, integers(3), to=computed(1, 4, 4, dtype="int64")),
        one("ARG_MAX", MAP, integers(3), to=computed(1, 4, 4, dtype="int32")),
    ),
    "webgpu: int8 weights": (dense(int8_weights), dense(float_weights)),
    "webgpu: rounding": (one("SUB", MAP, MAP, to=MAP), one("ADD", MAP, MAP, to=MAP)),
    "webgpu: int8 product": (
        one("MUL", computed(*MAP, **INT8), computed(*MAP, **INT8), to=computed(*MAP, **INT8)),
        one("MUL", MAP, MAP, to=MAP),
    ),
    "webgpu: int8 pool": (
        one("AVERAGE_POOL_2D", computed(*MAP, **INT8), to=computed(*MAP, **INT8)),
        one("AVERAGE_POOL_2D", MAP, to=MAP),
    ),
    "webgpu: computed float16": (one("DEQUANTIZE", computed(*MAP, dtype="float16"), to=MAP), dequantized("float16")),
    "wasm: int64 or bool": (
        one("GREATER", MAP, MAP, to=computed(*MAP, dtype="bool")),
        one("MAXIMUM", MAP, MAP, to=MAP),
    ),
}
SAME = {  # rules of the same construct on another target
    "npu: pixel shuffle": "transposed rank 5",
    "webgpu: padded rank 3": "padded rank 3",
    "webgpu: relu to 1": "relu to 1",
    "webgpu: broadcast": "broadcast",
    "webgpu: int8 weights to float": "int8 weights to float",
}


def written(graph, path):
    operators, outputs = graph if isinstance(graph, tuple) else (graph, ())
    return write_operators(path, operators, outputs)


def rules_found(path):
    """Names of the rules that find something."""
    found = {(finding.reason, finding.target, finding.verdict) for finding in record_findings(read_contents(path))}
    return {name for name, rule in RECORD.items() if (rule.construct, rule.target, rule.verdict) in found}


@pytest.mark.parametrize("name", RECORD)
def test_a_rule_finds_its_construct_and_no_other(name, tmp_path):
    graphs = CASES[SAME.get(name, name)]
    with_it, without = (written(graph, tmp_path / f"{number}.tflite") for number, graph in enumerate(graphs))
    assert name in rules_found(with_it)
    assert name not in rules_found(without)


@pytest.mark.parametrize("name", [name for name, rule in RECORD.items() if rule.firmness == FIRM])
def test_what_the_firm_rules_ask_for_breaks_no_other_firm_rule(name, tmp_path):
    path = written(CASES[SAME.get(name, name)][1], tmp_path / "model.tflite")
    assert [rule for rule in rules_found(path) if RECORD[rule].firmness == FIRM and RECORD[rule].target == "gpu"] == []


def test_every_rule_says_all():
    for name, rule in RECORD.items():
        assert all((rule.construct, rule.runtime, rule.instead)), name
        assert rule.firmness in (FIRM, ONE_DEVICE, OPEN)
        assert rule.target in TARGETS
        assert rule.verdict in (record.WRONG, record.REFUSED, record.CRASH, record.SLOW)
        assert all(thread.startswith("LiteRT#") and thread[7:].isdigit() for thread in rule.threads)


@pytest.mark.parametrize(("name", "passed"), [("layer scale", False), ("variance", True), ("webgpu: int64", False)])
def test_the_requirement_counts_what_is_firm(name, passed, tmp_path, capsys):
    path = written(CASES[name][0], tmp_path / "model.tflite")
    described = describe.describe_tflite(path, execute_on_gpu=False)
    ran = dataclasses.replace(described.gpu, refused=(), not_run=None, errors={"fp32": 0.0, "fp16": 0.0})
    assert ran.passed == passed
    firm = {finding.target for finding in (*ran.record, *described.elsewhere) if finding.firmness == FIRM}
    assert ("gpu" in firm) == (not passed)
    json_file = tmp_path / "all.json"
    assert command.main((path,), require=("gpu",), gpu=False, json=json_file) == int(not passed)
    (written_down,) = json.loads(json_file.read_text())
    finding = (written_down["gpu"]["record"] + written_down["elsewhere"])[0]
    assert {"operator", "tensor", "reason", "target", "verdict", "runtime", "threads", "instead", "firmness"} == set(
        finding
    )


def test_the_screen_has_the_evidence(tmp_path):
    """On 80 columns, and the operators of which nothing is on record."""
    for name, (graph, _) in CASES.items():
        described = describe.describe_tflite(written(graph, tmp_path / "model.tflite"), execute_on_gpu=False)
        out = io.StringIO()
        describe.print_tflite(described, rich.console.Console(file=out, width=80, color_system=None))
        lines = out.getvalue().splitlines()
        assert max(len(line.rstrip()) for line in lines) <= 80
        words = " ".join(out.getvalue().split())
        assert f"On record of {TARGETS[RECORD[name].target]}" in words
        for thread in RECORD[name].threads:
            assert thread in words
        for operator in described.without_record["gpu"]:
            assert operator in words


def test_no_row_is_said_as_such(tmp_path):
    path = written(
        one("LOGISTIC", MAP, to=MAP) + one("ADD", computed(*MAP, **INT8), MAP, to=MAP) + one("TANH", MAP, to=MAP),
        tmp_path / "model.tflite",
    )
    unknown = describe.describe_tflite(path, execute_on_gpu=False).without_record
    assert set(unknown) == set(TARGETS)
    assert unknown["gpu"] == ("ADD in int8", "LOGISTIC", "TANH")
    assert unknown["webgpu"] == ("ADD in int8",)


PROCESSORS = {"float32": "any processor", "float16": "the GPU", "int8": "the CPU"}


@pytest.mark.parametrize("dtype", PROCESSORS)
def test_the_processor_that_a_file_is_for(dtype, tmp_path):
    graph = dense(float_weights) if dtype == "float32" else dequantized(dtype)
    described = describe.describe_tflite(written(graph, tmp_path / "model.tflite"), execute_on_gpu=False)
    assert described.processor.startswith(PROCESSORS[dtype])
