"""The shape of what a model takes."""

RGB = 3


def input_shape_of(model):
    """The shape of a model's one input with the batch, also of one that takes a dict; of a layer its `input_shape`."""
    inputs = getattr(model, "inputs", None)
    return tuple(inputs[0].shape) if inputs else model.input_shape


def takes_photos(model):
    """Whether a model, or an exported file, takes one RGB image of a fixed size, and no dict of it."""
    shape = model.input_shape
    return isinstance(shape, tuple) and len(shape) == 4 and shape[-1] == RGB and None not in shape[1:3]
