"""The package's source files, commands and scripts."""

from helpers import ROOT

PACKAGE = ROOT / "keras_mobattn"
SOURCES = sorted(PACKAGE.rglob("*.py"))
SHARED = ("__init__", "opened", "convert", "exported", "measured", "served")  # by commands, and none themselves
COMMANDS = sorted(path.stem for path in PACKAGE.glob("commands/*.py") if path.stem not in SHARED)
STUDIES = ("benchmark_resolution", "compare_attention")
SCRIPTS = sorted(path for folder in ("training", "tflite", "coreml") for path in (ROOT / folder).glob("*.py"))
