"""Names of a package that are imported when they are first asked for (PEP 562)."""

import importlib
import sys


def importer(package, homes):
    """Return `__getattr__` and `__dir__` of a package whose public names are in other modules, {name: module}."""

    def get(name):
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)  # so that it is not asked for again
        return value

    def names():
        return sorted({*vars(sys.modules[package]), *homes})

    return get, names
