"""Exported files read without a model: what export writes, describe describes and benchmark times.

No other part of the package looks inside a .tflite file or an .mlpackage.
"""
