"""The two ways to read a training set in random order: any image by its index, or shards of records in sequence."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

MEMORY_BYTES = 2**29  # a tfds set that is smaller is kept in memory, encoded, and then read by index
BLOCK_BYTES = 2**29  # of encoded images are shuffled together: 4,900 of ImageNet's
FILES_AT_ONCE = 16  # are interleaved, as many records of each in turn
RECORDS = 2**32  # more than a file has, so that (file of the run, record) is one number


def seed_base(seed, purpose):
    """An int64 that any other seed or purpose (a word) changes: the first of the two numbers of a stateless seed."""
    words = np.random.SeedSequence([seed % 2**64, *purpose.encode()]).generate_state(1, np.uint64)
    return words.astype(np.int64)[0]


def permuted(index, seed, count):
    """Where a random permutation of 0..count-1 puts `index`, int64; `seed` is int64 [2].

    Not tf.random.experimental.index_shuffle, though it is the same op: with its 4 rounds 17 % too many neighbours stay
    neighbours, and seeds that follow each other, as epochs do, give related permutations (over 10,000 of 100 images the
    chi-square of image by place is 2,700 standard deviations off). Here it has 16 rounds and hashed seeds.
    """
    hashed = tf.random.stateless_uniform([3], seed, minval=None, maxval=None, dtype=tf.uint32)
    last = tf.constant(count - 1, tf.int64)
    return tf.raw_ops.RandomIndexShuffle(index=index, seed=hashed, max_index=last, rounds=16)


@dataclasses.dataclass(frozen=True)
class Indexed:
    """A set of which any image can be read: `example` makes {"image", "label"} of an index, int64.

    "image" is a string, the bytes of a JPEG, PNG, BMP or GIF, or already uint8 [h, w, 3]. With "orientation", EXIF's,
    int32, it is not upright yet. `portable` says whether `example` also runs in another process, as Python code of ours
    does not.
    """

    count: int
    example: Callable
    portable: bool = True

    def open(self):
        """All of them, in order."""
        return tf.data.Dataset.range(self.count).map(self.example, tf.data.AUTOTUNE)

    def keyed(self, rows, plan, seed, first_step=0, share=None):
        """For each row its "key", which `example` takes, and its "number", which tells it from all others of the run.

        Rows are {"position": images before this one in the run, ...}; the other arguments are training_stream's.
        """
        base = seed_base(seed, "order")

        def key(row):
            epoch, index = row["position"] // plan.epoch_images, row["position"] % plan.epoch_images
            return row | {"key": permuted(index, tf.stack([base, epoch]), self.count), "number": row["position"]}

        return rows.map(key)


@dataclasses.dataclass(frozen=True)
class Sharded:
    """A set in TFRecord files, read in sequence: `example` makes {"image", "label"} of a record, "image" as Indexed's.

    Of each file `skip` records are left out and then `take` read (-1: all that follow). In each epoch the files come in
    another order, FILES_AT_ONCE interleaved, and blocks of `block` records are shuffled, all as a pure function of seed
    and epoch. A run that begins within an epoch reads that epoch's records up to there, but decodes none of them.
    """

    files: tuple[str, ...]
    skip: tuple[int, ...]
    take: tuple[int, ...]
    block: int
    example: Callable
    portable = True

    def open(self):
        """All of them, in the order of the files."""
        files = tf.data.Dataset.range(len(self.files))
        return files.flat_map(self._records).map(lambda x: self.example(x["key"]), tf.data.AUTOTUNE)

    def keyed(self, rows, plan, seed, first_step=0, share=None):
        """As Indexed.keyed. Several pipelines read files of their own; where these are too few, every n-th record."""
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
        """The wanted records of one file; `before` is how many files the run's earlier epochs have."""
        files, skip, take = (tf.constant(column) for column in (self.files, self.skip, self.take))
        records = tf.data.TFRecordDataset(files[file]).skip(tf.cast(skip, tf.int64)[file])
        records = records.take(tf.cast(take, tf.int64)[file])
        return records.enumerate((before + file) * RECORDS).map(lambda number, key: {"key": key, "number": number})


def _shuffled(block, seed, index):
    """A block {"key": [n], "number": [n]} in random order."""
    order = tf.random.experimental.stateless_shuffle(tf.range(tf.size(block["number"])), tf.random.fold_in(seed, index))
    return {name: tf.gather(column, order) for name, column in block.items()}
