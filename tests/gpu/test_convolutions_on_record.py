"""Convolutions that the accelerator computes wrongly, in float32 too: the record's rules find these and no others.

They fail as soon as a new version of ai-edge-litert computes one of them rightly: then the rules say so.
"""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from helpers.small_graphs import converted, run
from keras_mobattn import gpu
from keras_mobattn.describe.tflite.record import FIRM, record_findings
from keras_mobattn.formats.tflite.contents import read_contents

pytestmark = pytest.mark.sampled

RNG = np.random.default_rng(0)


def grouped(groups, inputs, outputs):
    kernel = RNG.normal(size=(3, 3, inputs, groups * outputs)).astype(np.float32)
    return (lambda x: tf.nn.conv2d(x, kernel, 1, "SAME")), (1, 8, 8, groups * inputs)


def transposed(stride, size, side, made, padding="SAME"):
    kernel = RNG.normal(size=(size, size, 8, 8)).astype(np.float32)
    shape = (1, *made, 8)
    return (lambda x: tf.nn.conv2d_transpose(x, kernel, shape, stride, padding)), (1, *side, 8)


CASES = {
    **{f"groups {case}": grouped(*case) for case in itertools.product((1, 2, 3), (1, 4, 6, 8), (1, 2, 4))},
    **{
        f"transposed {stride} {size} {side} -> {made}": transposed(stride, size, (side, side), (made, made))
        for stride, size, side in itertools.product((1, 2, 3, 4), (3, 4, 6), (6, 7, 8))
        for made in range(stride * (side - 1) + 1, stride * side + 1)
        if size >= stride
    },
    "transposed, one axis wrong": transposed(2, 3, (8, 7), (16, 14)),
    "transposed, no padding": transposed(2, 3, (7, 7), (15, 15), "VALID"),
}


def test_the_rules_tell_what_the_accelerator_gets_wrong(needs_gpu, tmp_path):
    jobs, expected, found = [], [], {}
    for number, (name, (function, shape)) in enumerate(CASES.items()):
        content, image = converted(function, shape), RNG.normal(size=shape).astype(np.float32)
        path = tmp_path / f"{number}.tflite"
        path.write_bytes(content)
        jobs.append(gpu.GpuJob(path, [{"image": image}]))
        expected.append(run(content, image)["output0"])
        findings = record_findings(read_contents(path))
        found[name] = any(finding.firmness == FIRM and finding.target == "gpu" for finding in findings)
    runs = dict(zip(CASES, zip(gpu.run_jobs_on_gpu(jobs), expected, strict=True), strict=True))
    wrong = {name: not error(*pair) < 1e-4 for name, pair in runs.items()}
    assert {name for name in CASES if wrong[name] != found[name]} == set()
    assert 20 < sum(wrong.values()) < len(CASES) - 20


def error(received, expected):
    """As a share of the largest value; infinite where the accelerator refuses the file."""
    if isinstance(received, gpu.GpuError):
        return math.inf
    (outputs,) = received.outputs
    return np.abs(outputs["output0"] - expected).max() / np.abs(expected).max()
