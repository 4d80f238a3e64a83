"""A Source: a set of images in splits, wherever they come from."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping

import tensorflow as tf

from keras_mobattn.data.decode import decode, decode_mask
from keras_mobattn.data.reading import Indexed, Sharded
from keras_mobattn.data.splits import TEST, VALIDATION
from keras_mobattn.data.targets import IGNORED
from keras_mobattn.errors import InputError, choose

SHOWN = 5  # how many classes a message names
LABELS = ("label", "box_labels")  # targets that are numbers of classes


@dataclasses.dataclass(frozen=True)
class Source:
    """A set of images in the splits "train", "test" and, where it holds out both, "validation".

    Attributes:
        name: of the tfds set or folder.
        class_names: in the order of the labels, or of a mask's values where there are neither labels nor boxes.
        num_examples: {split: number of images}.
        openers: {split: function that opens it}.
        targets: what stands beside an image in an example, see data.targets.
        fingerprint: of a folder's files, their labels and their order; "" for sets that have versions.
    """

    name: str
    class_names: tuple[str, ...]
    num_examples: Mapping[str, int]
    openers: Mapping[str, Callable[[], Indexed | Sharded | tf.data.Dataset]] = dataclasses.field(repr=False)
    targets: tuple[str, ...] = ("label",)
    fingerprint: str = ""

    @property
    def selection(self) -> str:
        """The split that the best epoch is picked on: "validation" where there is one, else "test"."""
        return VALIDATION if VALIDATION in self.num_examples else TEST

    def with_classes(self, names: Iterable[str]) -> "Source":
        """The same images, labelled by the classes' names with their places in `names`. Classes may have no images.

        Raises:
            InputError: a class of this source is not among them; more classes than a mask can tell; masks beside
                labels, whose classes are others.
        """
        names = tuple(names)
        if names == self.class_names:
            return self
        if other := [name for name in self.class_names if name not in names]:
            raise InputError(
                f"Expected classes of the model: {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}. "
                f"Received: {self.name!r} with {', '.join(other[:SHOWN])}{', ...' if len(other) > SHOWN else ''} "
                f"({len(other)} of its {len(self.class_names)} classes), which the model does not have. Rename the "
                "folders, or take images of the model's classes."
            )
        if "mask" in self.targets and (len(names) > IGNORED or {*LABELS} & {*self.targets}):
            raise InputError(
                f"Expected masks of up to {IGNORED} classes, and no other labels beside them, to tell them by other "
                f"places. Received: {len(names)} classes, for {', '.join(self.targets)}. Open one kind of targets."
            )
        places = tf.constant([names.index(name) for name in self.class_names], tf.int64)

        def relabelled(example):
            labels = {name: _replaced(example[name], places) for name in LABELS if name in example}
            mask = {"mask": _replaced_in_mask(example["mask"], places)} if "mask" in example else {}
            return {**example, **labels, **mask}

        def opener(split):
            opened = self.openers[split]()
            if isinstance(opened, tf.data.Dataset):
                return opened.map(relabelled)
            return dataclasses.replace(opened, example=lambda key: relabelled(opened.example(key)))

        openers = {split: functools.partial(opener, split) for split in self.openers}
        return dataclasses.replace(self, class_names=names, openers=openers)

    def open(self, split: str) -> tf.data.Dataset:
        """A tf.data.Dataset of {"image": uint8 [h, w, 3] RGB, "label": int64 or other targets}, in a fixed order."""

        def decoded(example):
            masks = {"mask": decode_mask(example["mask"])} if "mask" in example else {}
            orientation = example.pop("orientation", None)
            return {**example, "image": decode(example["image"], orientation), **masks}

        return self.open_encoded(split).map(decoded, tf.data.AUTOTUNE)

    def open_encoded(self, split: str) -> tf.data.Dataset:
        """As `open`, but "image" may be a string, the bytes of a JPEG, PNG, BMP or GIF.

        Beside it stands its EXIF "orientation", int32, in sets with images that need turning.
        """
        opened = choose(self.openers, split, "split")()
        return opened if isinstance(opened, tf.data.Dataset) else opened.open()

    def first(self, split: str, count: int) -> "Source":
        """A Source of the first `count` images of a split alone, which can be read in order."""
        openers = {split: lambda: self.open_encoded(split).take(count)}
        return dataclasses.replace(self, num_examples={split: count}, openers=openers)

    def read(self, split: str) -> Indexed | Sharded:
        """The Indexed or Sharded that reads the split in random order.

        Raises:
            InputError: this source can only be read in order.
        """
        opened = choose(self.openers, split, "split")()
        if isinstance(opened, tf.data.Dataset):
            raise InputError(
                f"Expected a source whose images can be read in random order, as open_source makes it. Received: "
                f"{self.name!r}, whose {split!r} opens as a tf.data.Dataset. Open it as an Indexed."
            )
        return opened


def _replaced(labels, places):
    """Labels, replaced by `places[label]`; below 0, which means none, they stay."""
    return tf.where(labels < 0, labels, tf.gather(places, tf.maximum(labels, 0)))


def _replaced_in_mask(mask, places):
    """A mask's pixels, replaced by `places[class]`, uint8 [h, w, 1]; IGNORED stays. A value without a place is an
    error of tf.gather."""
    mask = tf.cast(decode_mask(mask), tf.int64)
    ignored = mask == IGNORED
    return tf.cast(tf.where(ignored, mask, tf.gather(places, tf.where(ignored, tf.zeros_like(mask), mask))), tf.uint8)
