"""The model families by name, in the order in which their papers appeared.

A family is one module here, found by being here. `FAMILIES` may grow at run time: `FAMILIES["Mine"] = Family(...)`, and
all tables that are made of it (models, published checkpoints, settings) know it.
"""

import importlib
import pkgutil

from keras_mobattn.families.family import IMAGENET, Checkpoint, DerivedMapping, Family, SegmenterCheckpoint, Variant

View = DerivedMapping  # its earlier name

__all__ = ["FAMILIES", "IMAGENET", "Checkpoint", "DerivedMapping", "Family", "SegmenterCheckpoint", "Variant", "View"]


def _found():
    """The records of this folder's modules; arXiv numbers their papers by date."""
    modules = [importlib.import_module(f"{__name__}.{each.name}") for each in pkgutil.iter_modules(__path__)]
    families = [module.FAMILY for module in modules if hasattr(module, "FAMILY")]
    return {family.name: family for family in sorted(families, key=lambda family: family.paper)}


FAMILIES: dict[str, Family] = _found()
