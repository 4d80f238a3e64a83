"""Keras vision transformers for phones: families of published models, each with Mobile-Attention, its linear-time
alternatives, or the attention of its paper. `keras_mobattn.families.FAMILIES` has their names.

Importing this package registers its layers with Keras, so that saved models reload without `custom_objects`; whichever
of the two is imported first. TensorFlow itself is imported when the first name that needs it is asked for.
"""

import importlib
import os
import pkgutil
from typing import TYPE_CHECKING, Any

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


if TYPE_CHECKING:  # the same table for type checkers and editors; tests/test_types.py compares the two
    from keras_mobattn.attention import MobileAttention as MobileAttention, SeparableAttention as SeparableAttention
    from keras_mobattn.catalog import ATTENTIONS as ATTENTIONS
    from keras_mobattn.models import (
        DeiT as DeiT,
        EfficientFormerV2 as EfficientFormerV2,
        MobileViT as MobileViT,
        MobileViTv2 as MobileViTv2,
        PVTv2 as PVTv2,
        count_macs as count_macs,
        feature_pyramid as feature_pyramid,
        randomize_weights as randomize_weights,
    )
    from keras_mobattn.tasks.detection import SSDLite as SSDLite
    from keras_mobattn.tasks.detection.detect import detect as detect
    from keras_mobattn.tasks.segmentation import (
        LRASPP as LRASPP,
        DeepLabV3 as DeepLabV3,
        PSPNet as PSPNet,
    )
    from keras_mobattn.tasks.segmentation.segment import segment as segment
    from keras_mobattn.weights import (
        decode_predictions as decode_predictions,
        list_weights as list_weights,
        preprocess_input as preprocess_input,
    )


def __getattr__(name: str) -> Any:
    """Import a public name, or a module of the package, when it is first asked for (PEP 562)."""
    if name in MODULES:
        return importlib.import_module(f"{__name__}.{name}")  # which makes it an attribute: it is not asked for again
    return _public(name)


def __dir__() -> list[str]:
    """The public names and modules, imported or not."""
    special = (name for name in globals() if name.startswith("__"))
    return sorted({*special, *__all__, *(name for name in MODULES if not name.startswith("_"))})
