"""The task: what a batch teaches, how detections are scored, drawn and told, and what it refuses."""

import functools

import numpy as np
import pytest
import rich.console
import tensorflow as tf
import tf_keras as keras

import keras_mobattn
from keras_mobattn import InputError
from keras_mobattn.models import load_model
from keras_mobattn.names import ATTENTION, part_of
from keras_mobattn.tasks import TASKS, task_of
from keras_mobattn.tasks.detection import DETECTION, Detection, SSDLite, anchors_of, detect
from keras_mobattn.tasks.detection.boxes import encode_boxes, to_centers
from keras_mobattn.tasks.detection.draw import colours_of, draw_boxes
from keras_mobattn.tasks.detection.matcher import match
from keras_mobattn.tasks.detection.start import is_detector_file, start_from
from keras_mobattn.training import TrainSettings

NAMES = ("ant", "bee", "cat")
SIDES = (200, 400)


@pytest.fixture(scope="module")
def model():
    backbone = keras_mobattn.MobileViTv2(variant="test", include_top=False, input_shape=(64, 128, 3))
    return keras_mobattn.randomize_weights(SSDLite(backbone, len(NAMES)), 3)


@pytest.fixture(scope="module")
def task(model):
    return task_of(model)


def raw(task, objects):
    """Outputs [1, ..] of a detector that finds `objects`, [(corners, label, score)], by the nearest anchors."""
    count = len(task.anchors)
    offsets, scores = np.zeros((1, count, 4), np.float32), np.zeros((1, count, 1 + len(NAMES)), np.float32)
    scores[..., 0] = 20
    for place, (corners, label, score) in enumerate(objects):
        corners = np.float32([corners])
        offsets[0, place] = encode_boxes(to_centers(corners), task.anchors[place : place + 1]).numpy()
        scores[0, place] = -20
        scores[0, place, [0, 1 + label]] = 0, np.log(score / (1 - score))
    return {"boxes": offsets, "scores": scores}


def truth(rows, sides=SIDES):
    """What an evaluation is told of one image, [(corners, label)]."""
    boxes = np.float32([box for box, _ in rows]).reshape(1, -1, 4)
    return {"boxes": boxes, "box_labels": np.array([[label for _, label in rows]]), "sides": np.array([sides])}


def judged(task, *images):
    tally = task.tally(NAMES)
    for objects, found in images:
        tally.add(truth(objects), raw(task, found))
    return tally.result()


ONE, OTHER = (0.1, 0.1, 0.5, 0.3), (0.6, 0.5, 0.9, 0.9)


def test_all_that_was_found(task):
    result = judged(
        task,
        ([(ONE, 0), (OTHER, 2)], [(ONE, 0, 0.9), (OTHER, 2, 0.8)]),
        ([(ONE, 2)], [(ONE, 2, 0.7)]),
        ([], []),
    )
    assert {name: result[name] for name in ("map", "map50", "map75", "recall")} == dict.fromkeys(
        ("map", "map50", "map75", "recall"), pytest.approx(1.0, abs=1e-6)
    )
    # 80 x 80 pixels of a photo of 200 x 400, and 60 x 160: none is small.
    assert (result["map_medium"], result["map_large"]) == (pytest.approx(1.0), pytest.approx(1.0))
    assert "map_small" not in result
    assert result["num_images"] == 3
    np.testing.assert_array_equal(result["objects"], [1, 0, 2])
    np.testing.assert_allclose(result["class_map"], [1, np.nan, 1], atol=1e-6)
    np.testing.assert_allclose(result["precision"], np.ones(101), atol=1e-6)


def test_what_a_shifted_box_is_worth(task):
    """Moved by a quarter of its width a box overlaps itself by .6: right at .5, .55 and .6, wrong at seven others."""
    moved = (0.1, 0.15, 0.5, 0.35)
    result = judged(task, ([(ONE, 0)], [(moved, 0, 0.9)]))
    assert result["map50"] == pytest.approx(1.0)
    assert result["map"] == pytest.approx(0.3, abs=0.001) or result["map"] == pytest.approx(0.2, abs=0.001)
    assert result["map75"] == 0


def test_a_class_that_the_images_do_not_have(task):
    """Of a file without labels, nobody knows which of its classes are the images'."""
    tally = task.tally(NAMES[:2])
    with pytest.raises(
        InputError, match="the images' 2 classes. Received: one that finds class number 2, counted from 0"
    ):
        tally.add(truth([(ONE, 0)]), raw(task, [(ONE, 0, 0.9), (OTHER, 2, 0.8)]))


def test_wrong_classes_doubles_and_nothing(task):
    assert judged(task, ([(ONE, 0)], [(ONE, 1, 0.9)]))["map"] == 0
    # A false one with a higher score halves the precision; one with a lower score comes after full recall.
    result = judged(task, ([(ONE, 0)], [(OTHER, 0, 0.9), (ONE, 0, 0.8)]))
    assert result["map50"] == pytest.approx(0.5, abs=1e-3)
    result = judged(task, ([(ONE, 0)], [(ONE, 0, 0.9), (OTHER, 0, 0.8)]))
    assert result["map50"] == pytest.approx(1.0, abs=1e-3)
    nothing = judged(task, ([(ONE, 0), (OTHER, 1)], []))
    assert (nothing["map"], nothing["recall"]) == (0, 0)
    with pytest.raises(InputError, match="Expected boxes among the 1 images to evaluate on. Received: none"):
        judged(task, ([], [(ONE, 0, 0.9)]))


def test_the_report(task):
    result = judged(task, ([(ONE, 0), (OTHER, 2)], [(ONE, 0, 0.9)]))
    console = rich.console.Console(width=70, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for part in task.report("runs/[old] on boxes", result, ("ant", "bee [small]", "cat")):
        console.print(part, markup=False)  # as `mobattn evaluate`
    text = console.export_text()
    assert "runs/[old] on boxes" in text
    assert "│ bee [small] │" in text
    assert "AP50: 50.00 %" in text
    assert "recall, 100 boxes an image: 50.00 %" in text
    assert [line.split("│")[1:5] for line in text.splitlines() if "bee" in line][0][1].strip() == "0"
    assert task.last_words({"test_map": 0.4213}) == "Test mAP 42.13 %"


def test_the_worst_images(task):
    near = (0.12, 0.1, 0.5, 0.3)
    result = judged(
        task,
        ([(ONE, 0)], [(near, 0, 0.9)]),
        ([(ONE, 0), (OTHER, 1)], [(ONE, 0, 0.9), (near, 0, 0.8), ((0.55, 0.45, 0.85, 0.85), 2, 0.7), (OTHER, 1, 0.1)]),
        ([(ONE, 0)], []),
    )
    (first, caption, draw), (second, other, _) = task.worst(result, NAMES)
    assert (first, second) == (1, 2)
    # Of two boxes on one object the better is right; NMS leaves one of these two. One of the class 2 is none.
    assert caption == "1 missed,\n1 false"
    assert other == "1 missed,\n0 false"
    drawn = draw(np.zeros((*SIDES, 3), np.uint8))
    colours = {tuple(pixel) for pixel in drawn.reshape(-1, 3)}
    assert {(0x1F, 0xA4, 0x63), (0xE5, 0x48, 0x4D), (0xF0, 0x85, 0x2D)} <= colours
    columns, rows = task.class_table(result, NAMES)
    assert len(columns) == len(rows[0]) == len(rows[-1])


def test_what_a_batch_teaches(task):
    boxes = np.float32([[ONE, OTHER], [OTHER, (0, 0, 0, 0)]])
    labels = np.array([[0, 2], [1, -1]])
    learned = task.encode(None, {"boxes": tf.constant(boxes), "box_labels": tf.constant(labels)}, None)
    for image in range(2):
        classes, offsets = match(boxes[image], labels[image], task.anchors)
        np.testing.assert_array_equal(learned["classes"][image], classes)
        np.testing.assert_array_equal(learned["offsets"][image], offsets)
    assert {name: each.shape[1:] for name, each in learned.items()} == {
        "classes": (len(task.anchors),),
        "offsets": (len(task.anchors), 4),
    }
    plain = DETECTION.encode(None, {"boxes": boxes, "box_labels": labels, "sides": SIDES}, None)
    assert set(plain) == {"boxes", "box_labels"}


def test_the_anchors_are_the_models(model, task, tmp_path):
    np.testing.assert_array_equal(task.anchors, anchors_of(model))
    again = TASKS["detection"].from_facts(task.facts)
    np.testing.assert_array_equal(again.anchors, task.anchors)
    assert DETECTION.anchors is None
    assert DETECTION.facts == {}
    assert DETECTION.from_facts({}) is DETECTION


def test_one_image(model, task):
    record = task.record(raw(task, [(ONE, 0, 0.9), (OTHER, 2, 0.6), (OTHER, 1, 0.1)]), NAMES, 5, SIDES)
    assert [(each["class"], each["score"]) for each in record["objects"]] == [
        ("ant", pytest.approx(0.9, abs=1e-4)),
        ("cat", pytest.approx(0.6, abs=1e-4)),
    ]
    np.testing.assert_allclose(record["objects"][0]["bbox"], [40, 20, 80, 80], atol=0.05)
    assert task.in_words(record) == "ant, cat"
    assert task.in_words({"objects": [{"class": name} for name in ("cat", "ant", "cat")]}) == "cat ×2, ant"
    assert task.in_words({"objects": []}) == "none above 0.3"
    drawn = task.picture(None, np.zeros((*SIDES, 3), np.uint8), record)
    assert drawn.shape == (*SIDES, 3)
    for (x, y, width, height), colour in zip(
        (each["bbox"] for each in record["objects"]), ((59, 130, 246), (240, 133, 45)), strict=True
    ):
        row, column = round(y + height - 1), round(x + width / 2)
        np.testing.assert_array_equal(drawn[row, column], colour)
        assert (drawn[round(y + height / 2) + 20, column] == 0).all()


def test_detect(model):
    image = np.random.default_rng(0).integers(0, 255, (90, 70, 3), np.uint8)
    found = detect(model, image, 0.0)
    assert len(found.boxes) == len(found.labels) == len(found.scores) > 0
    assert (np.diff(found.scores) <= 0).all()
    assert (found.boxes >= 0).all()
    assert (found.boxes <= np.tile((90, 70), 2)).all()
    fewer = detect(model, image, float(found.scores[3]) + 1e-6)
    assert len(fewer.scores) <= 3
    with pytest.raises(InputError, match="Expected a detector, as SSDLite builds it"):
        detect(keras_mobattn.MobileViTv2(variant="test", input_shape=(64, 64, 3)), image)
    with pytest.raises(InputError, match="min_score to be .* 0 to 1. Received: 2"):
        detect(model, image, 2)
    with pytest.raises(InputError, match="an image of uint8"):
        detect(model, image / 255)


def test_boxes_are_drawn_within_the_image():
    image = np.full((20, 30, 3), 200, np.uint8)
    for box in ((0, 0, 20, 30), (-5, -5, 40, 50), (5, 5, 5, 5), (18, 25, 20, 30)):
        assert draw_boxes(image, [box], colours_of([10]), ["a long name 0.99"]).shape == image.shape


def test_settings_that_mean_nothing():
    base = {"task": "detection", "label_smoothing": 0.0}
    DETECTION.expect_settings(TrainSettings(**base))
    for bad in ({"label_smoothing": 0.1}, {"test_crop": 0.9}, {"class_weights": True}, {"sizes": (64, 128)}):
        with pytest.raises(InputError, match=f"Expected {next(iter(bad))}=.* for a detector"):
            DETECTION.expect_settings(TrainSettings(**base | bad))
    for bad in ({"anchors": "ssd"}, {"finest_stride": 8}):
        with pytest.raises(InputError, match=f"Expected {next(iter(bad))} to be left out for this task"):
            TASKS["classification"].expect_settings(TrainSettings(**bad))


def test_starting_from_another_detector(model, tmp_path):
    path = tmp_path / "model.keras"
    model.save(path)
    assert is_detector_file(path)
    (tmp_path / "settings.json").write_text("{}")
    (tmp_path / "labels.txt").write_text("".join(f"{name}\n" for name in NAMES))
    other = SSDLite(keras_mobattn.MobileViTv2(variant="test", include_top=False, input_shape=(64, 128, 3)), 4)
    before = {layer.name: layer.get_weights() for layer in other.layers}
    with pytest.warns(UserWarning, match="knows 2 of the 4 classes: dog, eel start anew"):
        start_from(other, path, ("cat", "dog", "ant", "eel"))
    for layer in other.layers:
        theirs = model.get_layer(layer.name).get_weights()
        if not layer.name.endswith("_scores") or not theirs:
            for one, two in zip(layer.get_weights(), theirs, strict=True):
                np.testing.assert_array_equal(one, two)
            continue
        for one, two, initial in zip(layer.get_weights(), theirs, before[layer.name], strict=True):
            one, initial = (each.reshape(*each.shape[:-1], -1, 5) for each in (one, initial))
            two = two.reshape(*two.shape[:-1], -1, 4)
            np.testing.assert_array_equal(one[..., [0, 1, 3]], two[..., [0, 3, 1]])  # background, cat, ant
            np.testing.assert_array_equal(one[..., [2, 4]], initial[..., [2, 4]])
    (tmp_path / "settings.json").unlink()  # no run, whose classes would be known
    same = SSDLite(keras_mobattn.MobileViTv2(variant="test", include_top=False, input_shape=(64, 128, 3)), 3)
    with pytest.warns(UserWarning, match="does not name its classes: they are .* cat, bee, ant in that order"):
        start_from(same, path, ("cat", "bee", "ant"))
    wider = SSDLite(keras_mobattn.MobileViTv2(width=0.5, include_top=False, input_shape=(64, 128, 3)), 3)
    with pytest.raises(InputError, match="Expected weights of ssdlite_mobilevitv2_050 with 3 classes"):
        start_from(wider, path, NAMES)


def test_another_attention_is_another_detector(tmp_path):
    """Its weights have the same names and shapes: Mobile-Attention's are softmax attention's."""
    build = functools.partial(keras_mobattn.MobileViT, variant="test", include_top=False, input_shape=(64, 128, 3))
    path = tmp_path / "model.keras"
    earlier = keras_mobattn.randomize_weights(SSDLite(build(), 3), 4)
    earlier.save(path)
    with pytest.raises(
        InputError, match="attention as in .*model.keras', whose .* is SoftmaxAttention.*Received: Mobile"
    ):
        start_from(SSDLite(build(attention="mobile"), 3), path, NAMES)
    new = SSDLite(build(attention="mobile"), 3)
    before = {layer.name: layer.get_weights() for layer in new.layers}
    with pytest.warns(UserWarning, match="does not name its classes"):
        start_from(new, path, NAMES, skip="attention")
    for layer in new.layers:
        kept = before[layer.name] if part_of(layer.name) == ATTENTION else earlier.get_layer(layer.name).get_weights()
        for one, other in zip(layer.get_weights(), kept, strict=True):
            np.testing.assert_array_equal(one, other)


def test_files_of_others_are_no_detectors(tmp_path):
    classifier = keras_mobattn.MobileViTv2(variant="test", input_shape=(64, 64, 3), classes=3)
    classifier.save(tmp_path / "classifier.keras")
    (tmp_path / "damaged.keras").write_bytes(b"no zip")
    for name in ("classifier.keras", "damaged.keras", "missing.keras", "weights.pt", "imagenet"):
        assert not is_detector_file(tmp_path / name)
    assert task_of(load_model(tmp_path / "classifier.keras")) is TASKS["classification"]
    image = keras.Input((8, 8, 3))
    two = {"boxes": keras.layers.Flatten()(image), "scores": keras.layers.Flatten()(image)}
    assert not isinstance(task_of(keras.Model(image, two)), Detection)


def test_a_low_score_is_no_floor(model, task):
    """Objects below the .01 of an evaluation are there where they are asked for, by `detect` and of outputs."""
    image = np.zeros((64, 128, 3), np.uint8)
    low = detect(model, image, 0.0)
    assert len(low.scores) >= len(detect(model, image, 0.01).scores)
    outputs = raw(task, [(ONE, 0, 0.9), (OTHER, 1, 0.004)])
    asked = Detection(task.maps, task.sizes, min_score=0.002)
    assert asked.objects(outputs, SIDES).labels.tolist() == [0, 1]
    assert Detection(task.maps, task.sizes, min_score=0.01).objects(outputs, SIDES).labels.tolist() == [0]
