"""What a .mlpackage says of itself: Xcode shows it, and Swift reads it as MLModelDescription."""

import json

from keras_mobattn._quiet import import_coremltools
from keras_mobattn.catalog import COREML_COMPRESSIONS
from keras_mobattn.export.coreml.inputs import CLASSIFIER, SEGMENTER
from keras_mobattn.export.exportable import INPUT_NAME, default_description
from keras_mobattn.tasks.segmentation.draw import palette

PREVIEW = "com.apple.coreml.model.preview.type"  # Xcode's, by coremltools' guide "Xcode Model Preview Types"
PARAMS = "com.apple.coreml.model.preview.params"


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
    if source.axis_labels and not interface.is_classifier(source):
        metadata.userDefined["labels"] = _json(source.axis_labels)
    for key, value in _preview(source, interface).items():
        metadata.userDefined[key] = value
    return import_coremltools().models.MLModel(spec, weights_dir=model.weights_dir, skip_model_load=True)


def _preview(source, interface):
    """{key: value} by which Xcode shows what the package finds in an image.

    Of a segmenter's forms the preview takes classes [H, W]; the others have channels last, and it would read logits as
    [1, K, H, W].
    """
    if interface.is_classifier(source):
        return {PREVIEW: CLASSIFIER}
    if source.form != "class_map" or interface.kind != "image" or not source.axis_labels:
        return {}
    colours = [f"#{bytes(colour).hex().upper()}" for colour in palette()[: len(source.axis_labels)]]
    return {PREVIEW: SEGMENTER, PARAMS: _json({"labels": source.axis_labels, "colors": colours})}


def _json(value):
    return json.dumps(value, ensure_ascii=False)


def _input_text(source, interface):
    height, width, channels = source.input_shape
    sizes = " or ".join(f"{h} x {w}" for h, w in ((height, width), *interface.sizes))
    colours = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
    values = ", values 0..255" if source.input_range.is_image else ""
    if interface.kind == "image":
        return f"Image of {sizes} pixels (height x width), {colours}."
    shape = f"{channels}, height, width" if interface.channels_first else f"height, width, {channels}"
    return f"Image [1, {shape}] of {sizes} pixels, {colours}{values}."


def _output_text(feature, source):
    if feature.type.WhichOneof("Type") == "stringType":
        return "The most likely class."
    return source.describe_output(feature.name)
