"""Dropout whose random state is in a checkpoint, so that a resumed run draws what the other would have drawn."""

import numpy as np
import tf_keras as keras

from keras_mobattn.errors import InputError


@keras.saving.register_keras_serializable(package="keras_mobattn")
class Dropout(keras.layers.Dropout):
    """Keras's dropout with a `tf.random.Generator` of its own: the draws are a function of its seed and their number.

    Keras's default draws from the process's random state, which nothing saves. With a generator the state, a key and a
    counter, is in `tf.train.Checkpoint` (Keras leaves its generators out of it), though not in `weights`. The seed
    follows from `keras.utils.set_random_seed` where none is given.
    """

    def __init__(self, rate, **kwargs):
        super().__init__(rate, **{"rng_type": "stateful", **kwargs})

    def _trackable_children(self, save_type="checkpoint", **kwargs):
        children = super()._trackable_children(save_type, **kwargs)
        return {**children, "_random_generator": self._random_generator}


@keras.saving.register_keras_serializable(package="keras_mobattn")
class DropPath(Dropout):
    """Stochastic depth (Huang et al., ECCV 2016, arXiv:1603.09382): drop a residual branch for whole examples.

    Shapes: [B, H, W, C] -> the same. In training each example is 0 with probability `rate`, else divided by 1 - rate;
    else nothing happens. The name is timm's; torchvision calls it StochasticDepth of mode "row".
    """

    def __init__(self, rate, **kwargs):
        super().__init__(rate, **{"noise_shape": (None, 1, 1, 1), **kwargs})


def drop_path_rates(rate, depths):
    """Rates of the units of each block, linearly from 0 at the very first to `rate` at the very last, as in timm.

    (0.3, (1, 3)) -> [[0.0], [0.1, 0.2, 0.3]].

    Raises:
        InputError: a rate that is not 0 <= rate < 1.
    """
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
        raise InputError(f"drop_path_rate expects 0 <= rate < 1. Received: drop_path_rate={rate!r}.")
    rates = iter(np.linspace(0, rate, sum(depths)).tolist())
    return [[next(rates) for _ in range(depth)] for depth in depths]


def drop_path(x, rate, *, name):
    """`DropPath`, or no layer at all for rate 0."""
    return DropPath(rate, name=name)(x) if rate else x
