"""An object detector's package: the network, and Core ML's NonMaximumSuppression behind it, which Vision returns as
recognised objects."""

import itertools

from keras_mobattn._quiet import import_coremltools
from keras_mobattn.export.exportable import INPUT_NAME
from keras_mobattn.formats.coreml.suppression import Suppression, make_suppression, width_of
from keras_mobattn.tasks.detection.forms import FORMS

THRESHOLDS = {  # input of the package -> what it is
    "iouThreshold": "Overlap with a better box of the same class, 0..1, above which a box is left out",
    "confidenceThreshold": "Least score of an object, 0..1",
}


def with_suppression(model, source):
    """The coremltools MLModel of a network in form "vision" as a pipeline that finds objects.

    Its inputs are the network's image and, as wished, both THRESHOLDS; by default the overlap is that of the form's
    rules and the score the task's. Outputs: "confidence" [n, K] and "coordinates" [n, 4], float32.
    """
    ct = import_coremltools()
    form, spec = FORMS["vision"], model.get_spec()
    version = spec.specificationVersion
    thresholds = dict(zip(THRESHOLDS, (form.rules.max_overlap, source.task.min_score), strict=True))
    classes = width_of(next(each for each in spec.description.output if each.name == form.computed[0]))
    named = list(source.labels) or [f"class {number}" for number in range(classes)]
    others = (name for name in (f"unused {number}" for number in range(2 * classes)) if name not in named)
    labels = [*named, *itertools.islice(others, classes - len(named))]
    ends = form.computed, form.outputs, tuple(THRESHOLDS)
    how = Suppression(*ends, *thresholds.values(), form.rules.by_class, tuple(labels))
    suppression = make_suppression(spec, how)
    names = (INPUT_NAME, *THRESHOLDS)
    pipeline = ct.models.pipeline.Pipeline([(name, ct.models.datatypes.Double()) for name in names], list(form.outputs))
    pipeline.add_model(spec)
    pipeline.add_model(suppression)
    made = pipeline.spec
    made.specificationVersion = version
    made.description.input[0].CopyFrom(spec.description.input[0])
    for feature in made.description.input[1:]:
        feature.type.isOptional = True
        feature.shortDescription = f"{THRESHOLDS[feature.name]}; {thresholds[feature.name]:g} by default."
    for feature, from_suppression in zip(made.description.output, suppression.description.output, strict=True):
        feature.CopyFrom(from_suppression)
        feature.shortDescription = source.describe_output(feature.name)
    made.description.metadata.CopyFrom(spec.description.metadata)
    return ct.models.MLModel(made, weights_dir=model.weights_dir, skip_model_load=True)
