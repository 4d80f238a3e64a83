"""Time exported files. Imports no models: a benchmark takes a file."""

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:  # the same table for type checkers and editors; tests/test_types.py compares the two
    from keras_mobattn.benchmark.android.benchmark import benchmark_android as benchmark_android
    from keras_mobattn.benchmark.android.details import Conditions as Conditions
    from keras_mobattn.benchmark.android.op_profile import (
        print_op_profiles as print_op_profiles,
        top_operators as top_operators,
    )
    from keras_mobattn.benchmark.apple.benchmark import benchmark_coreml as benchmark_coreml
    from keras_mobattn.benchmark.latency_table import (
        header_and_rows as header_and_rows,
        print_table as print_table,
        remarks as remarks,
    )
    from keras_mobattn.benchmark.loop import BenchmarkInterrupted as BenchmarkInterrupted
    from keras_mobattn.benchmark.measurement import (
        Device as Device,
        Measurement as Measurement,
        Statistics as Statistics,
    )
    from keras_mobattn.benchmark.results import (
        load_measurements as load_measurements,
        present as present,
        save_csv as save_csv,
        save_json as save_json,
    )
    from keras_mobattn.benchmark.texts import devices_text as devices_text, labels_of as labels_of
    from keras_mobattn.benchmark.this_machine.benchmark import (
        benchmark_files as benchmark_files,
        benchmark_tflite as benchmark_tflite,
    )
    from keras_mobattn.benchmark.this_machine.host import describe_host as describe_host
    from keras_mobattn.benchmark.this_machine.roofline import (
        roofline_files as roofline_files,
        with_roofline as with_roofline,
    )
    from keras_mobattn.catalog import (
        BACKENDS as BACKENDS,
        COREML_DEVICES as COREML_DEVICES,
        COREML_UNITS as COREML_UNITS,
    )
    from keras_mobattn.formats.tflite.macs import count_file_macs as count_file_macs

__all__ = [*HOMES]
__getattr__, __dir__ = importer(__name__, HOMES)
