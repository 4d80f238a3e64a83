"""One name for one result: what makes another file stands in its name."""

import itertools

import pytest

from helpers.small_models import shared_model
from keras_mobattn import delivery, export
from keras_mobattn.catalog import COREML_OUTPUT_DTYPES, FORMS
from keras_mobattn.commands import convert_coreml, convert_tflite
from keras_mobattn.export import file_name
from keras_mobattn.formats.kinds import COREML, TFLITE

TFLITE_OPTIONS = {
    "precision": tuple(export.TFLITE_PRECISIONS),
    "input_dtype": tuple(export.IO_DTYPES),
    "output_dtype": tuple(export.IO_DTYPES),
    "single_output": (False, True),
    "form": (None, *FORMS[TFLITE.name]),
}
COREML_OPTIONS = {
    "precision": tuple(export.COREML_PRECISIONS),
    "compression": (None, *export.COREML_COMPRESSIONS),
    "input_type": tuple(export.INPUT_TYPES),
    "output_dtype": COREML_OUTPUT_DTYPES,
    "input_sizes": ((), ((64, 128),), ((128, 64),), ((64, 128), (128, 64)), tuple((32 * i, 64) for i in range(1, 128))),
    "minimum_deployment_target": ("iOS16", "iOS17"),
    "float32_layers": ((), ("conv",), ("conv", "head")),
    "single_output": (False, True),
    "form": (None, *FORMS[COREML.name]),
}


@pytest.mark.parametrize(("kind", "options"), [(TFLITE, TFLITE_OPTIONS), (COREML, COREML_OPTIONS)])
def test_no_two_results_have_one_name(kind, options):
    cases = [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]
    cases = [case for case in cases if case["precision"] == "fp16" or not case.get("float32_layers")]  # the same file
    names = [file_name("model", kind, **case) for case in cases]
    assert len(set(names)) == len(cases)
    assert names == [file_name("model", kind, **case) for case in cases]
    assert all(name.startswith("model_") and name.endswith(kind.suffix) and len(name) < 130 for name in names)


def test_plain_results_have_plain_names():
    assert file_name("digits", TFLITE, "int8") == "digits_int8.tflite"
    assert file_name("digits", COREML, "fp16", compression="int8", input_sizes=[(320, 256)]) == (
        "digits_fp16_int8_320x256.mlpackage"
    )
    assert file_name("digits", COREML, "fp32", float32_layers=("conv",)) == "digits_fp32.mlpackage"


@pytest.mark.sampled
def test_conversions_of_other_options_lie_side_by_side(tmp_path, capsys):
    shared_model().save(tmp_path / "net.keras")
    for options in ({}, {"input_dtype": "uint8"}, {"output_dtype": "int8"}):
        assert convert_tflite.main(tmp_path / "net.keras", **options) == 0
    for kind in export.INPUT_TYPES:
        assert convert_coreml.main(tmp_path / "net.keras", precision=("fp32",), input_type=kind) == 0
    made = delivery.deliver(tmp_path / "net.keras", formats=("tflite-fp32", "coreml-fp32"))
    assert [row.file for row in made.rows[1:]] == ["net_fp32.tflite", "net_fp32_image.mlpackage"]
    assert {path.name for path in tmp_path.iterdir() if path.suffix in (".tflite", ".mlpackage")} == {
        "net_fp32.tflite", "net_fp32_uint8in.tflite", "net_fp32_int8out.tflite",
        "net_fp32.mlpackage", "net_fp32_image.mlpackage", "net_fp32_channels_first.mlpackage",
    }  # fmt: skip
