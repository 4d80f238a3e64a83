"""What a converted file says of itself, without TensorFlow: flags are made from it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class About:
    """What a converted file says of itself; what is empty is left out.

    Attributes:
        name: of the model; default its Keras name.
        description: default one sentence on the task and the precision.
        version: of the model.
        author: of the model.
        license: of the weights, e.g. Apache-2.0.
    """

    name: str = ""
    description: str = ""
    version: str = ""
    author: str = ""
    license: str = ""
