"""From settings to an optimizer: learning rates for the batch, warm-up, schedule, and the weights that are decayed."""

import math

import tensorflow as tf
import tf_keras as keras

from keras_mobattn.names import is_decayed
from keras_mobattn.training.adamw import AdamW


@keras.saving.register_keras_serializable(package="keras_mobattn")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up from `start` to `peak` over `warmup_steps`, then half a cosine down to `floor` at `total_steps`.

    After that it is constant; with floor = peak already after the warm-up.
    """

    def __init__(self, peak, floor, warmup_steps, total_steps, start=0.0):
        self.peak = peak
        self.floor = floor
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.start = start

    def __call__(self, step):
        step = tf.cast(step, tf.float32)
        progress = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        cosine = 0.5 * (1 + tf.cos(math.pi * tf.clip_by_value(progress, 0.0, 1.0)))
        decayed = self.floor + (self.peak - self.floor) * cosine
        rising = self.start + (self.peak - self.start) * (step + 1) / max(1, self.warmup_steps)
        return tf.where(step < self.warmup_steps, rising, decayed)

    def get_config(self):
        names = ("peak", "floor", "warmup_steps", "total_steps", "start")
        return {name: getattr(self, name) for name in names}


# How a learning rate follows the batch, as timm has it: the ratio for SGD (Goyal et al., arXiv:1706.02677), its root
# for AdamW, whose step doesn't grow with the gradient (Malladi et al., arXiv:2205.10287).
BATCH_POWER = {"sgd": 1.0, "adamw": 0.5}


def schedule(settings, steps_per_epoch):
    """The WarmupCosine of the settings."""
    ratio = settings.batch_size / (settings.base_batch_size or settings.batch_size)
    scale = ratio ** BATCH_POWER[settings.optimizer]
    peak = settings.learning_rate
    floor = peak / 10 if settings.min_learning_rate is None else settings.min_learning_rate
    warmup = settings.warmup * steps_per_epoch
    if settings.warmup_steps is not None:
        warmup = settings.warmup_steps / ratio
    return WarmupCosine(
        peak * scale,
        scale * (peak if settings.schedule == "constant" else floor),
        math.ceil(warmup),
        settings.epochs * steps_per_epoch,
        settings.warmup_learning_rate * scale,
    )


def make_optimizer(settings, steps_per_epoch, weights, shares=()):
    """The optimizer of the settings with its slots for `weights`, and the weights whose decay is part of the gradient.

    `shares` of the learning rate are [(weight, factor)], see `AdamW.scale_rates`. AdamW decays weights itself, by the
    same formula in Keras and torch. SGD's decay is added to the gradient, as in torch, so that momentum carries it;
    with momentum .9 Keras's own would be a tenth of that.
    """
    rate = schedule(settings, steps_per_epoch)
    decayed = [weight for weight in weights if settings.decay_1d or is_decayed(weight.name, weight.shape.rank)]
    in_gradient = []
    if settings.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=0.9)
        in_gradient = decayed
    else:
        optimizer = AdamW(rate, weight_decay=settings.weight_decay, epsilon=1e-8)
        names = {id(weight) for weight in decayed}
        optimizer.exclude_from_weight_decay([weight for weight in weights if id(weight) not in names])
        optimizer.scale_rates(shares)
    if settings.precision == "mixed_float16":
        optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
    optimizer.build(weights)
    return optimizer, in_gradient
