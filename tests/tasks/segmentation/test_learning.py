"""The loss against torch's formula in float64, and the figures against tf_keras's and by hand."""

import io

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from PIL import Image

from keras_mobattn import InputError
from keras_mobattn.data.targets import IGNORED, WHOLE_MASK
from keras_mobattn.tasks.segmentation.draw import mask_png
from keras_mobattn.tasks.segmentation.evaluation import WORST, SegmentationTally, confusion_of, iou_of
from keras_mobattn.tasks.segmentation.loss import SegmentationLoss, pixel_losses
from keras_mobattn.tasks.segmentation.masks import masks_of

CLASSES = 5
NAMES = ("background", "ant", "bee", "cat", "dog")


def drawn(batch=3, sides=(12, 20), coarse=(3, 5), seed=0):
    """Masks with pixels that don't count, and logits."""
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, CLASSES, (batch, *sides)).astype(np.uint8)
    mask[rng.uniform(size=mask.shape) < 0.2] = IGNORED
    mask[-1] = IGNORED
    return mask, rng.normal(0, 2, (batch, *coarse, CLASSES)).astype(np.float32)


def enlarged(logits, sides):
    """[h, w, K] in float64, bilinear with aligned corners."""
    places = [np.arange(side) * (coarse - 1) / (side - 1) for side, coarse in zip(sides, logits.shape[:2], strict=True)]
    rows = [np.maximum(0, 1 - np.abs(at[:, None] - np.arange(n))) for at, n in zip(places, logits.shape, strict=False)]
    return np.einsum("Hh,Ww,hwk->HWk", *rows, logits.astype(np.float64))


def entropies(mask, logits):
    """Of each pixel that counts, by class: (entropies, classes)."""
    found = []
    for each, scores in zip(mask, logits, strict=True):
        scores = enlarged(scores, each.shape)
        logs = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
        counts = each != IGNORED
        picked = np.take_along_axis(logs, np.where(counts, each, 0)[..., None].astype(int), -1)[..., 0]
        found.append((-picked[counts], each[counts]))
    return found


@pytest.mark.parametrize("weights", [None, (0.5, 3.0, 1.0, 0.0, 2.0)])
def test_the_loss_is_the_mean_over_pixels_that_count(weights):
    mask, logits = drawn()
    given = None if weights is None else tf.constant(weights, tf.float32)
    losses = pixel_losses(tf.constant(mask), tf.constant(logits), given).numpy()
    found = entropies(mask, logits)
    each = [np.ones(CLASSES) if weights is None else np.array(weights)] * len(mask)
    sums = [(each[0][classes] * values).sum() for values, classes in found]
    total = sum(each[0][classes].sum() for _, classes in found)
    np.testing.assert_allclose(losses.mean(), sum(sums) / total, rtol=1e-5)
    np.testing.assert_allclose(losses, np.array(sums) * len(mask) / total, rtol=1e-5, atol=1e-7)
    assert losses[-1] == 0


def test_a_batch_without_pixels_that_count_has_no_loss_and_no_gradient():
    _, logits = drawn()
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(pixel_losses(tf.fill([3, 12, 20], np.uint8(IGNORED)), variable))
    assert loss.numpy() == 0
    assert not tape.gradient(loss, variable).numpy().any()


def test_the_auxiliary_head_counts_in_training_alone():
    mask, logits = drawn()
    outputs = {"logits": tf.constant(logits), "auxiliary": tf.constant(logits[..., ::-1].copy())}
    learned, objective = {"mask": tf.constant(mask)}, SegmentationLoss(0.4)
    plain, other = (pixel_losses(learned["mask"], outputs[name]).numpy() for name in ("logits", "auxiliary"))
    np.testing.assert_allclose(objective(None, learned, {"outputs": outputs}), plain + 0.4 * other, rtol=1e-6)
    np.testing.assert_allclose(objective.losses(learned, outputs), plain)
    np.testing.assert_allclose(objective(None, learned, {"outputs": outputs["logits"]}), plain)
    weighted = objective.weighted(np.float32([0, 0, 0, 0, 0]))
    assert not weighted(None, learned, {"outputs": outputs}).numpy().any()
    np.testing.assert_allclose(weighted.losses(learned, outputs), plain)  # evaluation has no weights


def test_masks_are_the_best_class_after_resizing():
    _, logits = drawn()
    expected = np.stack([enlarged(each, (13, 17)).argmax(-1) for each in logits])
    np.testing.assert_array_equal(masks_of(logits, (13, 17)), expected)
    np.testing.assert_array_equal(masks_of({"auxiliary": -logits, "logits": logits}, (13, 17)), expected)


def test_class_numbers_go_to_the_nearest():
    classes = np.arange(6).reshape(1, 2, 3)
    expected = np.kron(classes[0], np.ones((2, 2), int))
    np.testing.assert_array_equal(masks_of(classes, (4, 6))[0], expected)
    np.testing.assert_array_equal(masks_of(np.repeat(classes, 2, 1), (2, 3)), classes)


def judged(pairs):
    """The result for [(truth, logits at the truth's size)]."""
    tally = SegmentationTally(NAMES)
    for truth, logits in pairs:
        tally.add({WHOLE_MASK: np.array([mask_png(truth)])}, logits[None])
    return tally.result()


def test_a_class_that_the_images_do_not_have():
    """It would be counted as another class of another truth."""
    tally = SegmentationTally(NAMES[:2])
    truth, logits = np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)
    logits[1, 1, 2] = 1
    with pytest.raises(InputError, match="the images' 2 classes. Received: one that finds class number 2"):
        tally.add({WHOLE_MASK: np.array([mask_png(truth)])}, logits[None])


def images(count=6):
    """Truths of different sizes with logits of their sizes."""
    rng = np.random.default_rng(7)
    for _ in range(count):
        sides = rng.integers(5, 40, 2)
        truth = rng.integers(0, CLASSES - 1, sides).astype(np.uint8)  # no dog
        logits = rng.normal(0, 1, (*sides, CLASSES)).astype(np.float32) + 1.5 * np.eye(CLASSES)[truth]
        truth[rng.uniform(size=truth.shape) < 0.1] = IGNORED
        yield truth, logits.astype(np.float32)


def test_figures():
    pairs = list(images())
    result = judged(pairs)
    theirs = keras.metrics.MeanIoU(CLASSES, ignore_class=IGNORED)
    right = total = 0
    for truth, logits in pairs:
        theirs.update_state(truth.astype(np.int32), logits.argmax(-1))
        counts = truth != IGNORED
        right, total = right + (logits.argmax(-1) == truth)[counts].sum(), total + counts.sum()
    assert result["miou"] == pytest.approx(float(theirs.result()), abs=1e-6)
    assert result["pixel_accuracy"] == pytest.approx(right / total)
    assert result["num_images"] == len(pairs)
    assert result["pixel_confusion"].sum() == total
    assert result["class_iou"][4] == 0  # predicted, never there
    assert np.isnan(result["class_accuracy"][4])
    assert result["mean_accuracy"] == pytest.approx(np.nanmean(result["class_accuracy"]))


def test_a_class_that_occurs_nowhere_does_not_count():
    truth = np.zeros((4, 4), np.uint8)
    truth[:2] = 1
    mask = truth.copy()
    mask[0] = 0  # a quarter of the pixels: ant 4 of 8, background 8 of 12
    iou = iou_of(confusion_of(truth, mask, CLASSES))
    np.testing.assert_allclose(iou[:2], [8 / 12, 4 / 8])
    assert np.isnan(iou[2:]).all()


def test_the_worst_come_first_with_their_masks():
    pairs = list(images())
    pairs.insert(2, (np.zeros((8, 8), np.uint8), np.eye(CLASSES, dtype=np.float32)[np.ones((8, 8), int)]))  # all wrong
    pairs.append((np.zeros((8, 8), np.uint8), np.eye(CLASSES, dtype=np.float32)[np.zeros((8, 8), int)]))  # all right
    worst = judged(pairs)["worst"]
    assert [index for index, *_ in worst][0] == 2
    assert len(worst) == judged(pairs)["mistaken"] == len(pairs) - 1 <= WORST
    values = [value for _, value, *_ in worst]
    assert values == sorted(values)
    for index, _, truth, mask in worst:
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(truth))), pairs[index][0])
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(mask))), pairs[index][1].argmax(-1))


def test_only_so_many_of_the_worst_are_kept():
    pairs = list(images(WORST + 9))
    result = judged(pairs)
    each = [np.nanmean(iou_of(confusion_of(truth, logits.argmax(-1), CLASSES))) for truth, logits in pairs]
    assert [index for index, *_ in result["worst"]] == np.argsort(each, kind="stable")[:WORST].tolist()


def test_all_ignored_is_refused():
    with pytest.raises(InputError, match="Expected pixels that count.*Received: none, all are 255"):
        judged([(np.full((4, 4), IGNORED, np.uint8), np.zeros((4, 4, CLASSES), np.float32))])
