"""Attention styles compared in the same hosts: training under one budget, and cost. training/compare_attention.py."""

from keras_mobattn.studies.comparison.cost import Cost, convert, load_costs, measure, save_costs
from keras_mobattn.studies.comparison.plan import (
    EPOCHS,
    HOSTS,
    STAGES,
    STYLES,
    VARIANTS,
    Plan,
    styles_of,
    timed_styles_of,
)
from keras_mobattn.studies.comparison.pool import Pool
from keras_mobattn.studies.comparison.run import train_stages
from keras_mobattn.studies.comparison.table import accuracies, accuracies_by_side, figures, markdown, texts

__all__ = [
    "EPOCHS",
    "HOSTS",
    "STAGES",
    "STYLES",
    "VARIANTS",
    "Cost",
    "Plan",
    "Pool",
    "accuracies",
    "accuracies_by_side",
    "convert",
    "figures",
    "load_costs",
    "markdown",
    "measure",
    "save_costs",
    "styles_of",
    "timed_styles_of",
    "texts",
    "train_stages",
]
