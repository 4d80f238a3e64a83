"""The description that the tfds builders of this package share."""

import tensorflow_datasets as tfds


def labelled_images(builder, description, shape, class_names, citation=None):
    """The DatasetInfo of a builder whose examples are {"image": uint8 `shape`, kept as PNG, "label": a class's
    index}."""
    return tfds.core.DatasetInfo(
        builder=builder,
        description=description,
        citation=citation,
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=shape, encoding_format="png"),
                "label": tfds.features.ClassLabel(names=class_names),
            }
        ),
        supervised_keys=("image", "label"),
    )
