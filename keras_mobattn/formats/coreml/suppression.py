"""The second model of an object detector's package: Core ML's NonMaximumSuppression, as a plain record."""

import dataclasses

from keras_mobattn._quiet import import_coremltools

KIND = "nonMaximumSuppression"
_VERSION = 5  # of the specification, the first whose suppression takes float32


@dataclasses.dataclass(frozen=True)
class Suppression:
    """What it takes, gives and does; see NonMaximumSuppression.proto of coremltools.

    Attributes:
        taken: names of the probabilities [A, K] and boxes [A, 4] that it takes.
        given: names of the rows of them that it gives.
        thresholds: names of the pipeline's inputs that replace `overlap` and `score`.
        overlap: of a better box of the same class, above which a box is left out.
        score: the least probability of a box's most likely class.
        by_class: whether that better box has to be of the same class.
        labels: the class names, K.
    """

    taken: tuple[str, str]
    given: tuple[str, str]
    thresholds: tuple[str, str]
    overlap: float
    score: float
    by_class: bool
    labels: tuple[str, ...]


def find_models(spec):
    """(the ML program, the suppression or None) of a specification: protobuf Models; (None, None) of another."""
    if spec.WhichOneof("Type") == "mlProgram":
        return spec, None
    models = list(spec.pipeline.models) if spec.WhichOneof("Type") == "pipeline" else []
    if [model.WhichOneof("Type") for model in models] == ["mlProgram", KIND]:
        return tuple(models)
    return None, None


def read_suppression(model):
    """A protobuf Model as a Suppression."""
    found = model.nonMaximumSuppression
    return Suppression(
        taken=(found.confidenceInputFeatureName, found.coordinatesInputFeatureName),
        given=(found.confidenceOutputFeatureName, found.coordinatesOutputFeatureName),
        thresholds=(found.iouThresholdInputFeatureName, found.confidenceThresholdInputFeatureName),
        overlap=found.iouThreshold,
        score=found.confidenceThreshold,
        by_class=found.pickTop.perClass,
        labels=tuple(found.stringClassLabels.vector),
    )


def make_suppression(network, suppression):
    """The protobuf Model of a Suppression behind a network, whose outputs are arrays [A, K] and [A, 4]."""
    made = import_coremltools().proto.Model_pb2.Model()
    made.specificationVersion = _VERSION
    by_name = {feature.name: feature for feature in network.description.output}
    for given, taken in zip(suppression.given, suppression.taken, strict=True):
        made.description.input.add().CopyFrom(by_name[taken])
        output = made.description.output.add()
        output.CopyFrom(by_name[taken])
        output.name = given
        _open_rows(output)
    found = made.nonMaximumSuppression
    found.confidenceInputFeatureName, found.coordinatesInputFeatureName = suppression.taken
    found.confidenceOutputFeatureName, found.coordinatesOutputFeatureName = suppression.given
    found.iouThresholdInputFeatureName, found.confidenceThresholdInputFeatureName = suppression.thresholds
    found.iouThreshold, found.confidenceThreshold = suppression.overlap, suppression.score
    found.pickTop.perClass = suppression.by_class
    found.stringClassLabels.vector.extend(suppression.labels)
    return made


def width_of(feature):
    """The columns of a feature that is an array of rows."""
    return int(feature.type.multiArrayType.shape[-1])


def _open_rows(feature):
    """Let an array [A, k] have any number of rows."""
    array, width = feature.type.multiArrayType, width_of(feature)
    del array.shape[:]
    for low, high in ((0, -1), (width, width)):
        size = array.shapeRange.sizeRanges.add()
        size.lowerBound, size.upperBound = low, high
