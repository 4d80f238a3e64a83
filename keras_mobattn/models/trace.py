"""What a built model computes, as a TensorFlow graph that leaves nothing behind in its process."""

import tensorflow as tf
from tensorflow.python.framework.ops import gradient_registry

_GRADIENT = "_gradient_op_type"  # an operation's attribute: the name under which its custom gradient is registered


def trace_inference(function, spec):
    """Return the concrete function of `function` for one tf.TensorSpec, without custom gradients.

    TensorFlow registers the gradient of every tf.custom_gradient that it traces, such as Swish's here and tf.nn.silu's,
    under a name of its own, and never takes it out. The gradient holds its graph; and whoever saves the graph and loads
    it again, as the TFLite converter does, registers the loaded one too, with a copy of all weights. What isn't trained
    needs none of them. Functions that the model itself made with tf.function keep theirs, since they may be trained.
    """
    others = set(gradient_registry.list())
    concrete = tf.function(function).get_concrete_function(spec)
    for operation in concrete.graph.get_operations():
        try:
            name = operation.get_attr(_GRADIENT).decode()
        except ValueError:  # it has no custom gradient
            continue
        operation._clear_attr(_GRADIENT)  # private, as the next: TensorFlow has no public way
        if name not in others:
            gradient_registry._registry.pop(name, None)
    return concrete
