"""Have Keras know the package's layers as soon as both are imported, in either order, and without importing Keras.

A class is registered when its module is imported, which takes TensorFlow. Before tf_keras is imported nobody can load
a model, so it is early enough right after. wrapt, which TensorFlow is built on too, tells of that moment.
"""

import importlib
import sys

import wrapt

LAYERS, ATTENTION = "keras_mobattn.layers", "keras_mobattn.attention"  # all classes that saved models are made of


@wrapt.when_imported("tf_keras")
def after_keras(_):
    """Import the layers, unless it is they that import tf_keras: then they are half there, and `after_layers` goes
    on."""
    if LAYERS not in sys.modules and ATTENTION not in sys.modules:
        importlib.import_module(ATTENTION)


@wrapt.when_imported(LAYERS)
def after_layers(_):
    """Import the attention styles, unless it is they that import the layers."""
    if ATTENTION not in sys.modules:
        importlib.import_module(ATTENTION)
