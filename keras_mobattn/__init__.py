"""Keras vision transformers for phones: families of published models, each with Mobile-Attention, its linear-time
alternatives, or the attention of its paper. `keras_mobattn.families.FAMILIES` has their names.

Importing this package registers its layers with Keras, so that saved models reload without `custom_objects`; whichever
of the two is imported first. TensorFlow itself is imported when the first name that needs it is asked for.
"""

import importlib
import os
import pkgutil

from keras_mobattn import _registration  # noqa: F401  imported for what it does
from keras_mobattn._lazy import importer
from keras_mobattn.errors import InputError
from keras_mobattn.families import FAMILIES

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only; set it yourself to see TensorFlow's start-up messages

__version__ = "0.1.0"

HOMES = {  # public name -> the module that has it
    **dict.fromkeys(FAMILIES, "models"),
    "ATTENTIONS": "catalog",
    "DeepLabV3": "tasks.segmentation",
    "LRASPP": "tasks.segmentation",
    "MobileAttention": "attention",
    "PSPNet": "tasks.segmentation",
    "SSDLite": "tasks.detection",
    "SeparableAttention": "attention",
    "count_macs": "models",
    "decode_predictions": "weights",
    "detect": "tasks.detection",
    "feature_pyramid": "models",
    "list_weights": "weights",
    "preprocess_input": "weights",
    "randomize_weights": "models",
    "segment": "tasks.segmentation",
}
MODULES = frozenset(module.name for module in pkgutil.iter_modules(__path__))

__all__ = ["InputError", *HOMES]
_public, _ = importer(__name__, {name: f"{__name__}.{home}" for name, home in HOMES.items()})


def __getattr__(name):
    """Import a public name, or a module of the package, when it is first asked for (PEP 562)."""
    if name in MODULES:
        return importlib.import_module(f"{__name__}.{name}")  # which makes it an attribute: it is not asked for again
    return _public(name)


def __dir__():
    """The public names and modules, imported or not."""
    special = (name for name in globals() if name.startswith("__"))
    return sorted({*special, *__all__, *(name for name in MODULES if not name.startswith("_"))})
