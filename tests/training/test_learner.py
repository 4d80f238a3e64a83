"""One training step against formulas: schedule, optimizer, averages, accumulation, NaN, traces."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from helpers.cases import FAMILIES
from keras_mobattn.catalog import CLIPS
from keras_mobattn.layers import global_policy
from keras_mobattn.tasks.classification import CLASSIFICATION
from keras_mobattn.tasks.classification.objective import CrossEntropy
from keras_mobattn.training import TrainSettings
from keras_mobattn.training.build import copy_model, make_learner
from keras_mobattn.training.learner import Learner
from keras_mobattn.training.optimizer import WarmupCosine, make_optimizer, schedule

SETTINGS = TrainSettings(epochs=2, batch_size=8, learning_rate=0.1, warmup_epochs=0.0, ema_decay=0.5)


def tiny(norm=True):
    """A convolution, batch norm and a softmax: everything that a step treats in its own way, in few weights."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(4, 3, use_bias=False), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3), keras.layers.Softmax(dtype="float32")]
    image = x = keras.Input((None, None, 3))
    for layer in layers if norm else [layers[0], *layers[2:]]:
        x = layer(x)
    return keras.Model(image, x)


def learner_of(settings=SETTINGS, norm=True, **options):
    model = tiny(norm)
    network = copy_model(model)
    optimizer, decayed = make_optimizer(settings, 10, network.trainable_weights)
    options = {"clip_norm": settings.clip_norm, "ema_decay": settings.ema_decay, **options}
    options = {"task": CLASSIFICATION, "loss": CrossEntropy(), **options}
    return Learner(network, model, optimizer, coupled_decay=(settings.weight_decay, decayed), **options)


def batch(count=8, side=8, seed=0):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.uniform(0, 1, (count, side, side, 3)), tf.float32), tf.one_hot(
        rng.integers(3, size=count), 3
    )


def take_step(learner, *batches):
    function, data = learner.make_train_function(), iter(batches)
    return [function(data) for _ in batches][-1]


def values(variables):
    return [variable.numpy() for variable in variables]


def equal(one, other, **tolerance):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, **tolerance)


def test_schedule_equals_the_formula():
    rates = WarmupCosine(peak=3.0, floor=0.5, warmup_steps=4, total_steps=20, start=1.0)
    steps = np.arange(30)
    cosine = 0.5 + 2.5 * (1 + np.cos(np.pi * np.clip((steps - 4) / 16, 0, 1))) / 2
    expected = np.where(steps < 4, 1.0 + 2.0 * (steps + 1) / 4, cosine)
    np.testing.assert_allclose([float(rates(step)) for step in steps], expected, rtol=1e-6)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(rates))
    assert float(again(7)) == float(rates(7))
    assert float(WarmupCosine(1.0, 0.1, 0, 10)(0)) == 1.0


BATCH_RULES = {"adamw": 2.0, "sgd": 4.0}  # what four times the batch makes of the learning rates


@pytest.mark.parametrize("optimizer", BATCH_RULES)
def test_learning_rate_follows_the_batch(optimizer):
    base = dataclasses.replace(
        SETTINGS, optimizer=optimizer, base_batch_size=8, warmup_steps=8, warmup_learning_rate=0.01, epochs=4
    )
    small, large = (schedule(dataclasses.replace(base, batch_size=size), 10) for size in (8, 32))
    factor = BATCH_RULES[optimizer]
    assert (small.peak, small.floor, small.start, small.warmup_steps, small.total_steps) == (0.1, 0.01, 0.01, 8, 40)
    np.testing.assert_allclose((large.peak, large.floor, large.start), (0.1 * factor, 0.01 * factor, 0.01 * factor))
    assert large.warmup_steps == 2
    constant = schedule(dataclasses.replace(base, schedule="constant"), 10)
    assert float(constant(39)) == pytest.approx(0.1)
    assert schedule(dataclasses.replace(base, min_learning_rate=1e-6), 10).floor == 1e-6


# Keras computes 1 - .999 ** t in float32, which is off by 5e-5 in the first step; the steps are of .1.
TORCH_TOLERANCE = {"adamw": 5e-5, "sgd": 2e-6}


@pytest.mark.parametrize("decay_1d", [False, True])
@pytest.mark.parametrize("optimizer", TORCH_TOLERANCE)
def test_decay_is_torchs(optimizer, decay_1d):
    """Three steps with the same gradients against torch's own optimizers."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    settings = dataclasses.replace(
        SETTINGS, optimizer=optimizer, decay_1d=decay_1d, weight_decay=0.1, schedule="constant", clip_norm=None
    )
    learner = learner_of(settings)
    weights = learner.network.trainable_weights
    theirs = [torch.nn.Parameter(torch.tensor(weight.numpy())) for weight in weights]
    decays = [0.1 if decay_1d or weight.shape.rank > 1 else 0.0 for weight in weights]
    groups = [{"params": [p], "weight_decay": decay} for p, decay in zip(theirs, decays, strict=True)]
    make = {"adamw": torch.optim.AdamW, "sgd": lambda groups, lr: torch.optim.SGD(groups, lr, momentum=0.9)}
    peer = make[optimizer](groups, lr=0.1)
    rng = np.random.default_rng(1)
    seen = (tf.zeros(1), *batch(1)[1:], tf.ones((1, 3)) / 3)
    for _ in range(3):
        gradients = [rng.normal(size=weight.shape).astype("float32") for weight in weights]
        learner._learn([tf.constant(gradient) for gradient in gradients], seen)
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = torch.tensor(gradient)
        peer.step()
    equal(values(weights), [parameter.detach().numpy() for parameter in theirs], atol=TORCH_TOLERANCE[optimizer])


NOT_DECAYED = {"gamma", "beta", "bias", "class_token", "dist_token", "prefix_position", "position", "attention_biases"}


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_not_decayed(family):
    """timm's `no_weight_decay` and its rule for 1-D weights."""
    options = {"distilled": True} if family == "DeiT" else {}
    weights = FAMILIES[family](input_shape=(32, 32, 3), attention="own", **options).trainable_weights
    _, decayed = make_optimizer(dataclasses.replace(SETTINGS, optimizer="sgd"), 10, weights)
    kinds = {weight.name.split("/")[-1].split(":")[0]: any(weight is each for each in decayed) for weight in weights}
    assert {kind for kind, is_decayed in kinds.items() if not is_decayed} == NOT_DECAYED & set(kinds)
    assert {kind for kind, is_decayed in kinds.items() if is_decayed} <= {"kernel", "depthwise_kernel"}


def test_averages_equal_the_formula():
    learner = learner_of()
    expected = [weight.astype(np.float64) for weight in values(learner.network.weights)]
    for step in range(1, 5):
        take_step(learner, batch(seed=step))
        decay = min(0.5, (1 + step) / (10 + step))
        expected = [decay * e + (1 - decay) * w for e, w in zip(expected, values(learner.network.weights), strict=True)]
    equal(values(learner.state.averages), expected, atol=1e-6)
    assert not np.allclose(learner.averaged.weights[0], learner.state.averages[0])
    learner.publish()
    equal(values(learner.averaged.weights), expected, atol=1e-6)


@pytest.mark.parametrize(("parts", "jit_compile"), [(2, False), (4, False), (4, True)])
def test_accumulated_step_is_the_large_batchs(parts, jit_compile):
    whole = learner_of(norm=False)
    accumulated = learner_of(norm=False, grad_accum_steps=parts, jit_compile=jit_compile)
    logs = [take_step(learner, batch(), batch(seed=1)) for learner in (whole, accumulated)]
    equal(values(whole.network.weights), values(accumulated.network.weights), atol=2e-6)
    equal(values(whole.optimizer.variables), values(accumulated.optimizer.variables), atol=2e-6)
    assert {name: float(value) for name, value in logs[0].items()} == pytest.approx(
        {name: float(value) for name, value in logs[1].items()}, rel=1e-5
    )


def test_gradients_are_clipped_to_the_norm():
    """With SGD's first step, weight - new weight = rate * gradient."""
    settings = dataclasses.replace(SETTINGS, optimizer="sgd", weight_decay=0.0, clip_norm=1e-3, schedule="constant")
    learner = learner_of(settings)
    before = values(learner.network.trainable_weights)
    take_step(learner, batch())
    moved = [b - w for b, w in zip(before, values(learner.network.trainable_weights), strict=True)]
    assert np.sqrt(sum(np.sum(np.square(m)) for m in moved)) == pytest.approx(0.1 * 1e-3, rel=1e-3)


def test_units_are_clipped_as_timms(timm):
    """Kernels of convolutions, depthwise ones and dense layers in torch's axes, and vectors; some are far below."""
    import torch
    from timm.utils.agc import adaptive_clip_grad

    rng = np.random.default_rng(0)
    to_torch = {"kernel": ((3, 3, 5, 7), (3, 2, 0, 1)), "depthwise_kernel": ((3, 3, 5, 1), (2, 3, 0, 1))}
    to_torch |= {"dense/kernel": ((5, 7), (1, 0)), "bias": ((7,), (0,)), "gamma": ((11,), (0,))}
    weights = [tf.Variable(rng.normal(0, 1, shape), name=name) for name, (shape, _) in to_torch.items()]
    weights[3].assign(np.zeros(7))
    scales = [10.0 ** rng.uniform(-4, 1, weight.shape[-2:]) for weight in weights]
    gradients = [rng.normal(0, 1, weight.shape) * scale for weight, scale in zip(weights, scales, strict=True)]
    theirs = []
    for weight, gradient, (_, axes) in zip(weights, gradients, to_torch.values(), strict=True):
        theirs.append(torch.nn.Parameter(torch.tensor(weight.numpy().transpose(axes).copy())))
        theirs[-1].grad = torch.tensor(gradient.transpose(axes).copy())
    adaptive_clip_grad(theirs, 0.05)
    ours = CLIPS["agc"](gradients, weights, 0.05, None)
    for one, other, (_, axes) in zip(ours, theirs, to_torch.values(), strict=True):
        np.testing.assert_allclose(one.numpy().transpose(axes), other.grad, rtol=1e-12)
    kept = [np.isclose(one, other).mean() for one, other in zip(ours, gradients, strict=True)]
    assert 0 < np.mean(kept) < 1


def test_a_step_clips_units():
    """With SGD's first step a unit moves by at most rate * limit * its norm."""
    settings = dataclasses.replace(SETTINGS, optimizer="sgd", weight_decay=0.0, clip_norm=1e-3, schedule="constant")
    learner = make_learner(tiny(), dataclasses.replace(settings, clip_mode="agc"), "abc", 10)
    weights = learner.network.trainable_weights
    before = values(weights)
    take_step(learner, batch())
    for weight, start in zip(weights, before, strict=True):
        axes = tuple(range(max(1, start.ndim - 1)))
        moved, norm = (np.sqrt(np.sum(np.square(each), axes)) for each in (weight.numpy() - start, start))
        assert (moved <= 0.1 * 1e-3 * np.maximum(norm, 1e-3) * 1.001 + 1e-7).all(), weight.name
        assert moved.max() > 0


def traces_left(learner):
    """Everything that a step may move."""
    state = learner.state
    metrics = [variable for metric in learner.metrics for variable in metric.variables]
    return values([*learner.network.weights, *learner.optimizer.variables, *state.averages, *metrics])


@pytest.mark.parametrize("on_nan", ["stop", "skip"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e38])
def test_values_that_are_not_finite_leave_no_trace(on_nan, bad):
    learner = learner_of(on_nan=on_nan)
    good = batch()
    take_step(learner, good)
    before = traces_left(learner)
    images = good[0].numpy()
    images[3, 2, 2, 1] = bad
    take_step(learner, (tf.constant(images), good[1]))
    equal(traces_left(learner), before, rtol=0)
    take_step(learner, good)
    state = learner.state
    moved = not all(np.array_equal(a, b) for a, b in zip(traces_left(learner), before, strict=True))
    counts = (int(state.step.numpy()), int(state.skipped.numpy()), int(state.halted.numpy()))
    assert (moved, counts) == {"skip": (True, (3, 1, -1)), "stop": (False, (3, 2, 1))}[on_nan]


def test_scaled_loss_recovers():
    """float16 gradients overflow with the first scale: the optimizer lowers it, and no weight sees it."""
    with global_policy("mixed_float16"):
        learner = learner_of(dataclasses.replace(SETTINGS, precision="mixed_float16"))
    learner.optimizer.dynamic_counter.assign(0)
    learner.optimizer._loss_scale.current_loss_scale.assign(2.0**30)
    before = values(learner.network.trainable_weights)
    take_step(learner, batch())
    equal(values(learner.network.trainable_weights), before, rtol=0)
    assert float(learner.optimizer.loss_scale) == 2.0**29
    take_step(learner, *[batch()] * 20)
    assert float(learner.optimizer.loss_scale) < 2.0**29
    assert all(np.isfinite(weight).all() for weight in values(learner.network.weights))
    assert not np.array_equal(values(learner.network.trainable_weights)[0], before[0])
    assert int(learner.state.skipped.numpy()) == 0


@pytest.mark.parametrize("jit_compile", [False, True])
def test_one_trace_for_each_size(jit_compile):
    learner = learner_of(jit_compile=jit_compile)
    for _ in range(2):
        for side, count in ((8, 8), (12, 4), (16, 2)):
            take_step(learner, batch(count, side))
    assert learner.step_function.experimental_get_tracing_count() == 3


def test_compiled_step_is_the_same():
    plain, compiled = learner_of(), learner_of(jit_compile=True)
    for learner in (plain, compiled):
        take_step(learner, batch(), batch(seed=1))
    equal(values(plain.network.weights), values(compiled.network.weights), atol=1e-5)
