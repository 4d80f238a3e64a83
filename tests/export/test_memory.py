"""Conversions leave nothing behind in their process."""

import gc
import re
import subprocess
import sys
import weakref

import pytest
import tensorflow as tf

from helpers import converted_again
from helpers.small_models import CONVERT, convert, small_model

LIMIT_MB = 2000  # of 30 conversions, above the first


@pytest.mark.sampled
@pytest.mark.parametrize("suffix", CONVERT)
def test_a_conversion_leaves_no_graph_behind(suffix, tmp_path):
    """The small model has tf.nn.silu in it, whose gradient TensorFlow would keep with all that belongs to it."""
    model, alive = small_model(), []
    for _ in range(2):
        convert(suffix, "fp16", model, tmp_path / f"model{suffix}")
        gc.collect()
        kinds = [type(each) for each in gc.get_objects()]
        alive.append([sum(issubclass(kind, wanted) for kind in kinds) for wanted in (tf.Graph, tf.Variable)])
    assert alive[0] == alive[1]
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("--fresh",)], ids=["one model", "fresh models"])
@pytest.mark.parametrize("suffix", CONVERT)
def test_thirty_conversions_stay_small(suffix, flags):
    """MobileViTv2 1.0 at 256 pixels, in a process of its own. What else a process may hold comes and goes."""
    command = [sys.executable, converted_again.__file__, suffix, *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    above = [int(number) for number in re.findall(r"(-?\d+) MB above the first", done.stdout)]
    assert (done.returncode, len(above)) == (0, 30), done.stdout + done.stderr
    assert max(above) < LIMIT_MB, done.stdout
