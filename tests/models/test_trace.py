"""A trace of a model leaves nothing behind, and takes no gradient away from what is trained."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tensorflow.python.framework.ops import gradient_registry

from keras_mobattn.layers import Swish
from keras_mobattn.models.trace import trace_inference

SPEC = tf.TensorSpec((1, 4), tf.float32, "x")
ACTIVATIONS = {"ours": Swish(), "TensorFlow's": tf.nn.silu}


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_a_trace_goes_when_nobody_holds_it(activation):
    before = set(gradient_registry.list())
    concrete = trace_inference(lambda x: activation(x), SPEC)
    x = tf.constant([[-2.0, 0.0, 1.0, 3.0]])
    np.testing.assert_allclose(concrete(x), x * tf.sigmoid(x), rtol=1e-6)
    graph = weakref.ref(concrete.graph)
    del concrete
    gc.collect()
    assert graph() is None
    assert set(gradient_registry.list()) == before


def test_training_keeps_its_gradients():
    """Those of a step that was traced before, of a model within it, and of a function that the model calls."""
    inner = tf.function(tf.nn.silu)
    model = keras.Sequential([keras.Input((4,)), Swish(), keras.layers.Lambda(inner), keras.layers.Dense(4)])
    x = tf.constant([[-2.0, 0.5, 1.0, 3.0]])

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model(x)
        return tape.gradient(y, x)

    step, forward = tf.function(gradient), tf.function(model)
    expected, _ = step(x), forward(x)  # both are traced now
    trace_inference(lambda x: forward(model(x)), SPEC)
    trace_inference(lambda x: model(x), SPEC)
    np.testing.assert_allclose(step(x), expected, rtol=1e-6)
    np.testing.assert_allclose(tf.function(gradient)(x), expected, rtol=1e-6)
    with tf.GradientTape() as tape:  # by the registered gradients
        tape.watch(x)
        y = forward(x)
    np.testing.assert_allclose(tape.gradient(y, x), expected, rtol=1e-6)
