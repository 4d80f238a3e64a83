"""A .tflite file's way through convert, describe and benchmark: one reader unpacks it, as seldom as it can be."""

import numpy as np
import pytest
import tf_keras as keras

from helpers.small_models import photos, small_model
from keras_mobattn import benchmark, describe, export
from keras_mobattn.errors import InputError
from keras_mobattn.formats.tflite import graph
from keras_mobattn.formats.tflite.contents import read_contents
from keras_mobattn.formats.tflite.graph import Graph

LABELS = tuple("abcdefg")
FOR_GPUS = ("fp32", "fp16")
QUANTIZED = ("fp16", "dynamic", "int8")  # by a library that takes bytes and gives bytes


@pytest.fixture
def counted(monkeypatch):
    """How often the reader has unpacked and packed a file."""
    counts = {"unpack": 0, "pack": 0}
    for name in counts:
        monkeypatch.setattr(graph, name, _counting(counts, name, getattr(graph, name)))
    return counts


def _counting(counts, name, function):
    def call(argument):
        counts[name] += 1
        return function(argument)

    return call


@pytest.fixture(scope="module")
def source():
    """Wide enough for every precision to find something to quantize."""
    return export.load(small_model(lambda x: keras.layers.Dense(7, activation="softmax")(keras.layers.Dense(64)(x))))


@pytest.mark.parametrize("precision", export.TFLITE_PRECISIONS)
def test_a_file_meets_one_reader(precision, source, tmp_path, counted):
    """Fused, with bytes in and out, described by itself, and quantized: unpacked and packed once, or twice around the
    quantizer; and what was written unpacked once more where half precision runs it, for the headroom."""
    path = tmp_path / "model.tflite"
    images = {"representative_images": photos(4, seed=1)} if precision == "int8" else {}
    options = {"input_dtype": "uint8", "output_dtype": "uint8", "labels": LABELS, "check_images": photos(2)}
    export.to_tflite(source, path, precision, tolerance=export.Tolerance(1e9), **options, **images)
    times = 2 if precision in QUANTIZED else 1
    assert counted == {"unpack": times + (precision in FOR_GPUS), "pack": times}
    assert export.embedded_labels(path) == LABELS

    counted.update(unpack=0, pack=0)
    described = describe.describe_tflite(path, execute_on_gpu=False)
    assert (described.inputs["image"].dtype, described.outputs["probabilities"].dtype) == ("uint8", "uint8")
    assert counted == {"unpack": 1, "pack": 0}
    assert sum(benchmark.count_file_macs(path).values()) > 0
    assert counted == {"unpack": 2, "pack": 0}


def test_graph_and_contents_say_the_same(source, tmp_path):
    path = tmp_path / "model.tflite"
    export.to_tflite(source, path, check_images=photos(2))
    read, contents = Graph(path.read_bytes()), read_contents(path)
    assert [read.kind(each) for each in read.operators] == [each.kind for each in contents.operators]
    for tensor in contents.tensors:
        assert (read.name(tensor.index), read.dtype(tensor.index)) == (tensor.name, tensor.dtype)
        constant = read.constant(tensor.index)
        assert tensor.constant_bytes == (0 if constant is None else constant.nbytes)
    assert read.content() == Graph(read.content()).content()  # nothing is lost, and nothing added


def test_what_is_added_to_a_graph_is_read_again(source, tmp_path):
    path = tmp_path / "model.tflite"
    export.to_tflite(source, path, check_images=photos(2))
    made = Graph(path.read_bytes())
    (output,) = made.subgraph.outputs
    added = made.add_constant(made.operators[0].inputs[1], np.ones((2, 3)))
    made.add_tensor("bytes", [1, 7], "uint8", 0.5, 3)
    made.add_metadata("note", b"seven")
    assert made.output_names() == ["probabilities"]
    again = Graph(made.content())
    np.testing.assert_array_equal(again.constant(added), np.ones((2, 3), np.float32))
    assert again.name(added).endswith(f"/{added}")
    assert again.model.metadata[-1].name == b"note"
    again.drop_unread()
    assert len(again.tensors) == len(made.tensors) - 2
    assert again.name(again.subgraph.outputs[0]) == made.name(output)


@pytest.mark.parametrize("read", [read_contents, benchmark.count_file_macs])
def test_a_file_that_is_cut_off_is_refused(read, source, tmp_path):
    path = tmp_path / "model.tflite"
    export.to_tflite(source, path, check_images=photos(2))
    content = path.read_bytes()
    path.write_bytes(content[:200])
    with pytest.raises(InputError, match="cut off or corrupt"):
        read(path)
