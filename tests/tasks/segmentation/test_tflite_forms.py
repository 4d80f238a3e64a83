"""Segmenters as .tflite files that MediaPipe and the Task Library take: logits, or probabilities, at the model's own
stride or the image's size."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.mediapipe_images import as_mediapipe
from helpers.segmenters import IMAGES, NAMES, SIDES, logits_of, segmenter
from helpers.small_segmenters import small_segmenter
from keras_mobattn import InputError, catalog, describe, export
from keras_mobattn.formats.tflite.graph import open_graph
from keras_mobattn.formats.tflite.metadata_tables import METADATA
from keras_mobattn.formats.tflite.segmenter import ACTIVATIONS, NAME
from keras_mobattn.layers import resize_bilinear
from keras_mobattn.tasks import task_of
from keras_mobattn.tasks.segmentation import SEGMENTATION, DeepLabV3, Segmentation, segment, task as segmentation_task
from keras_mobattn.tasks.segmentation.forms import DESCRIPTIONS, FORMS
from keras_mobattn.tasks.segmentation.masks import masks_of
from keras_mobattn.tasks.segmentation.task import HEADS

TFLITE_FORMS = tuple(name for name, form in FORMS.items() if form.kind in (None, "TFLite"))
FULL, MAP = (None, *SIDES, len(NAMES)), (None, 4, 8, len(NAMES))
SHAPES = {"logits": MAP, "probabilities": MAP, "full_size": FULL}
SAME = 0.995  # of the pixels


def convert(model, path, form="logits", precision="fp32", **options):
    given = {"check_images": IMAGES, "labels": NAMES} | options
    given |= {"representative_images": IMAGES} if precision == "int8" else {}
    return export.to_tflite(model, path, precision, form=form, **given)


@pytest.fixture(scope="module")
def model():
    return small_segmenter("deeplabv3", auxiliary=True)


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """{form: path}"""
    folder = tmp_path_factory.mktemp("files")
    paths = {form: folder / f"{form}.tflite" for form in TFLITE_FORMS}
    for form, path in paths.items():
        assert convert(model, path, form).agreement > 0.999
    return paths


def mediapipe_masks(vision, path, images=IMAGES):
    """What MediaPipe's ImageSegmenter makes of the images: (classes [n, h, w], confidences [n, h, w, K], labels)."""
    from mediapipe.tasks.python import BaseOptions

    options = vision.ImageSegmenterOptions(
        base_options=BaseOptions(model_asset_path=str(path)), output_category_mask=True, output_confidence_masks=True
    )
    classes, confidences = [], []
    with vision.ImageSegmenter.create_from_options(options) as task:
        for image in images:
            seen = task.segment(as_mediapipe(image.astype(np.uint8)))
            classes.append(seen.category_mask.numpy_view().reshape(image.shape[:2]).copy())
            masks = [mask.numpy_view().reshape(image.shape[:2]).copy() for mask in seen.confidence_masks]
            confidences.append(np.stack(masks, -1))
        return np.stack(classes), np.stack(confidences), tuple(task.labels)


def keras_masks(model):
    """The same by `segment`."""
    return np.stack([segment(model, image.astype(np.uint8)) for image in IMAGES])


@pytest.mark.parametrize("form", TFLITE_FORMS)
def test_mediapipe_says_what_keras_does(form, model, files, mediapipe):
    """Masks are `segment`'s. It resizes what a file gives: of probabilities the best class is another one at borders.
    Confidences are resized without aligned corners."""
    classes, confidences, labels = mediapipe_masks(mediapipe, files[form])
    assert labels == NAMES
    probabilities = tf.nn.softmax(logits_of(model))
    expected = keras_masks(model) if form != "probabilities" else masks_of(probabilities, SIDES)
    assert np.mean(classes == expected) >= SAME
    assert len(np.unique(classes)) > 2
    resized = tf.image.resize(probabilities, SIDES)
    whole = tf.nn.softmax(resize_bilinear(logits_of(model), SIDES, align_corners=True))
    np.testing.assert_allclose(confidences, whole if form == "full_size" else resized, atol=1e-4)


CASES = [  # head, family, precision
    *((head, "MobileViTv2", "fp32") for head in HEADS),
    *((head, family, "fp16") for head in HEADS for family in ("MobileViTv2", "PVTv2")),
    ("deeplabv3", "DeiT", "fp32"),
    ("lraspp", "EfficientFormerV2", "fp32"),
    ("pspnet", "MobileViT", "fp32"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("head", "family", "precision"), CASES)
def test_mediapipe_says_what_keras_does_of_others(head, family, precision, tmp_path, mediapipe):
    model = segmenter(head, family)
    convert(model, tmp_path / "model.tflite", precision=precision)
    classes, confidences, _ = mediapipe_masks(mediapipe, tmp_path / "model.tflite")
    assert np.mean(classes == keras_masks(model)) >= SAME
    expected = tf.image.resize(tf.nn.softmax(logits_of(model)), SIDES)
    np.testing.assert_allclose(confidences, expected, atol=1e-4 if precision == "fp32" else 0.05)


@pytest.mark.parametrize("form", TFLITE_FORMS)
def test_bytes_and_two_classes(form, tmp_path, mediapipe):
    """Pixels as bytes, and probabilities in 256ths, whose nearly equal classes become the first of them."""
    model, path = small_segmenter(names=("no", "yes")), tmp_path / "model.tflite"
    given = "float32" if form == "logits" else "uint8"
    convert(model, path, form, labels=("no", "yes"), input_dtype="uint8", output_dtype=given)
    classes, _, labels = mediapipe_masks(mediapipe, path)
    probabilities = tf.nn.softmax(logits_of(model))
    expected = keras_masks(model) if form != "probabilities" else masks_of(probabilities, SIDES)
    assert np.mean(classes == expected) >= SAME
    assert labels == ("no", "yes")
    assert set(np.unique(classes)) == {0, 1}


def test_one_class_is_refused():
    """MediaPipe takes one score for a mask of its own kind: 0 where it is above .5, else 255."""
    with pytest.raises(InputError, match="Expected classes, of which a background is one, to be a whole number from 2"):
        DeepLabV3("MobileViTv2", 1)


@pytest.mark.parametrize("form", TFLITE_FORMS)
def test_our_own_reading(form, model, files):
    """The masks of a file of any form by this package, which knows a segmenter by its file alone."""
    file = export.FILE_MODELS[".tflite"](files[form])
    assert (file.labels, file.output_shape, file.given_names) == (NAMES, SHAPES[form], (form,))
    assert SEGMENTATION.recognises_file(file)
    task = SEGMENTATION.for_file(file)
    assert (task.sides, task.count_classes(file.output_shape)) == (SIDES, len(NAMES))
    expected = masks_of(tf.nn.softmax(logits_of(model)), SIDES) if form == "probabilities" else keras_masks(model)
    assert np.mean(masks_of(file.predict_on_batch(IMAGES), SIDES) == expected) >= SAME


def test_the_auxiliary_head_stays_behind(files):
    for path in files.values():
        with open_graph(path) as graph:
            assert len(graph.subgraph.outputs) == 1
            assert not any("auxiliary" in graph.name(tensor) for tensor in range(len(graph.tensors)))


def test_the_metadata_by_mediapipes_own_schemas(files):
    from mediapipe.tasks.metadata.image_segmenter_metadata_schema_py_generated import ImageSegmenterOptions
    from mediapipe.tasks.metadata.metadata_schema_py_generated import ModelMetadata, ModelMetadataT

    for form, activation in {"logits": 2, "probabilities": 0, "full_size": 0}.items():
        with open_graph(files[form]) as graph:
            (entry,) = (entry for entry in graph.model.metadata if entry.name == METADATA.encode())
            data = bytes(graph.model.buffers[entry.buffer].data)
        told = ModelMetadataT.InitFromObj(ModelMetadata.GetRootAs(data)).subgraphMetadata[0]
        assert told.inputTensorMetadata[0].processUnits[0].options.std == 1
        (output,) = told.outputTensorMetadata
        assert (output.name.decode(), output.description.decode()) == (form, DESCRIPTIONS[form])
        assert output.associatedFiles[0].type == 2  # along an axis
        (custom,) = told.customMetadata
        assert custom.name.decode() == NAME
        content = bytes(custom.data)
        assert ImageSegmenterOptions.ImageSegmenterOptionsBufferHasIdentifier(content, 0)
        options = ImageSegmenterOptions.GetRootAs(content)
        assert options.Activation() == activation == ACTIVATIONS[FORMS[form].activation]
        assert options.MinParserVersion() == b"1.0.0"


def _other_order(logits, form):
    return logits[..., ::-1], form


def _other_stride(logits, form):
    return tf.nn.avg_pool2d(logits, 2, 2, "SAME"), form


CHANGES = {"order of classes": _other_order, "stride": _other_stride}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("form", TFLITE_FORMS)
def test_the_check_sees_other_masks(form, change, tmp_path, monkeypatch):
    """The numbers are those of Keras, and mean something else."""
    make = Segmentation.in_form

    def changed(self, outputs, form):
        return make(self, outputs, form) if form is None else make(self, *change(outputs, form))

    monkeypatch.setattr(Segmentation, "in_form", changed)
    with pytest.raises(export.VerificationError, match="same pixels from 99.5%. Received"):
        convert(small_segmenter(), tmp_path / "model.tflite", form)
    assert not (tmp_path / "model.tflite").exists()


def test_the_check_sees_corners_that_are_not_aligned(tmp_path, monkeypatch):
    def resize(x, size, align_corners):
        return resize_bilinear(x, size, not align_corners)

    monkeypatch.setattr(segmentation_task, "resize_bilinear", resize)
    with pytest.raises(export.VerificationError, match="same pixels from 99.5%. Received"):
        convert(small_segmenter(), tmp_path / "model.tflite", "full_size")


BAD = {
    "another form": ({"form": "masks"}, "Expected form for TFLite and image segmenter: one of 'logits', 'prob"),
    "Core ML's": ({"form": "class_map"}, "one of 'logits', 'probabilities', 'full_size'. Received: 'class_map'"),
    "labels": ({"labels": NAMES[1:]}, "Expected one label for each of the segmenter's 5 classes"),
    "bytes out": ({"output_dtype": "uint8"}, "Expected output_dtype 'float32' for outputs other than probabilities"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD)
def test_bad_options(options, message, model, tmp_path):
    with pytest.raises(InputError, match=message):
        convert(model, tmp_path / "model.tflite", **options)


def test_forms_are_told_of():
    """By the flags of the commands, and each by a sentence."""
    for kind, names in catalog.FORMS.items():
        own = tuple(name for name, form in FORMS.items() if form.kind in (None, kind))
        assert tuple(name for name in names if name in own) == own
    assert list(DESCRIPTIONS) == list(FORMS)


@pytest.mark.parametrize("precision", [*(p for p in catalog.TFLITE_PRECISIONS if p != "fp32")])
@pytest.mark.parametrize("form", TFLITE_FORMS)
@pytest.mark.slow
def test_other_precisions(form, precision, model, tmp_path):
    path = tmp_path / "model.tflite"
    report = convert(model, path, form, precision, input_dtype="uint8", tolerance=export.Tolerance(1e9))
    assert report.agreement > 0.6  # random weights
    described = describe.describe_tflite(path)
    assert described.xnnpack.partitions == 1
    assert described.gpu.passed or precision == "int8"
    assert task_of(model).recognises_file(export.TFLiteModel(path))
