"""What a .mlpackage says of itself: Xcode shows it, and Swift reads it as MLModelDescription."""

import json

from keras_mobattn._quiet import import_coremltools
from keras_mobattn.catalog import COREML_COMPRESSIONS
from keras_mobattn.export.exportable import INPUT_NAME, default_description

PREVIEW = "com.apple.coreml.model.preview.type"  # Xcode's, by coremltools' guide "Xcode Model Preview Types"


def describe(model, source, interface, precision, compression, about):
    """Return the coremltools MLModel with descriptions, and the `about` of to_coreml, filled in."""
    spec = model.get_spec()
    metadata = spec.description.metadata
    how = precision if compression is None else f"{precision}, weights {COREML_COMPRESSIONS[compression].description}"
    text = default_description(source, how)
    name = about.name or source.model.name  # Core ML has no field for it
    metadata.shortDescription = about.description or f"{name}: {text[0].lower()}{text[1:]}"
    metadata.author, metadata.license, metadata.versionString = about.author, about.license, about.version
    for feature in spec.description.input:
        feature.shortDescription = _input_text(source, interface) if feature.name == INPUT_NAME else ""
    for feature in spec.description.output:
        feature.shortDescription = _output_text(feature, source)
    if interface.is_classifier(source):
        metadata.userDefined[PREVIEW] = source.task.coreml_type
    elif source.axis_labels:
        metadata.userDefined["labels"] = json.dumps(source.axis_labels, ensure_ascii=False)
    return import_coremltools().models.MLModel(spec, weights_dir=model.weights_dir, skip_model_load=True)


def _input_text(source, interface):
    height, width, channels = source.input_shape
    sizes = " or ".join(f"{h} x {w}" for h, w in ((height, width), *interface.sizes))
    colours = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
    values = ", values 0..255" if source.input_range.is_image else ""
    if interface.kind == "image":
        return f"Image of {sizes} pixels (height x width), {colours}."
    return f"Image [1, height, width, {channels}] of {sizes} pixels, {colours}{values}."


def _output_text(feature, source):
    if feature.type.WhichOneof("Type") == "stringType":
        return "The most likely class."
    return source.describe_output(feature.name)
