"""Random weights that hide nothing: for timing, for conversion, for parity."""

import numpy as np

# Last part of a variable's name -> how to draw it, given the generator and the shape. Freshly initialised scales of
# one, zero biases and zero means let converters fold whole branches away, and let a wrong operator go unnoticed.
DRAWS = {
    "gamma": lambda rng, shape: rng.uniform(0.5, 1.5, shape),
    "beta": lambda rng, shape: rng.normal(0, 0.1, shape),
    "bias": lambda rng, shape: rng.normal(0, 0.1, shape),
    "moving_mean": lambda rng, shape: rng.normal(0, 0.1, shape),
    "moving_variance": lambda rng, shape: rng.uniform(0.5, 2.0, shape),
    "temperature": lambda rng, shape: rng.uniform(0.5, 1.5, shape),
    "depthwise_kernel": lambda rng, shape: rng.normal(0, shape[0] ** -1.0, shape),  # fan-in kh * kw
}


def _kernel(rng, shape):
    return rng.normal(0, np.prod(shape[:-1], dtype=float) ** -0.5 if len(shape) > 1 else 0.1, shape)


def randomize_weights(model, seed=0):
    """Give every weight of `model` a random value that keeps activations near unit scale. Returns the model."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        draw = DRAWS.get(variable.name.split("/")[-1].split(":")[0], _kernel)
        variable.assign(draw(rng, tuple(variable.shape)))
    return model
