"""Keras vision transformers for phones: MobileViT and MobileViTv2 with Mobile-Attention and its linear-time
alternatives.

Importing this package registers its layers with Keras, so that saved models reload without `custom_objects`; whichever
of the two is imported first. TensorFlow itself is imported when the first name that needs it is asked for.
"""

import importlib
import os
import pkgutil

from keras_mobattn import _registration  # noqa: F401  imported for what it does
from keras_mobattn.errors import InputError

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only; set it yourself to see TensorFlow's start-up messages

__version__ = "0.1.0"

HOMES = {  # public name -> the module that has it
    "ATTENTIONS": "catalog",
    "DeiT": "models",
    "EfficientFormerV2": "models",
    "MobileAttention": "attention",
    "MobileViT": "models",
    "MobileViTv2": "models",
    "PVTv2": "models",
    "SeparableAttention": "attention",
    "count_macs": "models",
    "decode_predictions": "weights",
    "feature_pyramid": "models",
    "list_weights": "weights",
    "preprocess_input": "weights",
    "randomize_weights": "models",
}
MODULES = frozenset(module.name for module in pkgutil.iter_modules(__path__))

__all__ = [  # noqa: F822  most by __getattr__
    "ATTENTIONS",
    "DeiT",
    "EfficientFormerV2",
    "InputError",
    "MobileAttention",
    "MobileViT",
    "MobileViTv2",
    "PVTv2",
    "SeparableAttention",
    "count_macs",
    "decode_predictions",
    "feature_pyramid",
    "list_weights",
    "preprocess_input",
    "randomize_weights",
]


def __getattr__(name):
    """Import a public name, or a module of the package, when it is first asked for (PEP 562)."""
    if name in MODULES:
        return importlib.import_module(f"{__name__}.{name}")  # which makes it an attribute: it is not asked for again
    if name in HOMES:
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{HOMES[name]}"), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    """The public names and modules, imported or not."""
    special = (name for name in globals() if name.startswith("__"))
    return sorted({*special, *__all__, *(name for name in MODULES if not name.startswith("_"))})
