"""Attention styles compared in the same hosts: training under one budget, and cost. training/compare_attention.py."""

from keras_mobattn.studies.comparison.cost import Cost, convert, load_costs, measure, save_costs
from keras_mobattn.studies.comparison.one_run import train_stages
from keras_mobattn.studies.comparison.pool import Pool
from keras_mobattn.studies.comparison.study_plan import (
    EPOCHS,
    HOSTS,
    STAGES,
    STYLES,
    VARIANTS,
    StudyPlan,
    styles_of,
    timed_styles_of,
)
from keras_mobattn.studies.comparison.summary import (
    accuracies,
    accuracies_by_side,
    markdown_table,
    summary_rows,
    summary_tables,
)

Plan, figures, texts, markdown = StudyPlan, summary_rows, summary_tables, markdown_table  # their earlier names

__all__ = [
    "EPOCHS",
    "HOSTS",
    "STAGES",
    "STYLES",
    "VARIANTS",
    "Cost",
    "Plan",
    "Pool",
    "StudyPlan",
    "accuracies",
    "accuracies_by_side",
    "convert",
    "figures",
    "load_costs",
    "markdown",
    "markdown_table",
    "measure",
    "save_costs",
    "styles_of",
    "summary_rows",
    "summary_tables",
    "timed_styles_of",
    "texts",
    "train_stages",
]
