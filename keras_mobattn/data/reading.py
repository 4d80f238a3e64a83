"""The two ways to read a training set in random order: any image by its index, or shards of records in sequence."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from keras_mobattn.data.step_plan import StepPlan
    from keras_mobattn.data.stream import Share

MEMORY_BYTES = 2**29  # smaller tfds sets are kept in memory, encoded, and read by index
BLOCK_BYTES = 2**29  # of encoded images that are shuffled together: 4,900 of ImageNet's
FILES_AT_ONCE = 16  # files that are interleaved, and records of each in turn
RECORDS = 2**32  # more than a file has, so that (file of the run, record) is one number


def seed_base(seed, purpose):
    """The first of the two numbers of a stateless seed: an int64 for this seed and purpose, a word."""
    words = np.random.SeedSequence([seed % 2**64, *purpose.encode()]).generate_state(1, np.uint64)
    return words.astype(np.int64)[0]


def permuted(index, seed, count):
    """The place of `index`, int64, in a random permutation of 0..count-1; `seed` is int64 [2].

    tf.random.experimental.index_shuffle is the same op with 4 rounds: too many neighbours stay neighbours, and seeds
    that follow each other, as epochs do, give related permutations (docs/measurements.md). Here it has 16 rounds and
    hashed seeds.
    """
    hashed = tf.random.stateless_uniform([3], seed, minval=None, maxval=None, dtype=tf.uint32)
    last = tf.constant(count - 1, tf.int64)
    return tf.raw_ops.RandomIndexShuffle(index=index, seed=hashed, max_index=last, rounds=16)


@dataclasses.dataclass(frozen=True)
class Indexed:
    """A set whose images can be read by index."""

    count: int
    # An index, int64 -> {"image", "label"}. "image" is a string, the bytes of a JPEG, PNG, BMP or GIF, or uint8 [h, w,
    # 3]. With "orientation", EXIF's, int32, it is not upright yet.
    example: Callable[[tf.Tensor], dict[str, tf.Tensor]]
    portable: bool = True  # whether `example` also runs in another process, unlike Python code of ours

    def open(self) -> tf.data.Dataset:
        """All of them, in order."""
        return tf.data.Dataset.range(self.count).map(self.example, tf.data.AUTOTUNE)

    def keyed(
        self,
        rows: tf.data.Dataset,
        plan: "StepPlan",
        seed: int,
        first_step: int = 0,
        share: "Share | None" = None,
    ) -> tf.data.Dataset:
        """Rows with a "key" for `example`, and a "number" that tells each row from all others of the run.

        Rows are {"position": images before this one in the run, ...}; the other arguments are training_stream's.
        """
        base = seed_base(seed, "order")

        def key(row):
            epoch, index = row["position"] // plan.epoch_images, row["position"] % plan.epoch_images
            return row | {"key": permuted(index, tf.stack([base, epoch]), self.count), "number": row["position"]}

        return rows.map(key)


@dataclasses.dataclass(frozen=True)
class Sharded:
    """A set in TFRecord files, read in sequence.

    In each epoch the files come in another order, FILES_AT_ONCE interleaved, and blocks of records are shuffled, all as
    a pure function of seed and epoch. A run that begins within an epoch reads the epoch's records before that place,
    and decodes none of them.
    """

    files: tuple[str, ...]
    skip: tuple[int, ...]  # records that are left out at the beginning of each file
    take: tuple[int, ...]  # records that are read then; -1 for all
    block: int  # records that are shuffled together
    example: Callable[[tf.Tensor], dict[str, tf.Tensor]]  # a record -> {"image", "label"}, "image" as Indexed's
    portable = True

    def open(self) -> tf.data.Dataset:
        """All of them, in the order of the files."""
        files = tf.data.Dataset.range(len(self.files))
        return files.flat_map(self._records).map(lambda x: self.example(x["key"]), tf.data.AUTOTUNE)

    def keyed(
        self,
        rows: tf.data.Dataset,
        plan: "StepPlan",
        seed: int,
        first_step: int = 0,
        share: "Share" = None,  # type: ignore[assignment]  # it has to be given, the default is Indexed's
    ) -> tf.data.Dataset:
        """As Indexed.keyed. Each of several pipelines reads its own files; of too few files, every n-th record."""
        images = plan.epoch_images // share.pipelines  # of an epoch, for this pipeline
        begin = plan.offset(first_step) // share.pipelines
        epochs = tf.data.Dataset.range(begin // images, 2**62)  # zip ends with the rows
        records = epochs.flat_map(lambda epoch: self._epoch(epoch, seed, share).repeat().take(images))
        return tf.data.Dataset.zip(rows, records.skip(begin % images)).map(lambda row, record: row | record)

    def _epoch(self, epoch, seed, share):
        order, mixing = (tf.stack([seed_base(seed, purpose), epoch]) for purpose in ("files", "records"))
        files = tf.data.Dataset.range(len(self.files)).map(lambda index: permuted(index, order, len(self.files)))
        apart = len(self.files) >= share.pipelines
        files = files.shard(share.pipelines, share.pipeline) if apart else files
        records = files.interleave(
            lambda file: self._records(file, epoch * len(self.files)),
            cycle_length=FILES_AT_ONCE,
            block_length=FILES_AT_ONCE,
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        blocks = records.batch(self.block).enumerate().map(lambda index, block: _shuffled(block, mixing, index))
        records = blocks.prefetch(1).unbatch()
        return records if apart else records.shard(share.pipelines, share.pipeline)

    def _records(self, file, before=0):
        """The wanted records of one file; `before` counts the files of the run's earlier epochs."""
        files, skip, take = (tf.constant(column) for column in (self.files, self.skip, self.take))
        records = tf.data.TFRecordDataset(files[file]).skip(tf.cast(skip, tf.int64)[file])
        records = records.take(tf.cast(take, tf.int64)[file])
        return records.enumerate((before + file) * RECORDS).map(lambda number, key: {"key": key, "number": number})


def _shuffled(block, seed, index):
    """A block {"key": [n], "number": [n]} in random order."""
    order = tf.random.experimental.stateless_shuffle(tf.range(tf.size(block["number"])), tf.random.fold_in(seed, index))
    return {name: tf.gather(column, order) for name, column in block.items()}


def column_of(values):
    """All values of one name as a tensor; a ragged one where they differ in rows."""
    if isinstance(values[0], bytes):
        return tf.constant(values)  # a numpy array would cut off their last zeros
    if np.ndim(values[0]) == 0:
        return tf.constant(np.array(values))
    return tf.RaggedTensor.from_row_lengths(np.concatenate(values), [len(value) for value in values])
