"""Learning rates by step."""

import math

import tensorflow as tf
import tf_keras as keras


@keras.saving.register_keras_serializable(package="keras_mobattn")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0 to `peak` over `warmup_steps`, then half a cosine to `floor` at `total_steps`, then
    constant."""

    def __init__(self, peak, floor, warmup_steps, total_steps):
        self.peak = peak
        self.floor = floor
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps

    def __call__(self, step):
        step = tf.cast(step, tf.float32)
        progress = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        cosine = 0.5 * (1 + tf.cos(math.pi * tf.clip_by_value(progress, 0.0, 1.0)))
        decayed = self.floor + (self.peak - self.floor) * cosine
        return tf.where(step < self.warmup_steps, self.peak * (step + 1) / max(1, self.warmup_steps), decayed)

    def get_config(self):
        names = ("peak", "floor", "warmup_steps", "total_steps")
        return {name: getattr(self, name) for name in names}
