"""TensorFlow's operations that coremltools lacks, made of those that it has. Importing this registers them."""

from coremltools.converters.mil import Builder as mb  # noqa: N813 (its own name everywhere)
from coremltools.converters.mil.frontend.tensorflow.tf_op_registry import _TF_OPS_REGISTRY, register_tf_op


def Erfc(context, node):  # noqa: N802  TensorFlow's name
    """1 - erf(x): what grappler makes of the exact GELU in `Dense(activation="gelu")`."""
    (x,) = (context[name] for name in node.inputs)
    context.add(node.name, mb.sub(x=1.0, y=mb.erf(x=x), name=node.name))


for operation in (Erfc,):
    if operation.__name__ not in _TF_OPS_REGISTRY:  # a newer coremltools may have it
        register_tf_op(operation)
