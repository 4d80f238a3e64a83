"""Which tfds sets have a class for each pixel, where they keep it, and what its values mean."""

from keras_mobattn.data.decode import decode_mask, encode_mask
from keras_mobattn.data.tfds_boxes import TargetFeatures, box_features
from keras_mobattn.errors import InputError

ELSEWHERE = "Take one of these, or write images and masks to a folder, and name that."
NO_CLASSES = {  # a set with masks of another kind -> what they are
    "scene_parse150": "tells single things of 100 categories apart, not ADE20k's 150 classes: take the folder of "
    "ADE20k's SceneParsing download",
    "cityscapes": "has to be downloaded by hand: take the folder with leftImg8bit/ and gtFine/",
}


def mask_features(name, features):
    """The TargetFeatures of the masks of the tfds set `name`, whose {name: feature} are `features`.

    It reads {"mask": bytes of a PNG}, a scalar string, whose values are the places of `class_names`. The meaning of a
    set's values is nowhere in its features: hence a table, of the sets that are known.

    Raises:
        InputError: a set that isn't among them.
    """
    if name not in READERS:
        hint = f"which {NO_CLASSES[name]}" if name in NO_CLASSES else "whose masks, if any, have unknown values"
        raise InputError(
            f"Expected a tfds set with a class for each pixel: {', '.join(READERS)}. Received: {name!r}, {hint}. "
            f"{ELSEWHERE}"
        )
    return READERS[name](features)


def _scenes(features):
    """Of our scenes: 1 + the class of what is in front, and 0 for what is behind all."""
    return TargetFeatures(
        ("mask",), ("background", *box_features(features).class_names), lambda example: {"mask": example["mask"]}
    )


def _pets(features):
    """Of oxford_iiit_pet: 1 the pet, 2 what is behind it, 3 the border between, which its users learn as a class
    (keras.io and tensorflow.org: "Image segmentation")."""

    def read(example):
        return {"mask": encode_mask(decode_mask(example["segmentation_mask"]) - 1)}

    return TargetFeatures(("segmentation_mask",), ("pet", "background", "border"), read)


READERS = {"digit_scenes": _scenes, "photo_scenes": _scenes, "oxford_iiit_pet": _pets}
