"""The classifier that include_top=True puts on a backbone, with one head or two."""

import dataclasses

import tf_keras as keras

from keras_mobattn.errors import InputError, expect_range
from keras_mobattn.layers import HALF, Dropout, linear_initializer
from keras_mobattn.names import HEADS


@dataclasses.dataclass(frozen=True)
class Top:
    """A classifier: dropout and a linear layer for each head.

    The logits of two heads are averaged; the second one learns from a teacher (arXiv:2012.12877).
    """

    dropout: float = 0.0
    heads: int = 1  # where the backbone doesn't say what each sees

    def __call__(self, x, seen, classes, activation):
        """The last map [B, h, w, C] -> probabilities [B, classes]. `seen` is a list with the vector [B, C] that each
        head sees; None: the map's mean."""
        seen = seen or [keras.layers.GlobalAveragePooling2D(name="pool")(x)] * self.heads
        # Probabilities of 1000 classes need more than float16's 11 bits.
        wide = "float32" if keras.mixed_precision.global_policy().compute_dtype in HALF else None
        logits = []
        for x, name in zip(seen, HEADS, strict=False):
            if self.dropout:
                x = Dropout(self.dropout, name="classifier_dropout")(x)
            start = linear_initializer(x.shape[-1])
            x = keras.layers.Dense(classes, kernel_initializer=start, name=name, dtype=wide)(x)
            logits.append(x)
        x = keras.layers.Average(name="predictions_mean", dtype=wide)(logits) if len(logits) > 1 else logits[0]
        return keras.layers.Activation(activation, name="probabilities", dtype=wide)(x)


def check_classes(classes):
    """Raise InputError for an impossible number of classes."""
    expect_range("classes", classes, 1, whole=True)


def check_activation(activation):
    """Raise InputError for what is no activation."""
    try:
        keras.activations.get(activation)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"Expected classifier_activation to be None, an activation of Keras by name, or a function. Received: "
            f"{activation!r}."
        ) from error
