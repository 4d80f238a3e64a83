"""The targets beside an image in an example, and how they follow the image when it is cut and mirrored.

An example is {"image": .., target: ..}. Targets that name a place are moved by the rules of MOVES:
    boxes: float32 [n, 4] of (ymin, xmin, ymax, xmax), shares of the image's sides; box_labels: int64 [n], each one's
    class.
    mask: a class for each pixel of the upright image, uint8 [h, w, 1], or the bytes of an 8-bit grey PNG of it. IGNORED
    stands for none.
All others, as the label int64, are for the whole image and stay as they are. Beside boxes a view has SIDES, beside a
mask WHOLE_MASK.
"""

import dataclasses
from typing import TYPE_CHECKING, Protocol

import tensorflow as tf

from keras_mobattn.data.decode import decode_mask
from keras_mobattn.data.image_ops import rotate_nearest
from keras_mobattn.errors import InputError

if TYPE_CHECKING:
    from keras_mobattn.data.source import Source

SIDES = "sides"  # int32 [2], (height, width) in pixels of the image that a view was made of
WHOLE_MASK = "whole_mask"  # bytes of a PNG: the mask of the image that a view was made of
IGNORED = 255  # a mask's value for pixels that count nowhere
PADDING = {"boxes": 0.0, "box_labels": -1}  # targets with a row for each object -> the value that fills up a batch


@dataclasses.dataclass(frozen=True)
class Geometry:
    """How a view is cut from an image: drawn once, then applied to the image and to every target alike.

    A box of the image is resized, cropped, perhaps mirrored, filled up at the bottom and at the right where it is
    smaller than the view, and perhaps turned. Each field is a pair (vertical, horizontal) of ints or an int32 [2], in
    pixels.
    """

    shape: tf.Tensor  # of the image
    begin: tf.Tensor  # of the box
    size: tf.Tensor  # of the box
    scaled: tf.Tensor  # size of the box after it is resized
    offset: tf.Tensor  # of the view in the resized box
    out: tf.Tensor  # size of the view
    flipped: tf.Tensor | bool = False  # left for right; a bool
    angle: tf.Tensor | None = None  # by which the view is turned against the clock, in degrees; boxes can't follow
    centred: bool = False  # whether the view shows those objects alone whose centre is in it; else all that it cuts

    @property
    def shown(self):
        """The (height, width) of what the view shows of the resized box, int32 [2]."""
        return tf.minimum(tf.stack(self.scaled) - tf.stack(self.offset), tf.stack(self.out))

    def fill(self, pixels, value):
        """What is shown, [h, w, c], filled up with `value` to the size of the view."""
        rows, columns = tf.unstack(tf.stack(self.out) - self.shown)
        return tf.pad(pixels, [[0, rows], [0, columns], [0, 0]], constant_values=value)


def move_boxes(targets, geometry):
    """The boxes as shares of the view, cut off at its border; boxes outside of it are left out, with their labels."""
    names = ("shape", "begin", "size", "scaled", "offset", "out", "shown")
    shape, begin, size, scaled, offset, out, shown = (
        tf.tile(tf.cast(getattr(geometry, name), tf.float32), [2])  # for both corners
        for name in names
    )
    boxes = ((targets["boxes"] * shape - begin) * (scaled / size) - offset) / out
    right = shown[1] / out[1]
    mirrored = tf.stack([boxes[:, 0], right - boxes[:, 3], boxes[:, 2], right - boxes[:, 1]], axis=1)
    boxes = tf.where(geometry.flipped, mirrored, boxes)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    boxes = tf.clip_by_value(boxes, 0.0, 1.0)
    seen = tf.reduce_all(boxes[:, 2:] > boxes[:, :2], axis=1)
    if geometry.centred:
        seen &= tf.reduce_all((centre > 0) & (centre < 1), axis=1)
    rows = {name: targets[name] for name in PADDING if name in targets} | {"boxes": boxes}
    return targets | {name: tf.boolean_mask(each, seen) for name, each in rows.items()}


def move_mask(targets, geometry):
    """The mask of the view, uint8 [H, W, 1]; each pixel has the class of the nearest one, since classes don't mix, and
    IGNORED where the view shows nothing."""
    mask = decode_mask(targets["mask"])
    fits = tf.debugging.assert_equal(tf.shape(mask)[:2], geometry.shape, "Expected a mask of its image's size.")
    with tf.control_dependencies([fits] if fits is not None else []):  # eagerly it has been checked
        mask = _part(mask, geometry.begin, geometry.size)
    mask = tf.image.resize(mask, geometry.scaled, tf.image.ResizeMethod.NEAREST_NEIGHBOR)
    mask = _part(mask, geometry.offset, geometry.shown)
    mask = geometry.fill(tf.where(geometry.flipped, tf.reverse(mask, [1]), mask), IGNORED)
    if geometry.angle is not None:
        mask = rotate_nearest(mask, geometry.angle, IGNORED)
    sides = (side if isinstance(side, int) else None for side in geometry.out)
    return targets | {"mask": tf.ensure_shape(mask, [*sides, 1])}


MOVES = {"boxes": move_boxes, "mask": move_mask}


def moved(targets, geometry):
    """All targets of an image, as they are in its view."""
    for name, move in MOVES.items():
        if name in targets:
            targets = move(targets, geometry)
    return targets


def _part(pixels, begin, size):
    begin, size = tf.cast(begin, tf.int32), tf.cast(size, tf.int32)
    return tf.slice(pixels, tf.pad(begin, [[0, 1]]), tf.pad(size, [[0, 1]], constant_values=-1))


class Encoder(Protocol):
    """What makes the labels of a batch: Labels, or a `tasks.Task`. The names are those of Labels."""

    targets: tuple[str, ...]
    mixes: bool
    truth: tuple[str, ...]
    whole_image: bool

    def encode(
        self, images: tf.Tensor, targets: dict[str, tf.Tensor], source: "Source"
    ) -> tf.Tensor | dict[str, tf.Tensor]:
        """The labels for the loss."""


class Labels:
    """The default for what is learned of an image: its class. Tasks of another kind have the same three names.

    Attributes:
        targets: what it needs of an example beside the image.
        mixes: whether `encode` gives float32 [B, K], which MixUp and CutMix may mix.
        truth: what an evaluation is told beside the labels: names of `targets`, SIDES or WHOLE_MASK.
        whole_image: whether an image is seen whole, its sides stretched, rather than cut out of its middle.
    """

    targets: tuple[str, ...] = ("label",)
    mixes = True
    truth: tuple[str, ...] = ()
    whole_image = False

    def encode(self, images: tf.Tensor, targets: dict[str, tf.Tensor], source: "Source") -> tf.Tensor:
        """The labels for the loss, from images float32 [B, H, W, 3] in 0..255 and {target: batch}: one-hot here."""
        return tf.one_hot(targets["label"], len(source.class_names))


LABELS = Labels()


def crop_of(task, crop):
    """The `crop` of `data.resize_and_crop` with which images are seen for a task: None where it needs all of them.

    Raises:
        InputError: a crop for such a task.
    """
    if not task.whole_image:
        return crop
    if crop not in (None, 1):
        raise InputError(
            f"Expected whole images for {', '.join(task.targets)}: a crop would leave out what is at the sides. "
            f"Received: {crop}. Take 1."
        )
    return None


def expect_targets(task, source, augmentation):
    """Refuse a source without the task's targets, and an augmentation that these can't follow.

    Raises:
        InputError: the source or the augmentation doesn't fit.
    """
    missing = [name for name in task.targets if name not in source.targets]
    if missing:
        raise InputError(
            f"Expected a data set with {', '.join(task.targets)}. Received: {source.name!r} with "
            f"{', '.join(source.targets) or 'images alone'}. Take one that has {', '.join(missing)}."
        )
    placed = [name for name in task.targets if name in MOVES]
    if placed and (augmentation.rand_augment or augmentation.layers):
        raise InputError(
            f"Expected an augmentation whose geometry {' and '.join(placed)} can follow: crops and mirroring, as "
            "'none', 'imagenet' and 'ssd' have, for masks 'segmentation'. Received: one that turns and shears images "
            "alone. Take one of these."
        )
    if augmentation.rotation and "boxes" in task.targets:
        raise InputError(
            f"Expected an augmentation that boxes can follow. Received: one that turns images by up to "
            f"{augmentation.rotation:g} degrees, after which boxes would stand around more than their objects. Take "
            "'ssd' or 'zoom'."
        )
    if augmentation.object_crop and "boxes" not in task.targets:
        raise InputError(
            f"Expected an augmentation that needs no boxes. Received: one that crops around objects, for "
            f"{', '.join(task.targets) or 'targets of its own'}. Take another, or a task with boxes."
        )
    if augmentation.mixing and not task.mixes:
        raise InputError(
            "Expected an augmentation without MixUp and CutMix, which mix labels of images alone. Received: one with "
            f"them for {', '.join(task.targets) or 'targets of its own'}. Take another."
        )
