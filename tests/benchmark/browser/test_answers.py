"""What the page makes of outputs, and the figures of its comparison, against what Python makes of the same numbers."""

import dataclasses

import numpy as np
import pytest

from helpers.in_node import in_node
from keras_mobattn.export.check import figures_of, worst_output
from keras_mobattn.tasks.classification import CLASSIFICATION
from keras_mobattn.tasks.detection.task import Detection
from keras_mobattn.tasks.segmentation import masks
from keras_mobattn.tasks.segmentation.task import Segmentation

IMPORTS = """
const {objectsOf, maskOf, answerOf} = await load('answers.js');
const {worst, agreementOf} = await load('compare.js');
const arrays = (outputs) =>
  Object.fromEntries(Object.entries(outputs).map(([name, values]) => [name, Float32Array.from(values)]));
"""
MAPS, SIZES = ((4, 4), (2, 2)), ((0.3, 0.5), (0.6, 0.9))
RNG = np.random.default_rng(0)


@dataclasses.dataclass
class File:
    """As much of a FileModel as a task asks for."""

    output_shape: dict | tuple
    given_names: tuple = ()
    input_shape: tuple = (None, 64, 64, 3)
    detector = None


def flat(outputs):
    return {name: np.asarray(values, float).ravel().tolist() for name, values in outputs.items()}


def detector(form, classes=3):
    task = Detection(MAPS, SIZES)
    count = len(task.anchors)
    offsets = RNG.normal(0, 1.5, (2, count, 4)).astype(np.float32)
    scores = RNG.normal(0, 2, (2, count, classes + (form == "raw"))).astype(np.float32)
    if form == "anchors":
        scores = np.float32(1 / (1 + np.exp(-scores)))
        outputs = {"location": offsets, "score": scores}
    else:
        outputs = {"boxes": offsets, "scores": scores}
    file = File({name: (None, *values.shape[1:]) for name, values in outputs.items()})
    return task, file, outputs


@pytest.mark.parametrize("form", ["raw", "anchors"])
def test_objects(form):
    task, file, outputs = detector(form)
    task.min_score = 0.3
    model = {"answer": task.page_answer(file), "labels": ["a", "b", "c"]}
    boxes, labels, scores = (each.numpy() for each in task.find(outputs))
    for index in range(2):
        given = {"model": model, "outputs": flat({name: values[index] for name, values in outputs.items()})}
        found = in_node(IMPORTS + "return objectsOf(given.model, arrays(given.outputs));", given)
        real = labels[index] >= 0
        assert 5 < real.sum() < len(labels[index])
        assert [each["number"] for each in found] == labels[index][real].tolist()
        np.testing.assert_allclose([each["score"] for each in found], scores[index][real], atol=1e-6)
        np.testing.assert_allclose([each["box"] for each in found], boxes[index][real], atol=1e-5)
        shown = in_node(IMPORTS + "return answerOf(given.model, arrays(given.outputs), 10, 10);", given)
        assert shown["kind"] == "boxes"
        assert len(shown["objects"]) == (scores[index][real] >= 0.3).sum()
        assert shown["objects"][0]["label"] == "abc"[labels[index][0]]


def test_objects_that_the_file_has_found():
    outputs = {"location": [[0.1, 0.2, 0.5, 0.6], [0, 0, 1, 1], [0] * 4], "category": [2, 0, 0], "score": [0.9, 0.2, 0]}
    shapes = {"location": (None, 3, 4), "category": (None, 3), "score": (None, 3), "number": (None, 1)}
    answer = Detection().page_answer(File({name: shapes[name] for name in shapes}))
    given = {"model": {"answer": answer, "labels": ["a", "b", "c"]}, "outputs": flat({**outputs, "number": [2]})}
    shown = in_node(IMPORTS + "return answerOf(given.model, arrays(given.outputs), 10, 10);", given)
    assert [(each["label"], round(each["score"], 3)) for each in shown["objects"]] == [("c", 0.9)]
    assert len(in_node(IMPORTS + "return objectsOf(given.model, arrays(given.outputs));", given)) == 2


@pytest.mark.parametrize("sides", [(64, 48), (5, 7), (1, 9)])
def test_masks(sides):
    logits = RNG.normal(0, 1, (1, 8, 6, 5)).astype(np.float32)
    file = File((None, 8, 6, 5), ("logits",))
    model = {"answer": Segmentation().for_file(file).page_answer(file), "labels": list("abcde"), "colours": ["#010203"]}
    given = {"model": model, "outputs": flat({"logits": logits}), "sides": sides}
    found = in_node(
        IMPORTS + "return [...maskOf(given.model, arrays(given.outputs), given.sides[1], given.sides[0])];", given
    )
    expected = masks.masks_of(logits, sides)[0].numpy()
    assert (np.reshape(found, sides) == expected).mean() > 0.999 - 1 / expected.size
    shown = in_node(IMPORTS + "return answerOf(given.model, arrays(given.outputs), 4, 4).classes;", given)
    assert sum(each["share"] for each in shown) == pytest.approx(1)
    colours = {each["label"]: each["colour"] for each in shown}
    assert all(colours.get(name, grey) == grey for name, grey in zip("bcde", [[128, 128, 128]] * 4, strict=True))


def test_classes():
    model = {"answer": CLASSIFICATION.page_answer(File((None, 3), ("probabilities",))), "labels": ["a", "b"]}
    run = IMPORTS + "return answerOf(given.model, arrays(given.outputs), 4, 4);"
    shown = in_node(run, {"model": model, "outputs": {"probabilities": [0.2, 0.5, 0.3]}})
    assert [each["label"] for each in shown["classes"]] == ["b", "class 2", "a"]
    shown = in_node(run, {"model": model, "outputs": {"probabilities": [0.75]}})  # the second class's
    assert shown["classes"] == [{"label": "b", "score": 0.75}, {"label": "a", "score": 0.25}]


def test_figures():
    expected = {"one": RNG.normal(0, 1, (4, 10)), "two": RNG.normal(5, 3, (4, 6))}
    received = {name: values + RNG.normal(0, 0.01, values.shape) for name, values in expected.items()}
    wanted = {name: figures_of(np.float32(expected[name]), np.float32(received[name])) for name in expected}
    rows = [flat({name: values[i] for name, values in received.items()}) for i in range(4)]
    given = {"expected": flat(expected), "rows": rows}
    found = in_node(IMPORTS + "return worst(arrays(given.expected), given.rows.map(arrays));", given)
    assert found.pop("output") == worst_output(wanted)
    assert found == pytest.approx(wanted[worst_output(wanted)], rel=1e-4)


def test_figures_of_a_broken_backend():
    run = IMPORTS + "return worst(arrays(given.expected), given.rows.map(arrays));"
    assert in_node(run, {"expected": {"one": [1, 2]}, "rows": [{"one": [1]}, {"one": [None]}]})["max_abs_error"] == 2
    nan = "given.rows[0].one[0] = NaN;"  # what comes after it is finite
    found = in_node(IMPORTS + nan + "return worst(arrays(given.expected), given.rows.map(arrays));",
                    {"expected": {"one": [1, 2]}, "rows": [{"one": [1]}, {"one": [2]}]})  # fmt: skip
    assert (found["max_abs_error"], found["snr_db"]) == (None, None)  # NaN in JSON: never below a limit


@pytest.mark.parametrize("how", ["exact", "rough"])
@pytest.mark.parametrize("noise", [0, 1e-3, 0.05, 0.3])
def test_agreement_of_detectors(noise, how):
    task, file, outputs = detector("raw")
    task.min_score = 0.3
    moved = {name: np.float32(values + RNG.normal(0, noise, values.shape)) for name, values in outputs.items()}
    model = {"answer": task.page_answer(file)}
    rows = [flat({name: values[i] for name, values in moved.items()}) for i in range(2)]
    given = {"model": model, "expected": flat(outputs), "rows": rows, "how": how}
    found = in_node(
        IMPORTS + "return agreementOf(given.model, arrays(given.expected), given.rows.map(arrays), given.how);", given
    )
    assert found == pytest.approx(task.agreement(outputs, moved, exact=how == "exact"), abs=1e-9)


def test_agreement_of_the_others():
    scores = RNG.normal(0, 1, (4, 3))
    moved = scores + [[0, 0, 0], [0, 9, 0], [0, 0, 0], [0, 0, 0]]
    run = IMPORTS + "return agreementOf(given.model, arrays(given.expected), given.rows.map(arrays), 'exact');"
    model = {"answer": {"kind": "classes", "output": "logits"}}
    given = {"model": model, "expected": flat({"logits": scores}), "rows": [{"logits": row.tolist()} for row in moved]}
    wanted = float(np.mean(scores.argmax(-1) == moved.argmax(-1)))
    assert in_node(run, given) == wanted == CLASSIFICATION.agreement({"logits": scores}, {"logits": moved})
    maps = RNG.normal(0, 1, (2, 6, 6, 4)).astype(np.float32)
    other = np.float32(maps + RNG.normal(0, 0.3, maps.shape))
    file = File((None, 6, 6, 4), ("logits",))
    task = Segmentation().for_file(file)
    model = {"answer": task.page_answer(file), "width": 64, "height": 64}
    given = {"model": model, "expected": flat({"logits": maps}), "rows": [flat({"logits": row}) for row in other]}
    assert in_node(run, given) == pytest.approx(task.agreement({"logits": maps}, {"logits": other}), abs=2e-3)
