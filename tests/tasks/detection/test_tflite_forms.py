"""Detectors as .tflite files that MediaPipe takes: objects found by an operator, or by the anchors in the file."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

import keras_mobattn
from helpers.detectors import IMAGES, NAMES, SIDES, detector, expected_objects
from helpers.mediapipe_images import as_mediapipe
from keras_mobattn import InputError, catalog, describe, export
from keras_mobattn.export.tflite import detector as tflite_detector
from keras_mobattn.formats.tflite.graph import Graph, open_graph
from keras_mobattn.formats.tflite.metadata_tables import METADATA
from keras_mobattn.tasks import task_of
from keras_mobattn.tasks.detection import Detection
from keras_mobattn.tasks.detection.forms import DESCRIPTIONS, FORMS

MEDIAPIPE_FORMS = ("nms", "anchors")


@pytest.fixture(scope="module")
def model():
    return detector()


def convert(model, path, form, precision="fp32", **options):
    given = {"check_images": IMAGES, "representative_images": IMAGES, "labels": NAMES} | options
    return export.to_tflite(model, path, precision, form=form, **given)


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """{form: path}"""
    folder = tmp_path_factory.mktemp("files")
    paths = {form: folder / f"{form}.tflite" for form in (*MEDIAPIPE_FORMS, "raw")}
    for form, path in paths.items():
        report = convert(model, path, form)
        assert report.agreement >= 0.98
    return paths


def in_mediapipes_pixels(corners, form):
    """Whole pixels: the corner, moved into the image where it isn't, and a size, at most the image's. Files of form
    "nms" cut boxes off at the border, as they should be."""
    sides = np.tile(SIDES, 2)
    if form == "nms":
        return np.clip(corners, 0, 1) * sides
    start = np.maximum(corners[:2], 0) * SIDES
    return np.concatenate([start, start + np.minimum((corners[2:] - corners[:2]) * SIDES, SIDES)])


def detect(vision, path, image, **options):
    """MediaPipe's own ObjectDetector: [(class, score, corners in pixels)], the best first."""
    from mediapipe.tasks.python import BaseOptions

    options = vision.ObjectDetectorOptions(base_options=BaseOptions(model_asset_path=str(path)), **options)
    with vision.ObjectDetector.create_from_options(options) as task:
        seen = task.detect(as_mediapipe(image.astype(np.uint8)))
    found = []
    for each in seen.detections:
        box = each.bounding_box
        corners = np.array((box.origin_y, box.origin_x, box.origin_y + box.height, box.origin_x + box.width))
        found += [(kind.category_name, kind.score, corners) for kind in each.categories]  # several of one box
    return found


@pytest.mark.parametrize("form", MEDIAPIPE_FORMS)
def test_mediapipe_finds_what_keras_does(form, model, files, mediapipe):
    """By the form's own rules: class by class with overlaps up to .5, or all together with overlaps up to .3."""
    rules = FORMS[form].rules
    for image in IMAGES:
        found = detect(mediapipe, files[form], image, score_threshold=0.01, max_results=rules.max_objects)
        wanted = expected_objects(model, image, rules)
        assert len(found) == len(wanted) > 20
        missing = 0
        for label, score, corners in wanted:
            pixels = in_mediapipes_pixels(corners, form)
            missing += not any(
                name == NAMES[label] and abs(other - score) < 1e-3 and np.abs(box - pixels).max() <= 2.01
                for name, other, box in found  # MediaPipe gives whole pixels: a corner's, and a size
            )
        assert missing <= 0.02 * len(wanted)  # scores that are equal but for rounding, at the end of the list


@pytest.mark.parametrize("form", [*MEDIAPIPE_FORMS, "raw"])
def test_the_script_tells_of_the_labels_that_the_file_has(form, model, tmp_path, call_script, capsys):
    file, names, path = tmp_path / "net.keras", tmp_path / "names.txt", tmp_path / "net.tflite"
    model.save(file)
    names.write_text("\n".join(NAMES))
    for flags, told, there in (
        (("--labels", names), "ant, bee, cat, dog, eel (5 classes).", NAMES),
        ((), "none. To name the classes: --labels FILE, one name a line.", ()),
    ):
        assert call_script("tflite/convert.py", file, "--output", path, "--form", form, *flags) == 0
        assert f"Labels in the file: {told}" in capsys.readouterr().out
        assert export.embedded_labels(path) == there


def test_a_file_without_labels_is_judged_or_says_what_it_lacks(model, tmp_path):
    """What finds the objects itself may be of any classes; offsets are nothing without the anchors."""
    source = SimpleNamespace(name="boxes", class_names=NAMES)
    read = {form: tmp_path / f"{form}.tflite" for form in (*MEDIAPIPE_FORMS, "raw")}
    for form, path in read.items():
        convert(model, path, form, labels=())
        file = export.FILE_MODELS[".tflite"](path)
        task = Detection() if form == "raw" else Detection().for_file(file)
        with pytest.raises(InputError, match="in the folder of its run") if form == "raw" else contextlib.nullcontext():
            task.expect_model(file, source)


@pytest.mark.parametrize("form", [*MEDIAPIPE_FORMS, "raw"])
def test_our_own_reading(form, model, files):
    """The objects of a file of any form by this package, which reads anchors from the file where it has them."""
    file = export.FILE_MODELS[".tflite"](files[form])
    assert file.labels == NAMES
    assert set(file.output_shape) == set(FORMS[form].outputs)
    task = task_of(model)
    assert task.recognises_file(file)
    task = task if form == "raw" else Detection().for_file(file)
    for image in IMAGES[:2]:
        outputs = file.predict_on_batch(image[None])
        boxes, labels, scores = (each[0].numpy() for each in task.find(outputs))
        wanted = expected_objects(model, image, FORMS[form].rules)
        count = min(len(wanted), int((labels >= 0).sum()))
        assert count == (labels >= 0).sum() == len(wanted)
        np.testing.assert_allclose(scores[:count], [score for _, score, _ in wanted], atol=1e-4)
        agree = [label == wanted[place][0] for place, label in enumerate(labels[:count])]
        assert np.mean(agree) > 0.95
        assert (boxes >= 0).all()
        assert (boxes <= 1).all()
    with pytest.raises(InputError, match="in the folder of its run"):
        Detection().find({"boxes": 0, "scores": 0})


@pytest.mark.sampled
def test_devices(files):
    """The anchors' form runs whole on a GPU and in one XNNPACK partition; the operator's has one operator besides,
    behind which boxes are cut off at the border."""
    for form in ("anchors", "raw"):
        described = describe.describe_tflite(files[form])
        assert described.xnnpack.partitions == 1
        assert described.gpu.passed
    described = describe.describe_tflite(files["nms"])
    assert [finding.operator for finding in described.xnnpack.left] == [tflite_detector.OPERATOR]
    assert not described.gpu.passed
    with open_graph(files["nms"]) as graph:
        assert [graph.kind(each) for each in graph.operators if each.customOptions is not None] == [
            tflite_detector.OPERATOR
        ]


def test_the_metadata_by_mediapipes_own_schema(files):
    from mediapipe.tasks.metadata.metadata_schema_py_generated import ModelMetadata, ModelMetadataT

    for form, places in {"nms": (1, 3), "anchors": (1, 2)}.items():  # the labelled output, and the kind of labels
        with open_graph(files[form]) as graph:
            (entry,) = (entry for entry in graph.model.metadata if entry.name == METADATA.encode())
            data = bytes(graph.model.buffers[entry.buffer].data)
        told = ModelMetadataT.InitFromObj(ModelMetadata.GetRootAs(data)).subgraphMetadata[0]
        boxes, *_ = told.outputTensorMetadata
        assert list(boxes.content.contentProperties.index) == [1, 0, 3, 2]
        place, kind = places
        assert told.outputTensorMetadata[place].associatedFiles[0].type == kind
        scores = next(each for each in told.outputTensorMetadata if each.name == b"score")
        assert scores.processUnits[0].options.globalScoreThreshold == pytest.approx(0.3)


def _order(options):
    return options | {"anchors": options["anchors"][::-1]}


def _scale(options):
    return options | {"scales": tuple(np.array(options["scales"]) * (1, 1, 1, 0.8))}


def _format(options):
    return options | {"anchors": options["anchors"][:, [1, 0, 3, 2]]}


CHANGES = {"order of anchors": _order, "scale": _scale, "box format": _format}


@contextlib.contextmanager
def changed(monkeypatch, form, change):
    """What is written into the file is another than it should be."""
    if form == "nms":
        add = Graph.add_custom_operator

        def changed_operator(graph, kind, inputs, outputs, options):
            scales = [options[f"{name}_scale"] for name in ("y", "x", "h", "w")]
            new = change({"anchors": graph.values(inputs[2]), "scales": scales})
            inputs = [*inputs[:2], graph.add_values("changed", np.ascontiguousarray(new["anchors"]))]
            names = (f"{name}_scale" for name in ("y", "x", "h", "w"))
            add(graph, kind, inputs, outputs, options | dict(zip(names, map(float, new["scales"]), strict=True)))

        monkeypatch.setattr(Graph, "add_custom_operator", changed_operator)
    else:
        make = tflite_detector.detector_table

        def changed_table(anchors, scales, classes):
            new = change({"anchors": anchors, "scales": scales})
            return make(new["anchors"], new["scales"], classes)

        monkeypatch.setattr(tflite_detector, "detector_table", changed_table)
    yield


@pytest.mark.sampled
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("form", MEDIAPIPE_FORMS)
def test_the_check_sees_wrong_boxes(form, change, model, tmp_path, monkeypatch):
    path = tmp_path / "model.tflite"
    with (
        changed(monkeypatch, form, change),
        pytest.raises(export.VerificationError, match="same objects from 95.0%. Received"),
    ):
        convert(model, path, form)
    assert not path.exists()


@pytest.mark.sampled
def test_the_check_sees_another_score(model, tmp_path, monkeypatch):
    """The score from which MediaPipe shows objects."""
    make = tflite_detector.table

    def changed_table(kind, **fields):
        if kind == "ScoreThresholdingOptions":
            fields["global_score_threshold"] = np.float32(0.7)
        return make(kind, **fields)

    monkeypatch.setattr(tflite_detector, "table", changed_table)
    with pytest.raises(export.VerificationError, match="same objects"):
        convert(model, tmp_path / "model.tflite", "anchors")


@pytest.mark.parametrize("option", [{"num_classes": len(NAMES) - 1}, {"nms_score_threshold": 0.6}], ids=str)
def test_the_check_sees_other_options_of_the_operator(option, model, tmp_path, monkeypatch):
    """A class less makes the operator take the first for the background; a threshold leaves objects out."""
    add = Graph.add_custom_operator

    def with_option(graph, kind, inputs, outputs, options):
        add(graph, kind, inputs, outputs, options | option)

    monkeypatch.setattr(Graph, "add_custom_operator", with_option)
    with pytest.raises(export.VerificationError, match="same objects"):
        convert(model, tmp_path / "model.tflite", "nms")


@pytest.mark.sampled
def test_the_check_sees_other_classes(model, tmp_path, monkeypatch):
    """One class to the left: the probabilities are those of Keras, and mean something else."""
    import tensorflow as tf

    def shifted(self, outputs, form):
        if form in (None, "raw"):
            return outputs
        return {"location": outputs["boxes"], "score": tf.nn.softmax(outputs["scores"])[..., :-1]}

    monkeypatch.setattr(Detection, "in_form", shifted)
    for form in MEDIAPIPE_FORMS:
        with pytest.raises(export.VerificationError, match="same objects"):
            convert(model, tmp_path / "model.tflite", form)


@pytest.mark.parametrize("precision", ["fp16", "dynamic", "int8"])
@pytest.mark.parametrize("form", MEDIAPIPE_FORMS)
@pytest.mark.slow
def test_other_precisions(form, precision, model, tmp_path, mediapipe):
    path = tmp_path / "model.tflite"
    report = convert(model, path, form, precision, input_dtype="uint8", tolerance=export.Tolerance(1e9))
    assert 0 <= report.agreement <= 1
    assert describe.describe_tflite(path).xnnpack.partitions == {"anchors": 1, "nms": 2}[form]
    assert detect(mediapipe, path, IMAGES[0], score_threshold=0.01)


BAD = {
    "another form": ({"form": "boxes"}, "Expected form for TFLite and object detector: one of 'nms', 'anchors', 'raw'"),
    "labels": ({"labels": NAMES[1:]}, "Expected one label for each of the detector's 5 classes"),
    "bytes out": ({"output_dtype": "uint8"}, "Expected"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_bad_options(options, message, model, tmp_path):
    with pytest.raises(InputError, match=message):
        convert(model, tmp_path / "model.tflite", options.pop("form", None), **options)


def test_a_classifier_has_no_forms(tmp_path):
    model = keras_mobattn.MobileViTv2(variant="test", width=0.5, input_shape=(64, 64, 3), classes=3)
    with pytest.raises(InputError, match="form for TFLite and image classifier: to be left out"):
        export.to_tflite(model, tmp_path / "model.tflite", form="nms")


def test_forms_are_told_of():
    """By the flags of the commands, and each output by a sentence."""
    for kind, names in catalog.FORMS.items():
        own = tuple(name for name, form in FORMS.items() if form.kind in (None, kind))
        assert tuple(name for name in names if name in own) == own
    assert {name: set(form.outputs) for name, form in FORMS.items()} == {
        name: set(sentences) for name, sentences in DESCRIPTIONS.items()
    }
