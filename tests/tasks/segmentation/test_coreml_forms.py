"""Segmenters as packages, in each of their forms: the numbers, what Vision and Xcode read, and what fails the check."""

import json

import numpy as np
import pytest

import keras_mobattn
from helpers.cases import FAMILIES
from helpers.segmenters import IMAGES, NAMES, SIDES
from helpers.small_segmenters import small_segmenter
from keras_mobattn import InputError, catalog, describe, export
from keras_mobattn.formats.coreml.package import read_mlpackage
from keras_mobattn.formats.coreml.program import read_program
from keras_mobattn.formats.kinds import COREML
from keras_mobattn.layers import resize_bilinear
from keras_mobattn.tasks import TASKS
from keras_mobattn.tasks.segmentation import Segmentation, task as segmentation_task
from keras_mobattn.tasks.segmentation.draw import palette
from keras_mobattn.tasks.segmentation.forms import FORMS
from keras_mobattn.tasks.segmentation.task import HEADS

PREVIEW = "com.apple.coreml.model.preview"
INT32, FLOAT32 = 131104, 65568  # ArrayFeatureType's, in FeatureTypes.proto
SMALL_MAP = (8, 16)  # of LR-ASPP, which has stride 8


def convert(model, path, precision="fp32", **options):
    given = {"check_images": IMAGES, "labels": NAMES, "input_type": "image"} | options
    return export.to_coreml(model, path, precision, **given)


@pytest.fixture(scope="module")
def model():
    return small_segmenter()


@pytest.fixture(scope="module")
def packages(model, tmp_path_factory):
    """{form: package in fp32}."""
    folder = tmp_path_factory.mktemp("packages")
    paths = {form: folder / f"{form}.mlpackage" for form in FORMS}
    for form, path in paths.items():
        assert convert(model, path, form=form).agreement > 0.999
    return paths


def aligned(values, sides):
    """[h, w, K] at another size with aligned corners, by numpy."""
    for axis, side in enumerate(sides):
        places = np.linspace(0, values.shape[axis] - 1, side)
        known = np.arange(values.shape[axis])
        values = np.apply_along_axis(lambda row, p=places, k=known: np.interp(p, k, row), axis, values)
    return values


def softmax(logits):
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


EXPECTED = {  # form -> what it is of a Keras model's logits [h, w, K], by numpy
    "class_map": lambda logits: aligned(logits, SIDES).argmax(-1),
    "logits": lambda logits: logits,
    "probabilities": softmax,
    "full_size": lambda logits: softmax(aligned(logits, SIDES)),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_evaluator_computes_what_keras_does(form, model, packages):
    file = export.CoreMLModel(packages[form])
    wanted = np.stack([EXPECTED[form](np.float64(logits)) for logits in model(IMAGES).numpy()])
    received = file.predict_on_batch(IMAGES)
    assert received.shape == (len(IMAGES), *file.output_shape[1:]) == wanted.shape
    assert file.given_names == FORMS[form].outputs
    assert file.labels == NAMES
    if form == "class_map":
        assert received.dtype == np.int32
        assert len(np.unique(received)) > 2
        assert (received == wanted).mean() > 0.999
    else:
        np.testing.assert_allclose(received, wanted, atol=1e-4 * np.ptp(wanted))
    task = Segmentation().for_file(file)
    assert task.recognises_file(file)
    assert task.sides == SIDES
    assert task.count_classes(file.output_shape) == (0 if form == "class_map" else len(NAMES))


def test_a_class_map_is_as_apples_segmenters_give_it(packages):
    spec = read_mlpackage(packages["class_map"])
    (image,), (classes,) = spec.description.input, spec.description.output
    assert (image.type.imageType.height, image.type.imageType.width) == SIDES
    assert (classes.name, list(classes.type.multiArrayType.shape)) == ("class_map", list(SIDES))
    assert classes.type.multiArrayType.dataType == INT32
    assert classes.shortDescription == "The number of each pixel's class."
    assert not spec.description.predictedFeatureName  # no classifier
    facts = spec.description.metadata.userDefined
    assert facts[f"{PREVIEW}.type"] == "imageSegmenter"
    shown = json.loads(facts[f"{PREVIEW}.params"])
    assert shown == {"labels": list(NAMES), "colors": ["#000000", "#800000", "#008000", "#808000", "#000080"]}
    colours = [tuple(bytes.fromhex(each[1:])) for each in shown["colors"]]
    assert colours == [tuple(each) for each in palette()[: len(NAMES)].tolist()]
    assert json.loads(facts["labels"]) == list(NAMES)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "class_map"])
def test_maps_of_scores_have_no_preview(form, packages):
    """It would read them as [1, K, H, W]."""
    spec = read_mlpackage(packages[form])
    (output,) = spec.description.output
    sides = SIDES if form == "full_size" else SMALL_MAP
    assert list(output.type.multiArrayType.shape) == [1, *sides, len(NAMES)]
    assert output.type.multiArrayType.dataType == FLOAT32
    assert not spec.description.predictedFeatureName
    assert f"{PREVIEW}.type" not in spec.description.metadata.userDefined
    assert json.loads(spec.description.metadata.userDefined["labels"]) == list(NAMES)


def test_from_an_array(model, tmp_path):
    path = tmp_path / "model.mlpackage"
    assert convert(model, path, input_type="tensor", check_images=IMAGES[:2]).agreement > 0.999
    facts = read_mlpackage(path).description.metadata.userDefined
    assert f"{PREVIEW}.type" not in facts
    assert json.loads(facts["labels"]) == list(NAMES)
    assert export.CoreMLModel(path).output_shape == (None, *SIDES)


# The most operations, with the backbone's six, a resize, an argmax, and the end of a class map of whole numbers: 4
MOST = {"deeplabv3": 28, "pspnet": 41, "lraspp": 22}


@pytest.mark.parametrize("head", HEADS)
def test_for_the_neural_engine(head, tmp_path):
    """Classes are picked along the channels of a map that is channels first, nothing is moved, gathered or sliced."""
    path = tmp_path / "model.mlpackage"
    report = convert(small_segmenter(head), path, "fp16")
    assert report.agreement > 0.98
    assert report.headroom > 4
    described, program = describe.describe_coreml(path), read_program(path)
    assert described.neural_engine.against == ()
    assert (described.max_rank, described.gathers, described.open_shapes) == (4, 0, 0)
    assert sum(described.operators.values()) <= MOST[head]
    assert not any(kind.startswith(("slice", "split")) for kind in described.operators)
    (picks,) = (operation for operation in program.operations if operation.kind == "reduce_argmax")
    assert picks.operands["x"][0].shape == (1, len(NAMES), *SIDES)
    assert picks.operands["axis"][0].constant == 1
    if head != "pspnet":  # whose means over parts are a product
        assert described.transposes == 0
    assert [(each.dtype, each.shape) for each in described.outputs] == [("int32", SIDES)]
    assert described.classes is None


def test_softmax_over_channels(packages):
    for form in ("probabilities", "full_size"):
        program = read_program(packages[form])
        *_, softmax_, transpose = program.operations
        assert (softmax_.kind, transpose.kind) == ("softmax", "transpose")
        assert softmax_.operands["axis"][0].constant == 1


def _corners(logits, sides, align_corners):
    return resize_bilinear(logits, sides, not align_corners)


def _order(self, outputs, form):
    given = IN_FORM(self, outputs, form)
    return given if form is None else given[..., ::-1]


def _shifted(self, outputs, form):
    return {name: value + 1 for name, value in FINISHED(self, outputs, form).items()}


IN_FORM, FINISHED = Segmentation.in_form, Segmentation.finished
MUTATIONS = {  # what is changed -> (where, its name, the change, the forms that it shows in)
    "corners": (segmentation_task, "resize_bilinear", _corners, ("class_map", "full_size")),
    "order of classes": (Segmentation, "in_form", _order, ("class_map", "probabilities", "full_size")),
    "classes shifted by one": (Segmentation, "finished", _shifted, ("class_map",)),
}


@pytest.mark.parametrize(("name", "form"), [(name, form) for name, (*_, forms) in MUTATIONS.items() for form in forms])
def test_the_check_sees_other_classes(name, form, model, tmp_path, monkeypatch):
    """Wherever a file's form is made: the Keras model's own logits are what its classes are compared with."""
    where, what, change, _ = MUTATIONS[name]
    monkeypatch.setattr(where, what, change)
    with pytest.raises(export.VerificationError, match="same pixels from 99.5%. Received"):
        convert(model, tmp_path / "model.mlpackage", form=form)
    assert not list(tmp_path.iterdir())


def test_the_check_sees_scores_behind_the_classes(model, tmp_path, monkeypatch):
    """A converter that resizes otherwise is off by far more than rounding, even where most classes stay the same."""
    from keras_mobattn.mil import OPS

    kept = OPS["resize_bilinear"]
    monkeypatch.setitem(OPS, "resize_bilinear", lambda **operands: kept(**operands | {"sampling_mode": "DEFAULT"}))
    accepted = export.Tolerance(1e-3, min_agreement=0.0)
    with pytest.raises(export.VerificationError, match="agree with Keras in 'scores'"):
        convert(model, tmp_path / "model.mlpackage", tolerance=accepted)


def test_an_image_of_one_class(model, tmp_path):
    """Scores tell right from wrong where the classes alone would not."""
    bias = model.get_layer("pixel_classifier").bias
    before = bias.numpy()
    try:
        bias.assign(before + np.float32([1e4, 0, 0, 0, 0]))
        assert convert(model, tmp_path / "model.mlpackage").agreement > 0.999
    finally:
        bias.assign(before)
    assert not export.CoreMLModel(tmp_path / "model.mlpackage").predict_on_batch(IMAGES[:1]).any()


@pytest.mark.parametrize("compression", ["int8", "palettized4"])
def test_compressions(compression, tmp_path):
    path = tmp_path / "model.mlpackage"
    report = convert(small_segmenter("deeplabv3"), path, "fp16", compression=compression)
    assert report.agreement > 0.8
    assert export.CoreMLModel(path).predict_on_batch(IMAGES[:1]).dtype == np.int32


def test_probabilities_in_half_precision(model, tmp_path):
    """Of pixels between two classes one may be off by more than is allowed in the mean; all being off is refused."""
    path = tmp_path / "model.mlpackage"
    report = convert(model, path, "fp16", form="full_size")
    assert report.max_abs_error > export.COREML_PRECISIONS["fp16"].tolerance.max_probability_error
    strict = export.Tolerance(0.2, max_probability_error=1e-6)
    with pytest.raises(export.VerificationError, match=r"1e-06 for probabilities.* in the mean of pixels"):
        convert(model, path, "fp16", form="full_size", tolerance=strict)


def test_a_second_head_is_left_out(tmp_path):
    model = small_segmenter("pspnet", auxiliary=True)
    path = tmp_path / "model.mlpackage"
    assert convert(model, path, check_images=IMAGES[:2]).agreement > 0.995
    assert export.CoreMLModel(path).given_names == ("class_map",)


def test_bad_options(model, tmp_path):
    path = tmp_path / "model.mlpackage"
    with pytest.raises(InputError, match="'class_map', 'logits', 'probabilities', 'full_size'. Received: 'vision'"):
        convert(model, path, form="vision")
    with pytest.raises(InputError, match="image segmenter, whose outputs are for one image size"):
        convert(model, path, input_sizes=[(128, 128)])
    with pytest.raises(InputError, match="one label for each of the segmenter's 5 classes"):
        convert(model, path, labels=NAMES[1:])
    assert not path.exists()


def test_two_classes_may_have_one_name(model, tmp_path):
    """As ADE20k's screens do: a class map has numbers."""
    labels = ("wall", "screen", "door", "screen", "lamp")
    convert(model, tmp_path / "model.mlpackage", labels=labels, check_images=IMAGES[:2])
    assert export.CoreMLModel(tmp_path / "model.mlpackage").labels == labels


def test_the_command_knows_all_forms():
    forms = [name for task in TASKS.values() for name, form in task.forms.items() if form.kind in (None, COREML.name)]
    assert list(catalog.FORMS[COREML.name]) == forms


# Random weights are harder than trained ones: some pixels' classes are nearly equal.
ROUGH = export.Tolerance(0.2, min_agreement=0.9, max_probability_error=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family, head, form, tmp_path):
    backbone = FAMILIES[family](include_top=False, input_shape=(*SIDES, 3))
    model = keras_mobattn.randomize_weights(HEADS[head](backbone, len(NAMES), width=16), 1)
    for precision, tolerance in (("fp32", None), ("fp16", ROUGH)):
        path = tmp_path / f"{precision}.mlpackage"
        report = convert(model, path, precision, form=form, check_images=IMAGES[:2], tolerance=tolerance)
        assert describe.describe_coreml(path).max_rank <= 4
        assert (report.headroom is None) == (precision == "fp32")
