"""Where each tensor of a published checkpoint goes: one file a family, whose LAYOUTS its record names."""

from keras_mobattn.weights.layouts.layout import Layout

Source = Layout  # its earlier name

__all__ = ["Layout", "Source"]
