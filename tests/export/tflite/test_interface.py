"""What a converted file takes, gives and says of itself: bytes, labels, metadata; and how MediaPipe reads it."""

import io
import itertools
import zipfile

import numpy as np
import pytest
import tf_keras as keras
from ai_edge_litert.interpreter import Interpreter

import keras_mobattn
from helpers.mediapipe_images import as_mediapipe
from keras_mobattn import export
from keras_mobattn.benchmark import benchmark_tflite
from keras_mobattn.data import sample_photos
from keras_mobattn.errors import InputError
from keras_mobattn.export import check
from keras_mobattn.export.tflite.io import set_io
from keras_mobattn.export.tflite.metadata import add_metadata
from keras_mobattn.formats.tflite.flatbuffer import pack, unpack
from keras_mobattn.formats.tflite.graph import Graph
from keras_mobattn.formats.tflite.labels import with_labels

SIZE = (24, 40)  # not square, so that a swap shows
NAMES = ("ant", "bee", "crane", "crane", "été", "tit mouse", "ox")  # twice the same, as in ImageNet; not ASCII; a blank
DTYPES = list(itertools.product(export.IO_DTYPES, export.IO_DTYPES))
ZERO_POINTS = {"uint8": 0, "int8": -128}


def photos(count=4, seed=0):
    return sample_photos(count, SIZE, seed)


def classifier(scale=1 / 255, activation="softmax", channels=3):
    image = keras.Input((*SIZE, channels))
    x = keras.layers.Rescaling(scale)(image) if scale != 1 else image
    x = keras.layers.Conv2D(8, 3, 2, "same", activation="swish")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.Dense(len(NAMES))(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, keras.layers.Activation(activation)(3 * x), name="net")
    return keras_mobattn.randomize_weights(model, seed=3)


@pytest.fixture(scope="module")
def source():
    return export.load(classifier(), NAMES)


@pytest.fixture(scope="module")
def files(source, tmp_path_factory):
    """fp32 and int8 files with float32 input and output."""
    folder = tmp_path_factory.mktemp("files")
    for precision in ("fp32", "int8"):
        export.to_tflite(source, folder / f"{precision}.tflite", precision, photos(16, seed=1), photos())
    return folder


def with_io(content, input_dtype, output_dtype):
    graph = Graph(content)
    set_io(graph, input_dtype, output_dtype)
    return graph.content()


def with_metadata(content, source, *described, **options):
    graph = Graph(content)
    add_metadata(graph, source, *described, **options)
    return with_labels(graph.content(), source.labels)


def run(content, image):
    """The one output of a file given as bytes, and the details of its input and output."""
    signature = Interpreter(model_content=bytes(content)).get_signature_runner()
    (taken,), (given,) = signature.get_input_details().values(), signature.get_output_details().values()
    return signature(image=image)["probabilities"], taken, given


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize(("input_dtype", "output_dtype"), DTYPES)
def test_bytes_in_and_out_are_the_same_numbers(precision, input_dtype, output_dtype, files):
    plain = (files / f"{precision}.tflite").read_bytes()
    content = with_io(plain, input_dtype, output_dtype)
    for pixels in photos(3):
        expected, *_ = run(plain, pixels[None].astype(np.float32))
        given = {"float32": pixels.astype(np.float32), "uint8": pixels, "int8": (pixels.astype(int) - 128)}[input_dtype]
        received, taken, told = run(content, given[None].astype(input_dtype))
        assert (np.dtype(taken["dtype"]), np.dtype(told["dtype"])) == (input_dtype, output_dtype)
        if input_dtype != "float32":
            assert taken["quantization"] == (1.0, ZERO_POINTS[input_dtype])
        if output_dtype == "float32":
            np.testing.assert_allclose(received, expected, atol=1e-6)
        else:
            assert told["quantization"] == (1 / 256, ZERO_POINTS[output_dtype])
            levels = received.astype(int) - ZERO_POINTS[output_dtype]
            np.testing.assert_array_less(np.abs(levels - np.minimum(256 * expected, 255)), 0.5 + 1e-3)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_xnnpack_takes_bytes_in_the_one_partition(precision, files, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(with_io((files / f"{precision}.tflite").read_bytes(), "uint8", "uint8"))
    row = benchmark_tflite(path, warmup_runs=0, num_runs=1, min_secs=0)
    assert (row.details.partitions, row.details.undelegated, row.inputs) == (1, {}, ("uint8[1,24,40,3]",))


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_a_model_of_other_numbers_takes_the_cameras_bytes(dtype, tmp_path):
    model, path = classifier(scale=1), tmp_path / "model.tflite"
    report = export.to_tflite(model, path, input_dtype=dtype, input_scale=1 / 255, check_images=photos() / 255)
    assert report.max_abs_error < 1e-5 * report.spread
    assert export.to_tflite(model, path, input_dtype=dtype, input_scale=1 / 255).num_images == check.NUM_PHOTOS
    for pixels in photos(2):
        received, *_ = run(path.read_bytes(), (pixels - {"uint8": 0, "int8": 128}[dtype]).astype(dtype)[None])
        np.testing.assert_allclose(received, model(pixels[None] / np.float32(255)), atol=1e-5)


def test_the_check_reads_a_quantized_output(source, tmp_path):
    """The report's error is recomputed from the file; two steps too many fail."""
    path = tmp_path / "model.tflite"
    report = export.to_tflite(source, path, input_dtype="uint8", output_dtype="uint8", check_images=photos())
    expected = source.predict(photos().astype(np.float32))["probabilities"]
    received = np.concatenate([run(path.read_bytes(), image[None])[0] for image in photos()]) / 256
    assert report.max_abs_error == pytest.approx(np.abs(received - expected).max(), rel=1e-5)
    assert 1e-4 < report.max_abs_error < 1.01 / 256
    with pytest.MonkeyPatch.context() as patch, pytest.raises(export.VerificationError, match="one step of 0.0039"):
        patch.setattr(export.tflite.model, "dequantize", lambda values, detail: (values + np.float32(2)) / 256)
        export.to_tflite(source, path, output_dtype="uint8", check_images=photos())


REFUSED = {  # what -> (options of to_tflite, what the message says)
    "unknown input": ({"input_dtype": "float16"}, "input_dtype.*'uint8', 'int8'. Received: 'float16'"),
    "unknown output": ({"output_dtype": None}, "output_dtype.*Received: None"),
    "no scale": ({"input_scale": 0.0}, r"input_scale above 0.* Received: \[0.0\]"),
    "scale NaN": ({"input_scale": np.nan}, r"input_scale as a number.*Received: \(nan,\)"),
    "images 0..1": ({"input_dtype": "uint8", "check_images": photos() / 255}, "in the range that the model takes"),
    "fractions": ({"input_dtype": "int8", "check_images": photos() / 2}, "whole pixels .* to 12.*with fractions"),
    "scaled twice": ({"input_scale": 1 / 255}, "what the model says itself: pixels 0..255. Received: 0..1 for"),
    "too few labels": ({"labels": ("a", "b")}, "each of the model's 7 classes. Received: 2, a, b"),
    "text as labels": ({"labels": "antbeeo"}, "tuple of class names. Received: 'antbeeo'"),
    "numbers as labels": ({"labels": range(7)}, "tuple of class names"),
    "an empty label": ({"labels": (*NAMES[:6], " ")}, "tuple of class names"),
    "a label of two lines": ({"labels": (*NAMES[:6], "a\nb")}, "one line each"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_interfaces_are_refused(options, message, source, tmp_path):
    with pytest.raises(InputError, match=message):
        export.to_tflite(source, tmp_path / "model.tflite", **options)
    assert not list(tmp_path.iterdir())


def test_outputs_that_bytes_cannot_hold_are_refused(tmp_path):
    path = tmp_path / "model.tflite"
    with pytest.raises(InputError, match="outputs other than probabilities. Received: 'uint8' for 'logits'"):
        export.to_tflite(classifier(activation="linear"), path, output_dtype="uint8")
    features = keras.Model(*(lambda x: (x, keras.layers.GlobalAveragePooling2D()(x)))(keras.Input((*SIZE, 4))))
    with pytest.raises(InputError, match="isn't a classifier. Received: 7"):
        export.to_tflite(features, path, labels=NAMES)
    image = keras.Input((*SIZE, 3))
    x = keras.layers.Dense(7)(keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1e-5)(image)))
    flat = keras.Model(image, keras.layers.Softmax()(x))  # every class has about 1/7
    with pytest.raises(export.VerificationError, match="four steps of 0.0039"):
        export.to_tflite(flat, path, output_dtype="int8")
    assert not list(tmp_path.iterdir())


def test_metadata_leaves_the_model_as_it_was(source, files, tmp_path):
    """Signature, numbers and partitions; and the same bytes each time."""
    plain = pack(unpack((files / "fp32.tflite").read_bytes()))
    content = with_metadata(plain, source, "fp32")
    assert content == with_metadata(plain, source, "fp32")
    image = photos(1).astype(np.float32)
    np.testing.assert_array_equal(run(content, image)[0], run(plain, image)[0])
    (tmp_path / "model.tflite").write_bytes(content)
    row = benchmark_tflite(tmp_path / "model.tflite", warmup_runs=0, num_runs=1, min_secs=0)
    assert (row.details.partitions, row.details.undelegated) == (1, {})
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt").decode() == "".join(f"{name}\n" for name in NAMES)
    assert not zipfile.is_zipfile(io.BytesIO(with_metadata(plain, export.load(source.model), "fp32")))


def test_buffers_are_aligned(files):
    from ai_edge_litert.schema_py_generated import Model

    model = Model.GetRootAs((files / "fp32.tflite").read_bytes())
    tables = [model.Buffers(i)._tab for i in range(model.BuffersLength())]
    starts = [table.Vector(table.Offset(4)) for table in tables if table.Offset(4)]
    assert len(starts) > 5
    assert {start % 16 for start in starts} == {0}


BAD_LABELS = {
    "absent": (None, "No such file"),
    "empty": (b"", "line 1 is empty"),
    "a gap": (b"a\n\nb\n", "line 2 is empty"),
    "a picture": (b"\x89PNG\xff\xfe", "not UTF-8"),
}


def test_labels_are_read(tmp_path):
    file = tmp_path / "labels.txt"
    for text in ("a\nb c\né\n", "a\r\nb c \r\né", "\ufeffa\nb c\né\n\n\n"):
        file.write_bytes(text.encode())
        assert export.read_labels(file) == ("a", "b c", "é")
    for content, message in BAD_LABELS.values():
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(InputError, match=f"Received: '.*labels.txt'.*{message}"):
            export.read_labels(file)
    with pytest.raises(InputError, match="Is a directory"):
        export.read_labels(tmp_path)


# mediapipe reads the files as an app would.


def classify(content, pixels):
    """MediaPipe's own ImageClassifier: the categories, best first."""
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_buffer=content))
    image = as_mediapipe(pixels)
    with vision.ImageClassifier.create_from_options(options) as task:
        return task.classify(image).classifications[0].categories


CONSUMED = {  # what the app loads -> (scale that the model itself has, options of to_tflite, error of a score)
    "float32": (1 / 255, {}, 1e-5),
    "uint8": (1 / 255, {"input_dtype": "uint8"}, 1e-5),
    "uint8 to uint8": (1 / 255, {"input_dtype": "uint8", "output_dtype": "uint8"}, 1.01 / 256),
    "float32 of a model of 0..1": (1, {"input_scale": 1 / 255}, 1e-5),
    "uint8 of a model of 0..1": (1, {"input_scale": 1 / 255, "input_dtype": "uint8"}, 1e-5),
    "int8": (1 / 255, {"precision": "int8", "input_dtype": "uint8", "output_dtype": "uint8"}, 0.1),
}


@pytest.mark.parametrize(("scale", "options", "error"), CONSUMED.values(), ids=CONSUMED)
def test_mediapipe_gives_the_scores_and_names_of_keras(scale, options, error, mediapipe, tmp_path):
    model, path = classifier(scale), tmp_path / "model.tflite"
    factor = np.float32(options.get("input_scale", 1))
    export.to_tflite(
        model, path, representative_images=factor * photos(16, seed=1), labels=NAMES, check_images=factor * photos(),
        **options,
    )  # fmt: skip
    for pixels in photos(4, seed=2):
        expected = model(factor * pixels[None]).numpy()[0]
        categories = classify(path.read_bytes(), pixels)
        assert len(categories) == len(NAMES)
        assert categories[0].category_name == NAMES[expected.argmax()]
        for category in categories:
            assert category.category_name == NAMES[category.index]
            assert category.score == pytest.approx(expected[category.index], abs=error)


def test_mediapipe_takes_a_file_without_labels(mediapipe, tmp_path):
    model, path = classifier(), tmp_path / "model.tflite"
    export.to_tflite(model, path, check_images=photos())
    (pixels,) = photos(1, seed=2)
    best = classify(path.read_bytes(), pixels)[0]
    assert (best.index, best.category_name) == (model(pixels[None].astype(np.float32)).numpy().argmax(), None)


def read_metadata(content):
    from mediapipe.tasks.metadata.metadata_schema_py_generated import ModelMetadata, ModelMetadataT

    file = unpack(content)
    (data,) = (file.buffers[entry.buffer].data.tobytes() for entry in file.metadata if entry.name == b"TFLITE_METADATA")
    assert ModelMetadata.ModelMetadataBufferHasIdentifier(data, 0)
    return ModelMetadataT.InitFromObj(ModelMetadata.GetRootAs(data))


def test_mediapipe_reads_what_the_file_says_of_itself(mediapipe, source, files):
    from mediapipe.tasks.metadata import metadata_schema_py_generated as schema

    about = export.About(name="birds", description="Names birds.", version="2.1", author="me", license="CC0-1.0")
    plain = pack(unpack((files / "fp32.tflite").read_bytes()))
    assert unpack(plain).metadata.pop().name == b"TFLITE_METADATA"  # what to_tflite wrote
    assert read_metadata(plain).name == b"net"
    assert read_metadata(plain).description.startswith(b"Image classifier in fp32")
    bare = unpack(plain)
    bare.metadata.pop()
    model = read_metadata(with_metadata(pack(bare), source, "fp32", about))
    told = (model.name, model.description, model.version, model.author, model.license)
    assert told == (b"birds", b"Names birds.", b"2.1", b"me", b"CC0-1.0")
    (graph,) = model.subgraphMetadata
    (image,), (output,) = graph.inputTensorMetadata, graph.outputTensorMetadata
    assert isinstance(image.content.contentProperties, schema.ImagePropertiesT)
    assert image.content.contentProperties.colorSpace == schema.ColorSpaceType.RGB
    (options,) = (unit.options for unit in image.processUnits)
    assert isinstance(options, schema.NormalizationOptionsT)
    assert (list(options.mean), list(options.std)) == ([0], [1])
    assert output.name == b"probabilities"
    assert [(file.name, file.type) for file in output.associatedFiles] == [
        (b"labels.txt", schema.AssociatedFileType.TENSOR_AXIS_LABELS)
    ]


def test_several_outputs_are_named_in_the_order_of_the_file(mediapipe, tmp_path):
    """By their sizes, since the signature sorts its names and the file need not."""
    image = keras.Input((*SIZE, 1))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    sizes = {"b": 5, "c": 2, "a": 3}
    model = keras.Model(image, [keras.layers.Dense(size, name=name)(x) for name, size in sizes.items()])
    path = tmp_path / "model.tflite"
    export.to_tflite(keras_mobattn.randomize_weights(model), path, check_images=photos()[..., :1], input_scale=1)
    content = path.read_bytes()
    (graph,) = read_metadata(content).subgraphMetadata
    found = [detail["shape"][1] for detail in Interpreter(model_content=content).get_output_details()]
    assert [sizes[tensor.name.decode()] for tensor in graph.outputTensorMetadata] == found
    assert graph.inputTensorMetadata[0].content.contentProperties.colorSpace == 2  # GRAYSCALE
