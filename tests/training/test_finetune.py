"""Fine-tuning: the head first, rates that fall from block to block, losses weighted by class."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from sklearn.utils.class_weight import compute_class_weight

from helpers.cases import FAMILIES
from keras_mobattn.data import open_source
from keras_mobattn.data.reading import Indexed
from keras_mobattn.data.source import Source
from keras_mobattn.errors import InputError
from keras_mobattn.models import load_model
from keras_mobattn.names import HEADS, block_of
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.tasks import TASKS
from keras_mobattn.tasks.classification.objective import CrossEntropy
from keras_mobattn.tasks.objective import ClassWeighted
from keras_mobattn.training import Execution, TrainSettings, train
from keras_mobattn.training.build import build_model
from keras_mobattn.training.class_weights import balanced
from keras_mobattn.training.layer_decay import layer_scales
from keras_mobattn.training.optimizer import make_optimizer

SETTINGS = TrainSettings(
    variant="test", width=0.25, epochs=1, batch_size=256, image_size=32, head_epochs=1, layer_decay=0.5, ema_decay=0.0
)


def weights_of(model, head):
    """Of the head alone, or of all the rest."""
    layers = [layer for layer in model.layers if (layer.name in HEADS) is head]
    return [weight.numpy() for layer in layers for weight in layer.weights]


@pytest.mark.parametrize("family", FAMILIES)
def test_rates_fall_from_block_to_block(family):
    network = FAMILIES[family](input_shape=(64, 64, 3), classes=3)
    shares = layer_scales(network, 0.5)
    assert [id(weight) for weight, _ in shares] == [id(w) for layer in network.layers for w in layer.trainable_weights]
    by_layer = {layer.name: set() for layer in network.layers}
    for weight, factor in shares:
        (layer,) = (each for each in network.layers if any(weight is own for own in each.trainable_weights))
        by_layer[layer.name].add(factor)
    blocks = list(dict.fromkeys(filter(None, map(block_of, by_layer))))
    assert len(blocks) >= 2
    for name, factors in by_layer.items():
        if name in HEADS:
            assert factors == {1.0}
        elif (block := block_of(name)) and factors:
            assert factors == {0.5 ** (len(blocks) - blocks.index(block))}
    assert min(factor for _, factor in shares) == 0.5 ** (len(blocks) + 1)  # the stem's


def test_a_share_of_the_rate_moves_by_that_share():
    """AdamW's first step: decay rate * decay * weight, then rate in the gradient's direction."""
    settings = dataclasses.replace(SETTINGS, layer_decay=1.0, warmup_epochs=0.0, learning_rate=0.1, weight_decay=0.3)
    both = []
    for share in (1.0, 0.25):
        weight = tf.Variable([[2.0, -3.0]], name="a/kernel")
        optimizer, _ = make_optimizer(settings, 10, [weight], [(weight, share)])
        optimizer.apply_gradients([(tf.constant([[1.0, -1.0]]), weight)])
        rate = share * 0.1
        expected = np.array([[2.0, -3.0]]) * (1 - rate * 0.3) - rate * np.array([[1.0, -1.0]])
        np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-5)
        both.append(weight.numpy())
    assert not np.allclose(*both)


def test_layer_decay_is_adamws():
    with pytest.raises(InputError, match="optimizer='adamw' for layer_decay. Received: 'sgd' with 0.5"):
        dataclasses.replace(SETTINGS, optimizer="sgd")
    with pytest.raises(InputError, match="head_epochs=0 with trainable='head'"):
        dataclasses.replace(SETTINGS, trainable="head")


def test_balanced_is_scikit_learns():
    labels = np.array([0, 0, 0, 1, 2, 2, 0, 1])
    reader = Indexed(len(labels), lambda i: {"image": tf.zeros([4, 4, 3], tf.uint8), "label": tf.constant(labels)[i]})
    source = Source("made", ("a", "b", "c"), {"train": len(labels)}, {"train": lambda: reader})
    weights = balanced(TASKS["classification"], source)
    np.testing.assert_allclose(weights, compute_class_weight("balanced", classes=np.arange(3), y=labels), rtol=1e-6)
    with pytest.raises(InputError, match="training images of every class for class_weights. Received: none of d"):
        balanced(TASKS["classification"], dataclasses.replace(source, class_names=("a", "b", "c", "d")))
    with pytest.raises(InputError, match="images with a label each"):
        balanced(TASKS["classification"], dataclasses.replace(source, targets=("mask",)))
    mixed = np.float32([[1, 0, 0], [0, 0.75, 0.25]])
    probabilities = np.float32([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7]])
    plain, weighted = CrossEntropy(0.1), ClassWeighted(CrossEntropy(0.1), weights)
    expected = (mixed @ weights) * plain.losses(mixed, probabilities).numpy()
    np.testing.assert_allclose(weighted(None, mixed, {"outputs": probabilities}), expected, rtol=1e-6)
    np.testing.assert_array_equal(weighted.losses(mixed, probabilities), plain.losses(mixed, probabilities))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run in two phases that nothing interrupted."""
    folder = RunFolder(tmp_path_factory.mktemp("whole") / "run")
    train(SETTINGS, folder.path, progress=False)
    return folder


def test_the_head_learns_first_and_alone(whole):
    source = open_source("digits")
    keras.utils.set_random_seed(SETTINGS.seed)
    start, head, end = (
        build_model(SETTINGS, source.class_names),
        *(load_model(folder.model_file) for folder in (whole.head, whole)),
    )
    for one, other in zip(weights_of(start, False), weights_of(head, False), strict=True):
        np.testing.assert_array_equal(one, other)  # batch norms' statistics, too
    assert any((one != other).any() for one, other in zip(weights_of(start, True), weights_of(head, True), strict=True))
    assert all((one != other).any() for one, other in zip(weights_of(head, True), weights_of(end, True), strict=True))
    assert any((one != other).any() for one, other in zip(weights_of(head, False), weights_of(end, False), strict=True))
    result = whole.head.result
    assert (result["epochs"], whole.result["epochs"]) == (1, 1)
    assert whole.settings == SETTINGS
    assert whole.head.settings == SETTINGS.for_head()
    assert whole.head.settings.learning_rate == 10 * SETTINGS.learning_rate


STEPS = 1438 // 256  # of each phase


@pytest.mark.sampled
@pytest.mark.parametrize("phase", ["head", "all"])
def test_both_phases_resume_to_the_same_bits(phase, whole, tmp_path):
    """After the checkpoint of a phase's second step, the rest of it is trained, and no more."""
    folder, seen = RunFolder(tmp_path / "run"), []
    every_other = Execution(checkpoint_steps=2)

    def stop(batch, logs):
        seen.append(batch)
        if len(seen) == (3 if phase == "head" else STEPS + 3):
            raise KeyboardInterrupt

    interrupting = keras.callbacks.LambdaCallback(on_train_batch_end=stop)
    with pytest.raises(KeyboardInterrupt):
        train(SETTINGS, folder.path, execution=every_other, progress=False, callbacks=(interrupting,))
    assert folder.is_run
    assert folder.head.result_file.exists() is (phase == "all")
    assert not folder.result_file.exists()
    with pytest.raises(InputError, match="Expected a folder without a run"):
        train(SETTINGS, folder.path, progress=False)
    seen.clear()
    counting = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    train(folder.settings, folder.path, resume=True, progress=False, callbacks=(counting,))
    assert len(seen) == (STEPS - 2) + (STEPS if phase == "head" else 0)
    for one, other in ((folder, whole), (folder.head, whole.head)):
        pairs = zip(load_model(one.model_file).get_weights(), load_model(other.model_file).get_weights(), strict=True)
        for a, b in pairs:
            np.testing.assert_array_equal(a, b)
    results = [json.loads(each.result_file.read_text()) | {"seconds": 0} for each in (folder, whole)]
    assert results[0] == results[1]


@pytest.mark.sampled
def test_a_head_run_without_a_checkpoint_begins_anew(tmp_path):
    """With other settings, too: nothing of it is left."""
    folder = RunFolder(tmp_path / "run")

    def stop(batch, logs):
        raise KeyboardInterrupt

    interrupting = keras.callbacks.LambdaCallback(on_train_batch_end=stop)
    with pytest.raises(KeyboardInterrupt):
        train(SETTINGS, folder.path, progress=False, callbacks=(interrupting,))
    other = dataclasses.replace(SETTINGS, learning_rate=1e-3)
    train(other, folder.path, progress=False)
    assert folder.head.settings == other.for_head()


def test_training_the_head_needs_one():
    network = keras.Sequential([keras.layers.Dense(3, name="last")])
    network.build((None, 4))
    from keras_mobattn.training.layer_decay import freeze_all_but_head

    with pytest.raises(InputError, match="Expected a model with a layer 'predictions' for trainable='head'"):
        freeze_all_but_head(network)
