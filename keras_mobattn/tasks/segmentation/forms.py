"""The forms in which a segmenter is exported: what its file gives, and at what size."""

import dataclasses

from keras_mobattn.tasks.form import Form


@dataclasses.dataclass(frozen=True)
class SegmenterForm(Form):
    """A form of a segmenter's files; `activation` is what makes probabilities of its scores: "NONE" or "SOFTMAX"."""

    activation: str = "NONE"


FORMS = {
    # The number of each pixel's class, at the image's size, as Apple's own segmenters give it: int32 [H, W]
    "class_map": SegmenterForm(("class_map",), "Core ML", rows=True, computed=("scores",)),
    # Logits at the model's own stride, of which MediaPipe makes a mask: the least work, and the fewest bytes
    "logits": SegmenterForm(("logits",), None, activation="SOFTMAX"),
    # Probabilities at the model's own stride
    "probabilities": SegmenterForm(("probabilities",), None),
    # Probabilities at the image's size: for Android's Task Library, which resizes nothing
    "full_size": SegmenterForm(("full_size",), None),
}
DESCRIPTIONS = {
    "class_map": "The number of each pixel's class.",
    "logits": "For each pixel of a map, to be resized to the image with aligned corners, a logit for each class.",
    "probabilities": "For each pixel of a map, to be resized to the image with aligned corners, probabilities.",
    "full_size": "For each pixel the probability of each class.",
}
