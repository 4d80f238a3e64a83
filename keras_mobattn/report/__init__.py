"""One self-contained HTML file that shows a run: `write_report(path, Report(...))`."""

from keras_mobattn.report.comparison import accuracy_by_style, by_resolution
from keras_mobattn.report.markdown import write_markdown
from keras_mobattn.report.page import Figure, Report, Section, Table, write_report
from keras_mobattn.report.plots import (
    bars_by_class,
    confusion_matrix,
    image_grid,
    latency_by_style,
    latency_by_tokens,
    learning_curves,
    loglog_slope,
    operator_bars,
    precision_by_recall,
)
from keras_mobattn.report.tables import conversions_table, latency_table, op_profile_table

__all__ = [
    "Figure",
    "Report",
    "Section",
    "Table",
    "accuracy_by_style",
    "bars_by_class",
    "by_resolution",
    "confusion_matrix",
    "conversions_table",
    "image_grid",
    "latency_by_style",
    "latency_by_tokens",
    "latency_table",
    "learning_curves",
    "loglog_slope",
    "op_profile_table",
    "operator_bars",
    "precision_by_recall",
    "write_markdown",
    "write_report",
]
