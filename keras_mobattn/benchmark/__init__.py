"""Time exported files. Imports no models: a benchmark takes a file."""

from keras_mobattn._lazy import importer

HOMES = {  # public name -> its module, imported when asked for: the process that times a file needs none
    **dict.fromkeys(("BACKENDS", "COREML_DEVICES", "COREML_UNITS"), "keras_mobattn.catalog"),
    **dict.fromkeys(("Device", "Measurement", "Statistics"), "keras_mobattn.benchmark.measurement"),
    **dict.fromkeys(("load_measurements", "present", "save_csv", "save_json"), "keras_mobattn.benchmark.results"),
    **dict.fromkeys(("header_and_rows", "print_table", "remarks"), "keras_mobattn.benchmark.latency_table"),
    **dict.fromkeys(("devices_text", "labels_of"), "keras_mobattn.benchmark.texts"),
    "BenchmarkInterrupted": "keras_mobattn.benchmark.loop",
    "Conditions": "keras_mobattn.benchmark.android.details",
    "benchmark_android": "keras_mobattn.benchmark.android.benchmark",
    "benchmark_coreml": "keras_mobattn.benchmark.apple.benchmark",
    "benchmark_files": "keras_mobattn.benchmark.this_machine.benchmark",
    "benchmark_tflite": "keras_mobattn.benchmark.this_machine.benchmark",
    "count_file_macs": "keras_mobattn.formats.tflite.macs",
    "describe_host": "keras_mobattn.benchmark.this_machine.host",
    **dict.fromkeys(("print_op_profiles", "top_operators"), "keras_mobattn.benchmark.android.op_profile"),
    **dict.fromkeys(("roofline_files", "with_roofline"), "keras_mobattn.benchmark.this_machine.roofline"),
}

__all__ = [*HOMES]
__getattr__, __dir__ = importer(__name__, HOMES)
