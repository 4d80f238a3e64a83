"""The images of a whole training run as one tf.data stream that can be entered at any step."""

import dataclasses
import socket

import numpy as np
import tensorflow as tf

from keras_mobattn.catalog import AUGMENTATIONS
from keras_mobattn.data.example_view import batch_view, example_view
from keras_mobattn.data.pipeline import batched
from keras_mobattn.data.source import Source
from keras_mobattn.data.step_plan import StepPlan
from keras_mobattn.data.targets import LABELS, Encoder, crop_of, expect_targets
from keras_mobattn.errors import InputError, choose, expect_kind, expect_range

NUMBER = "the image's number in the run"  # beside the targets, whose names are words


@dataclasses.dataclass(frozen=True)
class Share:
    """A pipeline's part of each global batch: the `pipeline`-th of `pipelines` parts, cut up for `replicas`.

    Raises:
        InputError: numbers below 1, or a pipeline that is not one of them.
    """

    pipeline: int = 0
    pipelines: int = 1
    replicas: int = 1

    def __post_init__(self):
        expect_range("pipelines", self.pipelines, 1, whole=True)
        expect_range("replicas", self.replicas, 1, whole=True)
        expect_range("pipeline", self.pipeline, 0, self.pipelines - 1, whole=True)


def training_stream(
    source: Source,
    plan: StepPlan,
    augment: str,
    *,
    seed: int,
    first_step: int = 0,
    num_steps: int | None = None,
    share: Share = Share(),  # noqa: B008 frozen
    repeats: int = 1,
    service: str | None = None,
    task: Encoder = LABELS,
) -> tf.data.Dataset:
    """The training batches of `plan` from step `first_step` on, one dataset for all epochs.

    Args:
        source: The Source; its "train" split.
        plan: The StepPlan.
        augment: A name of AUGMENTATIONS.
        seed: Of the order, the crops and all other random numbers.
        first_step: The step to begin at. No image before it is decoded.
        num_steps: How many steps; None for all that are left.
        share: The part of each batch. Of a set that is read by index, the pipelines together give in each step what one
            alone would give; of a large set, which is read in sequence, only over an epoch, with a few images twice or
            never where the pipelines' files differ in length.
        repeats: How many times a batch has each of its images, each time augmented in another way: repeated
            augmentation (Hoffer et al., "Augment your batch", arXiv:1901.09335), as in DeiT. An epoch has as many times
            fewer different images.
        service: "grpc://host:port" of a tf.data service's dispatcher: its workers share the steps, in an order that is
            not repeatable. Of a set that is read in sequence each worker reads all, in epochs of its own.
        task: The `tasks.Task` whose `encode` makes the labels; by default one-hot, float32 [b, classes].

    Returns:
        A tf.data.Dataset of (images float32 [b, H, W, 3] in 0..255, labels); `share.replicas` elements for each step,
        each of b = batch / pipelines / replicas images. Without a service element k is a pure function of (source,
        plan, augment, seed, first_step + k, task), whatever the number of threads. MixUp and CutMix mix the images of
        one element.

    Raises:
        InputError: an unknown augmentation, steps that the plan does not have, a batch that can't be divided so,
            repeats below 1 or with several sizes, a source that is only read in order, or one without the targets of
            the task.
    """
    augmentation = choose(AUGMENTATIONS, augment, "augmentation")
    expect_range("seed", seed, whole=True)
    expect_range("first_step", first_step, whole=True)
    expect_range("num_steps", 0 if num_steps is None else num_steps, whole=True)
    expect_range("repeats", repeats, 1, whole=True)
    parts = share.pipelines * share.replicas
    last_step = plan.total_steps if num_steps is None else first_step + num_steps
    if not 0 <= first_step <= last_step <= plan.total_steps:
        raise InputError(
            f"Expected steps within the {plan.total_steps} of the plan. Received: {first_step} to {last_step}."
        )
    if any(batch % parts for batch in plan.batch_of.values()):
        raise InputError(
            f"Expected batches that {share.pipelines} pipelines of {share.replicas} replicas can divide. "
            f"Received: {', '.join(map(str, plan.batch_of.values()))}. Give the plan granularity={parts}."
        )
    expect_targets(task, source, augmentation)
    reader = source.read("train")
    if service is not None and not reader.portable:
        raise InputError(
            f"Expected images that TensorFlow itself decodes, for a tf.data service: RGB or grey JPEG and PNG without "
            f"transparency. Received: {source.name!r} with others among them, such as WebP. Convert these."
        )
    view = example_view(augmentation, seed, task.targets, crop_of(task, 1.0))

    def load(row):
        shape = plan.shape if plan.sizes is None else (row["size"],) * 2
        seen = view(reader.example(row["key"]), shape, row["number"])
        return seen | {NUMBER: row["number"]}, row["size"]

    different = _without_repeats(plan, parts, repeats)
    rows = _rows(different, first_step, last_step, share)
    dataset = reader.keyed(rows, different, seed, first_step, share)
    dataset = dataset if repeats == 1 else _repeated(dataset, different.batch(0) // parts, plan.batch(0) // parts)
    dataset = dataset.map(load, tf.data.AUTOTUNE)
    dataset = _batched(dataset, plan, parts)
    finish = batch_view(augmentation, task, source, seed)
    dataset = dataset.map(lambda views: finish(views, views.pop(NUMBER)[0]), tf.data.AUTOTUNE)
    if service is not None:
        _expect_service(service)
        sharding = tf.data.experimental.service.ShardingPolicy.DYNAMIC
        dataset = dataset.apply(tf.data.experimental.service.distribute(sharding, service))
    return dataset.prefetch(tf.data.AUTOTUNE)


def _expect_service(address):
    """Raise InputError unless something listens at the address: TensorFlow itself would try again for ever."""
    expect_kind("service", address, str, "an address, grpc://HOST:PORT")
    kind, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    try:
        if kind != "grpc" or not host:
            raise ValueError("no such address")
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise InputError(
            f"Expected the address of a tf.data service's dispatcher that runs, grpc://HOST:PORT. "
            f"Received: {address!r} ({error})."
        ) from error


def _rows(plan, first_step, last_step, share):
    """For each image of this share {"position": images before it in the run, int64, "size": its side, of several}."""
    if plan.sizes is None:
        batch = plan.batch(0)
        steps = tf.data.Dataset.range(first_step, last_step).map(lambda step: (step * batch, batch, 0))  # of one size
    else:
        sizes = np.array(plan.sizes, np.int32)[plan.drawn[first_step:last_step]]
        offsets = plan.offsets[first_step : last_step + 1]
        steps = tf.data.Dataset.from_tensor_slices((offsets[:-1], np.diff(offsets), sizes))

    def rows(offset, batch, size):
        count = tf.cast(batch, tf.int64) // share.pipelines
        return {"position": offset + share.pipeline * count + tf.range(count), "size": tf.fill([count], size)}

    return steps.map(rows).unbatch()


def _without_repeats(plan, parts, repeats):
    """The plan without repeated images: smaller batches in as many steps, so that a pass over the set is longer."""
    if repeats == 1:
        return plan
    if plan.sizes is not None:
        raise InputError(f"Expected one image size for repeats. Received: {repeats} with sizes {plan.sizes}.")
    return dataclasses.replace(plan, batch_size=-(-plan.batch(0) // parts // repeats) * parts, granularity=parts)


def _repeated(dataset, different, batch):
    """`batch` rows from each `different` rows, taken in turns, so that MixUp and CutMix don't mix an image's copies."""
    copies = -(-batch // different)

    def repeat(rows):
        copy, index = tf.range(batch, dtype=tf.int64) // different, tf.range(batch) % different
        rows = {name: tf.gather(column, index) for name, column in rows.items()}
        return rows | {"number": rows["number"] * copies + copy}

    return dataset.batch(different, drop_remainder=True).map(repeat).unbatch()


def _batched(dataset, plan, parts):
    """Batches of views {"image": uint8 [b, S, S, 3], target: .., NUMBER: int64 [b]} from elements (view, size).

    With several sizes group_by_window makes the batches: the images of a step follow each other, so that the group of
    their size is full just when the step ends.
    """
    if plan.sizes is None:
        return batched(dataset.map(lambda view, size: view), plan.batch(0) // parts, drop_remainder=True)
    sizes, batches = (tf.constant(list(column)) for column in (plan.batch_of, plan.batch_of.values()))

    def count(size):
        return tf.cast(tf.reduce_sum(tf.where(sizes == tf.cast(size, tf.int32), batches // parts, 0)), tf.int64)

    return dataset.group_by_window(
        lambda view, size: tf.cast(size, tf.int64),
        lambda size, group: batched(group.map(lambda view, size: view), count(size)),
        window_size_func=count,
    )
