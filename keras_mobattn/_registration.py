"""Have Keras know the package's layers as soon as both are imported, in either order, and without importing Keras.

A class is registered when its module is imported, which takes TensorFlow. Before tf_keras is imported nobody can load
a model, so it is early enough right after. wrapt, which TensorFlow is built on too, tells of that moment; it waits
itself until one of the two is looked for, since a process that times a file needs neither and counts its memory.
"""

import importlib.util
import sys

KERAS = "tf_keras"
LAYERS, ATTENTION = "keras_mobattn.layers", "keras_mobattn.attention"  # all classes that saved models are made of


class Watch:
    """A finder of modules that finds none: at the first look for one of the two it has wrapt tell of both."""

    def find_spec(self, name, path=None, target=None):
        if name not in (KERAS, LAYERS):
            return None
        sys.meta_path.remove(self)
        tell()
        return importlib.util.find_spec(name)  # by wrapt, which now stands among the finders


def tell():
    """Have wrapt call us right after each of the two is imported, or now where it is."""
    import wrapt

    wrapt.register_post_import_hook(after_keras, KERAS)
    wrapt.register_post_import_hook(after_layers, LAYERS)


def after_keras(_):
    """Import the layers, unless it is they that import tf_keras: then they are half there, and `after_layers` goes
    on."""
    if LAYERS not in sys.modules and ATTENTION not in sys.modules:
        importlib.import_module(ATTENTION)


def after_layers(_):
    """Import the attention styles, unless it is they that import the layers."""
    if ATTENTION not in sys.modules:
        importlib.import_module(ATTENTION)


if KERAS in sys.modules:
    tell()
else:
    sys.meta_path.insert(0, Watch())
