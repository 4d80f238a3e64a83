"""The plan of a run and its stream: sizes and batches, entering at any step, shares, both ways to read, the service."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_mobattn.data import AUGMENTATIONS, Indexed, Sharded, Share, Source, StepPlan, training_stream
from keras_mobattn.data.reading import permuted
from keras_mobattn.errors import InputError

PUBLISHED = {160: 327, 192: 227, 256: 128, 288: 101, 320: 81}  # cvnets' multi-scale sampler, per GPU


def numbered(count):
    """A source whose image i is all i, with label i % 3, so that order and loss of images show."""
    images = tf.constant(np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 8, 12, 3)))
    reader = Indexed(count, lambda i: {"image": images[i], "label": i % 3})
    return Source("numbered", ("a", "b", "c"), {"train": count}, {"train": lambda: reader})


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """numbered(200) in 5 files of 40 records, of which a reader that leaves out some keeps all but 10."""
    folder = tmp_path_factory.mktemp("shards")
    for file in range(5):
        with tf.io.TFRecordWriter(str(folder / f"{file}")) as writer:
            for i in range(40):
                pixels = np.full((8, 12, 3), 40 * file + i, np.uint8)
                writer.write(tf.io.encode_png(pixels).numpy())

    def example(record):
        return {"image": record, "label": tf.cast(tf.strings.length(record), tf.int64) % 3}

    def source(files=5, skip=0):
        paths = tuple(str(folder / f"{file}") for file in range(files))
        reader = Sharded(paths, (skip,) * files, (-1,) * files, block=16, example=example)
        count = files * (40 - skip)
        return Source("sharded", ("a", "b", "c"), {"train": count}, {"train": lambda: reader})

    return source


def stream(source, plan, augment="none", seed=0, **options):
    return list(training_stream(source, plan, augment, seed=seed, **options).as_numpy_iterator())


def numbers(elements):
    return [images[:, 0, 0, 0].astype(int).tolist() for images, _ in elements]


def assert_equal(some, others):
    for (images, labels), (other_images, other_labels) in zip(some, others, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


def test_plan_of_the_published_sampler():
    plan = StepPlan(1281167, 128, 2, 256, sizes=tuple(PUBLISHED))
    assert plan.batch_of == PUBLISHED
    assert plan.steps_per_epoch == 1281167 // (sum(PUBLISHED.values()) / 5)
    assert plan.total_steps == 2 * plan.steps_per_epoch
    assert plan.shapes == set(PUBLISHED.items())
    drawn = [(plan.size(step), plan.batch(step)) for step in range(1000)]
    assert set(drawn) == plan.shapes
    assert [plan.offset(step) for step in range(1001)] == [0, *itertools.accumulate(batch for _, batch in drawn)]
    assert 0.17 < np.mean(plan.drawn == 4) < 0.23
    assert abs(plan.offset(plan.total_steps) / (2 * 1281167) - 1) < 0.02  # an epoch is one pass, but for the draw
    parted = StepPlan(1281167, 128, 2, 256, sizes=tuple(PUBLISHED), granularity=8)
    assert parted.batch_of == {160: 320, 192: 224, 256: 128, 288: 96, 320: 80}


def test_plans_that_agree():
    """A longer run begins as a shorter one does, and another seed draws other sizes."""
    short, long, other = (
        StepPlan(999, 16, n, 64, sizes=(32, 64, 96), seed=seed) for n, seed in ((2, 0), (5, 0), (2, 1))
    )
    np.testing.assert_array_equal(short.drawn, long.drawn[: short.total_steps])
    assert not np.array_equal(short.drawn, other.drawn)
    assert StepPlan(999, 16, 2, 64, sizes=[32, 64, 96]) == short  # a list will do


@pytest.mark.parametrize(
    ("count", "batch_size", "granularity", "batch", "steps"),
    [(10, 4, 1, 4, 2), (10, 4, 2, 4, 2), (3, 8, 1, 3, 1), (3, 8, 2, 2, 1), (8, 4, 4, 4, 2), (1, 1, 1, 1, 1)],
)
def test_plan_of_one_size(count, batch_size, granularity, batch, steps):
    plan = StepPlan(count, batch_size, 3, 32, granularity=granularity)
    assert (plan.batch(0), plan.steps_per_epoch, plan.total_steps) == (batch, steps, 3 * steps)
    assert plan.offset(plan.total_steps) == 3 * steps * batch
    assert plan.shapes == {(32, batch)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size to be a whole number from 1 up. Received: 0"),
        ({"epochs": -1}, "epochs to be a whole number from 1 up. Received: -1"),
        ({"sizes": (96, 64)}, "ascending order.*Received: \\(96, 64\\)"),
        ({"sizes": ()}, "ascending order.*Received: \\(\\)"),
        ({"granularity": 3}, "multiple of 3.*Received: 16. Take 15"),
        ({"granularity": 128, "batch_size": 128}, "each of 128 parts.*Received: 100 images"),
    ],
)
def test_plans_that_cannot_be(change, message):
    with pytest.raises(InputError, match=message):
        StepPlan(**{"num_examples": 100, "batch_size": 16, "epochs": 2, "image_size": 32} | change)


def test_steps_that_the_plan_has_not():
    plan = StepPlan(100, 16, 2, 32)
    for step in (-1, 12):
        with pytest.raises(InputError, match=f"from 0 to 11. Received: {step}"):
            plan.size(step)


def test_an_epoch_is_a_permutation():
    epochs = np.array(numbers(stream(numbered(60), StepPlan(60, 20, 3, 8)))).reshape(3, 60)
    for epoch in epochs:
        assert sorted(epoch) == list(range(60))
    assert (epochs[0] != epochs[1]).mean() > 0.9
    other = np.array(numbers(stream(numbered(60), StepPlan(60, 20, 1, 8), seed=1))).reshape(60)
    assert (epochs[0] != other).mean() > 0.9
    cut = np.array(
        numbers(stream(numbered(60), StepPlan(60, 25, 2, 8)))
    )  # the last 10 of each permutation are left out
    assert cut.shape == (4, 25)
    np.testing.assert_array_equal(cut[:2].ravel(), epochs[0][:50])
    np.testing.assert_array_equal(cut[2:].ravel(), epochs[1][:50])


def test_permutations_are_uniform_and_unrelated():
    """Over seeds that follow each other: chi-square of image by place, 20 x 20 bins; neighbours; correlation."""
    orders = tf.data.Dataset.range(400).map(lambda epoch: permuted(tf.range(1000, dtype=tf.int64), [7, epoch], 1000))
    orders = np.stack(list(orders.as_numpy_iterator()))  # [400, 1000]
    assert (np.sort(orders) == np.arange(1000)).all()
    counts = np.histogram2d(np.tile(np.arange(1000), 400), orders.ravel(), 20)[0]
    assert abs(((counts - 1000) ** 2 / 1000).sum() - 361) < 5 * 27  # 19 x 19 degrees of freedom, deviation 27
    assert abs(np.mean(orders[:, 1:] == orders[:, :-1] + 1) * 1000 - 1) < 0.15  # deviation 0.05 for 400 neighbours
    assert abs(np.corrcoef(orders[1:].ravel(), orders[:-1].ravel())[0, 1]) < 0.01


def test_several_sizes_see_each_image_once_a_pass():
    plan = StepPlan(100, 12, 4, 8, sizes=(6, 8, 10, 12))
    elements = stream(numbered(100), plan)
    assert [images.shape for images, _ in elements] == [
        (plan.batch(step), plan.size(step), plan.size(step), 3) for step in range(plan.total_steps)
    ]
    seen = list(itertools.chain.from_iterable(numbers(elements)))
    for begin in range(0, len(seen) - 100, 100):
        assert sorted(seen[begin : begin + 100]) == list(range(100))


HEAVY = dict.fromkeys(
    ("deit", "flowformer"), pytest.mark.slow
)  # 20 s to trace on a busy machine; mobilevitv2 goes through the same code
PLANS = {"one size": StepPlan(120, 16, 3, 16), "sizes": StepPlan(120, 16, 3, 16, sizes=(12, 16, 24), granularity=4)}


# Every augmentation with sizes that change; one size, which is a case of it, with the widest of them.
# Those that crop around objects need boxes: test_object_crop.py
OF_LABELS = [name for name, each in AUGMENTATIONS.items() if not each.object_crop]
STREAMS = [("one size", "mobilevitv2"), *(("sizes", name) for name in OF_LABELS)]


@pytest.mark.sampled
@pytest.mark.parametrize(("plan", "augment"), [pytest.param(*case, marks=HEAVY.get(case[1], ())) for case in STREAMS])
def test_a_stream_may_begin_at_any_step(plan, augment):
    plan = PLANS[plan]
    whole = stream(numbered(120), plan, augment)
    assert len(whole) == plan.total_steps
    assert_equal(whole[7:], stream(numbered(120), plan, augment, first_step=7))
    assert_equal(whole[17:19], stream(numbered(120), plan, augment, first_step=17, num_steps=2))
    for images, labels in whole:
        assert images.dtype == labels.dtype == np.float32
        np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-6)


# batch, repeats -> of each batch, which of its different images stands where
REPEATS = {(12, 3): [0, 1, 2, 3] * 3, (10, 3): [0, 1, 2, 3, 0, 1, 2, 3, 0, 1], (12, 2): [0, 1, 2, 3, 4, 5] * 2}


@pytest.mark.sampled
@pytest.mark.parametrize("reading", ["indexed", "sharded"])
@pytest.mark.parametrize(("batch", "repeats"), REPEATS)
def test_repeated_augmentation(sharded, reading, batch, repeats):
    """Each image so many times in a step, in turns, and every image once before any comes again."""
    source, order = {"indexed": numbered(200), "sharded": sharded()}[reading], np.array(REPEATS[batch, repeats])
    plan, different = StepPlan(200, batch, 6, 8), order.max() + 1
    assert 61 * different > 200  # in the second pass
    seen = np.array(numbers(stream(source, plan, repeats=repeats)))
    assert seen.shape == (plan.total_steps, batch)
    np.testing.assert_array_equal(seen, seen[:, :different][:, order])
    first = seen[:, :different].ravel()[: 200 - 200 % different]
    assert len(set(first)) == len(first)
    late = stream(source, plan, "imagenet", first_step=61, repeats=repeats)
    assert_equal(stream(source, plan, "imagenet", repeats=repeats)[61:], late)


def test_copies_are_augmented_in_other_ways():
    noise = tf.random.stateless_uniform((60, 16, 16, 3), (1, 2), 0, 256, tf.int32)
    reader = Indexed(60, lambda i: {"image": tf.cast(noise[i], tf.uint8), "label": i})
    source = Source("noise", tuple(map(str, range(60))), {"train": 60}, {"train": lambda: reader})
    for images, labels in stream(source, StepPlan(60, 12, 3, 16), "imagenet", repeats=3):
        assert (labels.sum(axis=0) == 3).sum() == 4
        assert len({image.tobytes() for image in images}) == 12


def test_repeats_within_each_share():
    plan = StepPlan(120, 24, 1, 8, granularity=8)  # 6 for each replica, computed in 2 parts
    parts = [numbers(stream(numbered(120), plan, share=Share(p, 2, 2), repeats=3)) for p in range(2)]
    together = np.concatenate([np.array(part).reshape(5, 2, 6) for part in parts], axis=1)
    np.testing.assert_array_equal(together, together[..., [0, 1] * 3])
    assert len(set(together[..., :2].ravel())) == 5 * 4 * 2


def test_whatever_the_threads_and_the_global_seed():
    plan, options = PLANS["one size"], tf.data.Options()
    whole = stream(numbered(120), plan, "imagenet")
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    tf.random.set_seed(5)
    dataset = training_stream(numbered(120), plan, "imagenet", seed=0).with_options(options)
    assert_equal(whole, list(dataset.as_numpy_iterator()))


def test_beginning_late_reads_nothing_before():
    read = []

    def example(index):
        tf.py_function(lambda i: read.append(int(i)), [index], [])
        return {"image": tf.zeros([8, 8, 3], tf.uint8), "label": index % 3}

    reader = Indexed(1000, example)
    source = Source("watched", ("a", "b", "c"), {"train": 1000}, {"train": lambda: reader})
    assert len(stream(source, StepPlan(1000, 10, 5, 8), first_step=490)) == 10
    assert len(read) == 100


@pytest.mark.parametrize("plan", PLANS)
def test_shares_are_the_parts_of_each_batch(plan):
    plan = PLANS[plan]
    whole = stream(numbered(120), plan)
    shares = [stream(numbered(120), plan, share=Share(p, 2, 2)) for p in range(2)]
    for step, (images, labels) in enumerate(whole):
        parts = [share[2 * step + replica] for share in shares for replica in range(2)]
        assert {len(part[0]) for part in parts} == {plan.batch(step) // 4}
        assert_equal([(images, labels)], [[np.concatenate(part) for part in zip(*parts, strict=True)]])


@pytest.mark.sampled
@pytest.mark.parametrize("files", [1, 5])
def test_shards_in_sequence(sharded, files):
    source, count = sharded(files), 40 * files
    assert [int(x["image"][0, 0, 0]) for x in source.open("train")] == list(range(count))
    plan = StepPlan(count, 10, 3, 8)
    whole = stream(source, plan, "imagenet")
    epochs = np.array(numbers(stream(source, plan))).reshape(3, count)
    for epoch in epochs:
        assert sorted(epoch) == list(range(count))
    assert (epochs[0] != epochs[1]).mean() > 0.8
    assert_equal(
        whole[plan.steps_per_epoch + 3 :], stream(source, plan, "imagenet", first_step=plan.steps_per_epoch + 3)
    )
    pairs = np.array(numbers(itertools.chain(*(stream(source, plan, share=Share(p, 2)) for p in range(2)))))
    seen = np.sort(pairs.reshape(2, 3, count // 2).transpose(1, 0, 2).reshape(3, count))
    # 5 files for 2 pipelines are 2 for one and 3 for the other, whose last records are left out of an epoch
    assert min(len(set(epoch)) for epoch in seen) >= (count if files == 1 else 160)
    sizes = StepPlan(count, 10, 3, 8, sizes=(6, 8))
    assert_equal(stream(source, sizes)[4:], stream(source, sizes, first_step=4))


def test_a_part_of_each_shard(sharded):
    source = sharded(5, skip=38)
    expected = [40 * file + i for file in range(5) for i in (38, 39)]
    assert [int(x["image"][0, 0, 0]) for x in source.open("train")] == expected
    assert sorted(itertools.chain(*numbers(stream(source, StepPlan(10, 5, 1, 8))))) == expected


@pytest.mark.parametrize("address", ["localhost:5000", "grpc://localhost:1", "grpc://localhost:port"])
def test_no_service(address):
    with pytest.raises(InputError, match=f"dispatcher that runs, grpc://HOST:PORT. Received: '{address}'"):
        stream(numbered(120), PLANS["one size"], "none", service=address)


@pytest.mark.parametrize("reading", ["indexed", "sharded"])
def test_service(sharded, reading):
    """A real dispatcher with two workers: each step comes once, in whatever order."""
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=0))
    address = dispatcher.target.split("://")[1]
    workers = [service.WorkerServer(service.WorkerConfig(dispatcher_address=address)) for _ in range(2)]
    source, plan = {"indexed": numbered(200), "sharded": sharded()}[reading], StepPlan(200, 20, 3, 16)
    served = stream(source, plan, "imagenet", service=dispatcher.target)
    assert len(served) == plan.total_steps
    if reading == "indexed":
        key = lambda element: element[0].tobytes()  # noqa: E731
        assert_equal(sorted(stream(source, plan, "imagenet"), key=key), sorted(served, key=key))
    del workers


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"augment": "flip"}, "one of 'none', 'digits', 'imagenet'.*Received: 'flip'"),
        ({"first_step": 19}, "within the 18 of the plan. Received: 19 to 18"),
        ({"num_steps": 19}, "within the 18 of the plan. Received: 0 to 19"),
        ({"repeats": 0}, "repeats to be a whole number from 1 up. Received: 0"),
        ({"share": Share(0, 3)}, "3 pipelines of 1 replicas can divide.*16.*granularity=3"),
    ],
)
def test_streams_that_cannot_be(change, message):
    options = {"augment": "none"} | change
    with pytest.raises(InputError, match=message):
        StepPlan(100, 16, 3, 16)
        stream(numbered(100), StepPlan(100, 16, 3, 16), **options)


def test_repeats_of_one_size_only():
    with pytest.raises(InputError, match="one image size for repeats. Received: 2 with sizes \\(12, 16, 24\\)"):
        stream(numbered(120), PLANS["sizes"], repeats=2)


def test_a_source_that_is_only_read_in_order():
    opened = tf.data.Dataset.from_tensors({"image": tf.zeros([8, 8, 3], tf.uint8), "label": 0})
    source = Source("rows", ("a",), {"train": 1}, {"train": lambda: opened})
    with pytest.raises(InputError, match="random order.*Received: 'rows'.*Open it as an Indexed"):
        stream(source, StepPlan(1, 1, 1, 8))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((2, 2, 1), "pipeline to be a whole number from 0 to 1. Received: 2"),
        ((-1, 1, 1), "pipeline to be a whole number from 0 to 0. Received: -1"),
        ((0, 0, 1), "pipelines to be a whole number from 1 up. Received: 0"),
        ((0, 1, 0), "replicas to be a whole number from 1 up. Received: 0"),
    ],
)
def test_shares_that_cannot_be(numbers, message):
    with pytest.raises(InputError, match=message):
        Share(*numbers)
