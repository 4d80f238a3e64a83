"""Opening a Source, whether a tfds set, an embedded builder, or a folder."""

import contextlib
import difflib
import functools
import importlib
import io
import itertools
import os
from pathlib import Path

from keras_mobattn._packages import needs
from keras_mobattn._types import PathLike
from keras_mobattn.catalog import EMBEDDED
from keras_mobattn.data.folder_source import BOXES, folder_source
from keras_mobattn.data.reading import BLOCK_BYTES, MEMORY_BYTES, Indexed, Sharded, column_of
from keras_mobattn.data.source import Source
from keras_mobattn.data.splits import TEST, TRAIN, VALIDATION, by_split
from keras_mobattn.data.tfds_boxes import box_features
from keras_mobattn.data.tfds_masks import mask_features
from keras_mobattn.errors import InputError, expect_kind, expect_path, expect_range
from keras_mobattn.files import CACHE, cache_folder

# All builders that tfds doesn't have
OURS = EMBEDDED | {name: f"keras_mobattn.data.{name}" for name in ("fashion_mnist_quarter", "photo_scenes")}
DRAWN = ("digit_crops", "digit_scenes")  # sets of EMBEDDED that a seed draws
LOOKED_AT = 100  # examples of a split, of which one has to have a box
ELSEWHERE = f"Name a folder that can be written, as data_dir='FOLDER', or by the environment's {CACHE}."
PREPARE = (
    "Prepare it where there is a network and room on the disk, and name its folder, as data_dir='FOLDER'; or use an "
    f"embedded set: {', '.join(EMBEDDED)}."
)
HELD_OUT_PERCENT = 20  # of "train", where a set has neither validation nor test


def open_source(
    name: PathLike,
    data_dir: PathLike | None = None,
    on_corrupt: str = "error",
    seed: int = 0,
    targets: tuple[str, ...] | list[str] = ("label",),
    for_test: bool = False,
) -> Source:
    """The Source of a tfds set, by name (those of EMBEDDED need no download), or of a folder of images.

    The folder has one sub-folder for each class. A name means a folder if there is one, or if it holds a path separator
    or starts with "." or "~". But a name of EMBEDDED always means the embedded set (write "./digits" for a folder), and
    "imagenet_resized/32x32", whose first part tfds knows, is a tfds set unless there is such a folder.

    Args:
        name: Of the set or folder.
        data_dir: Where tfds sets are prepared when they are not there yet; None for tfds's own default.
        on_corrupt: What happens to images in a folder that can't be decoded: "error", or "skip", which names, counts
            and leaves them out.
        seed: Draws the scenes of "digit_scenes" and "digit_crops", and the test images of a folder without a split of
            its own. It is not a training seed: runs that are to be compared share it.
        targets: What is read of an example beside its image: "label"; "boxes" and "box_labels", in folders COCO's
            JSON, Pascal VOC's XML or YOLO's text, in tfds sets those that `tfds_boxes.box_features` finds, without
            crowds; "mask", in folders what `masks.read_masks` reads, in tfds sets that `tfds_masks` knows.
        for_test: Make all images of a folder without splits the test, for a model that was trained on other images.

    Raises:
        InputError: no such set or folder, no image and label, fewer than two classes, corrupt images, or a set that
            can't be downloaded or written.
    """
    expect_kind("targets", targets, (tuple, list), "a tuple of names")
    expect_range("seed", seed, whole=True)
    needs("Pillow")
    if is_folder(name):
        return folder_source(Path(os.path.expanduser(name)), targets, on_corrupt, seed, for_test)
    needs("tensorflow-datasets")
    return _tfds_source(os.fspath(name), data_dir, seed, tuple(targets))


def is_folder(name: PathLike) -> bool:
    """Whether `open_source` takes the name of a set for a folder."""
    expect_path(name, "name")
    name = os.fspath(name)  # as it was written: a Path would make "nowhere" of "./nowhere"
    if name in EMBEDDED:
        return False
    if name.startswith((".", "~")) or Path(os.path.expanduser(name)).is_dir():
        return True
    return os.sep in name and name.split(os.sep)[0] not in _tfds_names()


def _tfds_names():
    import tensorflow_datasets as tfds

    return [*OURS, *tfds.list_builders(with_community_datasets=False)]


def _tfds_source(name, data_dir, seed, targets):
    builder = _prepared_builder(name, data_dir, seed, targets)
    splits = _choose_splits(builder, targets)
    return Source(
        name=name,
        class_names=_class_names(builder, targets),
        num_examples={split: builder.info.splits[theirs].num_examples for split, theirs in splits.items()},
        # Opened once: what is kept in memory is not read from disk again by the next that asks for it.
        openers={
            split: functools.cache(functools.partial(_open_tfds, builder, part, targets))
            for split, part in splits.items()
        },
        targets=targets,
    )


def _class_names(builder, targets):
    """The names of the boxes' classes where these are wanted; of the mask's where it is alone; else of the images'
    labels, or ()."""
    features = builder.info.features
    if "mask" in targets and not {"label", "box_labels"} & set(targets):
        return mask_features(builder.name, features).class_names
    if "box_labels" in targets or "label" not in features:
        boxes = box_features(features)
        return boxes.class_names if boxes else ()
    return tuple(features["label"].names)


def _open_tfds(builder, split, targets):
    """An Indexed of a set of up to MEMORY_BYTES, else a Sharded; images and masks stay encoded."""
    info = builder.info.splits[split]
    whole = _sharded(builder, info, targets)
    if info.num_bytes > MEMORY_BYTES:
        return whole
    examples = list(whole.open().as_numpy_iterator())
    columns = {name: column_of([example[name] for example in examples]) for name in ("image", *targets)}
    return Indexed(len(examples), lambda i: {name: column[i] for name, column in columns.items()})


def _sharded(builder, info, targets):
    import tensorflow_datasets as tfds

    if builder.info.file_format is not tfds.core.FileFormat.TFRECORD:
        raise InputError(
            f"Expected a tfds set in TFRecord files. Received: {builder.name!r} in {builder.info.file_format.value} "
            f"files. Prepare it again with file_format='tfrecord'."
        )
    own, others = _plain("image", *targets), []
    if set(BOXES) & set(targets):
        others.append(box_features(builder.info.features))
    if "mask" in targets:
        others.append(mask_features(builder.name, builder.info.features))
    names = [*own, *(name for each in others for name in each.names)]
    features = {name: builder.info.features[name] for name in names}
    images = [name for name, feature in features.items() if isinstance(feature, tfds.features.Image)]
    decoders = {name: tfds.decode.SkipDecoding() for name in images}
    features = tfds.features.FeaturesDict(features)

    def example(record):
        read = features.deserialize_example(record, decoders=decoders)
        found = {name: read[name] for name in own}
        for each in others:
            found |= each.read(read)
        return {name: found[name] for name in ("image", *targets)}

    files = info.file_instructions
    return Sharded(
        files=tuple(str(file.filename) for file in files),
        skip=tuple(file.skip for file in files),
        take=tuple(file.take for file in files),
        block=max(1, BLOCK_BYTES * info.num_examples // max(1, info.num_bytes)),
        example=example,
    )


def _plain(*names):
    """The image and targets that tfds's usual features are called as: all but boxes and masks."""
    return tuple(name for name in names if name not in (*BOXES, "mask"))


def _prepared_builder(name, data_dir, seed, targets):
    builder = _find_builder(name, data_dir, seed)
    _check_features(name, builder.info.features, targets)
    if "mask" in targets:
        mask_features(builder.name, builder.info.features)  # which refuses other sets
    if builder.data_path.exists():
        return builder
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # tfds announces "Unknown size"; its progress bars go to stderr
            builder.download_and_prepare()
    except Exception as error:  # tfds raises whatever the download, the checksums, the set's own code or the disk raise
        if not builder.data_path.exists():
            raise InputError(
                f"Dataset {name!r} is not in {builder.data_dir} and could not be prepared there: "
                f"{_first_line(error)}. {ELSEWHERE if name in EMBEDDED else PREPARE}"
            ) from error
        builder = _find_builder(name, data_dir, seed)  # another process has finished the same set in the meantime
    return builder


def _find_builder(name, data_dir, seed):
    import tensorflow_datasets as tfds

    config = {}
    if name in OURS:
        module = importlib.import_module(OURS[name])  # registers the builder
        if name in DRAWN and seed != 0:
            config = {"config": module.DigitScenesConfig(name=f"seed{seed}", seed=seed)}
    data_dir = Path(os.path.expanduser(data_dir)) if data_dir else _usual_data_dir()
    try:
        return tfds.builder(name, data_dir=data_dir, **config)
    except Exception as error:  # a config that does not exist, a package that the set's code needs, damaged metadata
        unknown = isinstance(error, tfds.core.DatasetNotFoundError) or str(error).startswith("Parsing builder name")
        if unknown:
            raise _no_such_set(name) from error
        raise InputError(f"Expected a tfds dataset that opens. Received: {name!r}: {_first_line(error)}.") from error


def _no_such_set(name):
    close = difflib.get_close_matches(name.split("/")[0], _tfds_names(), 3, cutoff=0.7)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "tensorflow.org/datasets lists the names."
    return InputError(
        f"Expected {', '.join(map(repr, EMBEDDED))}, a tfds name or a folder of images. Received: {name!r}, which is "
        f"no folder in {Path.cwd()}; {hint}"
    )


def _usual_data_dir():
    """A folder in $KERAS_MOBATTN_CACHE where that is set; else None, for tfds's own or $TFDS_DATA_DIR."""
    if os.environ.get(CACHE) and not os.environ.get("TFDS_DATA_DIR"):
        return cache_folder("tensorflow_datasets")
    return None


def _check_features(name, features, targets):
    import tensorflow_datasets as tfds

    features = (
        dict(features.items()) if hasattr(features, "items") else {"example": features}
    )  # a set may be one feature
    kinds = {"label": tfds.features.ClassLabel}
    expected = {name: kinds.get(name, tfds.features.Image) for name in _plain("image", *targets)}
    boxes = bool(set(BOXES) & set(targets))
    fits = all(isinstance(features.get(key), kind) for key, kind in expected.items())
    if not fits or (boxes and box_features(features) is None):
        wanted = ", ".join(f"{key}: {kind.__name__}" for key, kind in expected.items())
        wanted += ", objects: Sequence with bbox" if boxes else ""
        found = ", ".join(f"{key}: {type(feature).__name__}" for key, feature in features.items())
        raise InputError(f"Expected a dataset with {wanted}. Received: {name!r} with {found}.")


def _choose_splits(builder, targets):
    """{our split: its name in tfds's split language} of the splits with labels; imagenet2012's "test" has none."""
    theirs = builder.info.splits
    named = by_split(theirs)
    if TRAIN not in named:
        raise InputError(f"Expected a 'train' split in {builder.name!r}. Received: {', '.join(map(repr, theirs))}.")

    def has_labels(name):
        examples = itertools.islice(_sharded(builder, theirs[name], targets).open(), LOOKED_AT)
        if "boxes" in targets:  # coco's test has none, though some images of its train have none either
            return any(len(example["boxes"]) for example in examples)
        first = next(examples)
        return "label" not in first or first["label"] >= 0

    held_out = {split: named[split] for split in (VALIDATION, TEST) if split in named and has_labels(named[split])}
    if len(held_out) == 1:
        held_out = {TEST: next(iter(held_out.values()))}
    if held_out:
        return {TRAIN: named[TRAIN], **held_out}
    return {TRAIN: f"{named[TRAIN]}[:-{HELD_OUT_PERCENT}%]", TEST: f"{named[TRAIN]}[-{HELD_OUT_PERCENT}%:]"}


def _first_line(error):
    return next((line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()), type(error).__name__)
