"""The shape of what a model takes."""


def input_shape_of(model):
    """The shape of a model's one input with the batch, also of one that takes a dict; of a layer its `input_shape`."""
    inputs = getattr(model, "inputs", None)
    return tuple(inputs[0].shape) if inputs else model.input_shape
