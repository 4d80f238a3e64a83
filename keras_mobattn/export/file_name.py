"""What a converted file is called when its user names none: other results have other names."""

import zlib
from pathlib import Path
from typing import Any

from keras_mobattn.formats.kinds import Kind

FEW = 4  # input sizes that a name lists


def file_name(stem: str, kind: Kind, precision: str, *, single_output: bool = False, **options: Any) -> str:
    """The name of a file of a FileKind, made of a model file called `stem`.

    `options` are those of `to_tflite` or `to_coreml` that make another interface or another content: input_dtype,
    output_dtype, form, compression, input_type, input_sizes, float32_layers, minimum_deployment_target. What is by
    default isn't in the name: "model_int8.tflite", "model_int8_uint8in.tflite",
    "model_fp16_int8_image_320x320.mlpackage". Nor are float32_layers in that of a model that is float32 throughout.
    """
    if precision == "fp32":
        options.pop("float32_layers", None)
    parts = [stem, precision, *(text(options[name]) for name, text in PARTS.items() if name in options)]
    return "_".join(filter(None, [*parts, "single" if single_output else ""])) + kind.suffix


def left_from_before(path: Path) -> str:
    """A sentence, after that on a conversion to `path` which failed, on what was there before; "" for nothing."""
    return f" {path.name} is there all the same, from before." if path.exists() else ""


def _sizes(sizes):
    if len(sizes) <= FEW:
        return "_".join(f"{height}x{width}" for height, width in sizes)
    return f"{len(sizes)}sizes{zlib.crc32(repr([tuple(size) for size in sizes]).encode()):08x}"


PARTS = {  # option -> its part of the name, "" for the default
    "form": lambda form: form or "",
    "compression": lambda name: name or "",
    "input_dtype": lambda dtype: "" if dtype == "float32" else f"{dtype}in",
    "output_dtype": lambda dtype: "" if dtype == "float32" else f"{dtype}out",
    "input_type": lambda kind: "" if kind == "tensor" else kind,
    "input_sizes": _sizes,
    "float32_layers": lambda names: f"f32{zlib.crc32(repr(sorted(names)).encode()):08x}" if names else "",
    "minimum_deployment_target": lambda target: "" if target == "iOS17" else target,
}
