"""Time exported files. Imports no models: a benchmark takes a file."""

from keras_mobattn.benchmark.android.benchmark import benchmark_android
from keras_mobattn.benchmark.apple.benchmark import benchmark_coreml
from keras_mobattn.benchmark.measurement import (
    Conditions,
    Device,
    Measurement,
    Statistics,
    load_measurements,
    save_csv,
    save_json,
)
from keras_mobattn.benchmark.op_profile import print_op_profiles, top_operators
from keras_mobattn.benchmark.present import present
from keras_mobattn.benchmark.rows import BenchmarkInterrupted
from keras_mobattn.benchmark.table import devices_text, header_and_rows, labels_of, print_table, remarks
from keras_mobattn.benchmark.this_machine.benchmark import benchmark_files, benchmark_tflite
from keras_mobattn.benchmark.this_machine.host import describe_host
from keras_mobattn.benchmark.this_machine.roofline import roofline_files, with_roofline
from keras_mobattn.catalog import BACKENDS, COREML_DEVICES, COREML_UNITS
from keras_mobattn.formats.tflite.macs import count_file_macs

__all__ = [
    "BACKENDS",
    "COREML_DEVICES",
    "COREML_UNITS",
    "BenchmarkInterrupted",
    "Conditions",
    "Device",
    "Measurement",
    "Statistics",
    "benchmark_android",
    "benchmark_coreml",
    "benchmark_files",
    "benchmark_tflite",
    "count_file_macs",
    "describe_host",
    "devices_text",
    "header_and_rows",
    "labels_of",
    "load_measurements",
    "present",
    "print_op_profiles",
    "print_table",
    "remarks",
    "roofline_files",
    "save_csv",
    "save_json",
    "top_operators",
    "with_roofline",
]
