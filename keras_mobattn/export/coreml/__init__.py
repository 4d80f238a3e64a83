"""Keras to Core ML."""
