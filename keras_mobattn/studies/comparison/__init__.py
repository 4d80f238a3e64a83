"""Attention styles compared in the same hosts: training under one budget, and cost. training/compare_attention.py."""

from keras_mobattn.studies.comparison.cost import Cost, convert, load_costs, measure, save_costs
from keras_mobattn.studies.comparison.plan import EPOCHS, HOSTS, STAGES, STYLES, Plan
from keras_mobattn.studies.comparison.pool import Pool
from keras_mobattn.studies.comparison.run import train_stages
from keras_mobattn.studies.comparison.table import accuracies, figures, markdown, texts

__all__ = [
    "EPOCHS",
    "HOSTS",
    "STAGES",
    "STYLES",
    "Cost",
    "Plan",
    "Pool",
    "accuracies",
    "convert",
    "figures",
    "load_costs",
    "markdown",
    "measure",
    "save_costs",
    "texts",
    "train_stages",
]
