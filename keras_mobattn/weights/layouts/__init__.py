"""Where each tensor of a published checkpoint goes: one file a family, whose LAYOUTS its record names."""

from keras_mobattn.weights.layouts.source import Source

__all__ = ["Source"]
