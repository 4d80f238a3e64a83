"""Augmentations: their operations against torchvision's and timm's, their draws, eagerly and inside tf.data."""

import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_mobattn.data import AUGMENTATIONS, LABELS, Source, image_ops, sample_photos
from keras_mobattn.data.augment import IMAGENET_MEAN, IMAGENET_STD, random_box
from keras_mobattn.data.decode import decode, decode_crop
from keras_mobattn.data.example_view import batch_view, image_view
from keras_mobattn.data.mixing import ERASED_AREA, Mixing, beta, cut_mix, mix_up, random_erasing
from keras_mobattn.data.randaugment import TIMM, TORCHVISION, Op, RandAugment
from keras_mobattn.data.reading import seed_base

PHOTOS = sample_photos(2, (96, 128), seed=1)
NOISE = np.random.RandomState(0).randint(0, 256, (64, 48, 3)).astype(np.uint8)
IMAGES = {"temple": PHOTOS[0], "flower": PHOTOS[1], "pale": PHOTOS[0] // 2 + 40, "noise": NOISE, "flat": NOISE * 0 + 77}


def jpeg(pixels, quality=92):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=quality)
    return content.getvalue()


def seeds(count):
    """A dataset of stateless seeds."""
    return tf.data.Dataset.range(count).map(lambda number: tf.stack([tf.constant(11, tf.int64), number]))


def draw(function, count):
    """`function` of `count` seeds, stacked."""
    parts = seeds(count).map(function, tf.data.AUTOTUNE).as_numpy_iterator()
    return np.stack(list(parts))


# name in torchvision: (ours, numbers that ours takes, torchvision's number for it, share of pixels that may be 1 off)
OPS = {
    "Brightness": (image_ops.brightness, (0.1, 0.73, 1.27, 1.9), lambda v: v - 1, 0),
    "Color": (image_ops.color, (0.1, 0.73, 1.27, 1.9), lambda v: v - 1, 0),
    "Contrast": (image_ops.contrast, (0.1, 0.73, 1.27, 1.9), lambda v: v - 1, 0),
    "Sharpness": (image_ops.sharpness, (0.1, 0.73, 1.27, 1.9), lambda v: v - 1, 0),
    "Posterize": (image_ops.posterize, (1, 4, 7, 8), int, 0),
    "Solarize": (image_ops.solarize, (0.0, 128.0, 178.5, 255.0), float, 0),
    "AutoContrast": (image_ops.auto_contrast, (0,), float, 0),
    "Equalize": (image_ops.equalize, (0,), float, 0),
    "Invert": (image_ops.invert, (0,), float, 0),
    "Identity": (image_ops.identity, (0,), float, 0),
    "ShearX": (image_ops.shear_x, (0.09, -0.3), float, 0.1),
    "ShearY": (image_ops.shear_y, (0.09, -0.3), float, 0.1),
    "TranslateX": (image_ops.shift_x, (34, -34, 0), lambda v: -v, 0),
    "TranslateY": (image_ops.shift_y, (34, -34, 0), lambda v: -v, 0),
    "Rotate": (image_ops.rotate, (9.0, -30.0), float, 0.002),
}


@pytest.mark.parametrize("name", OPS)
def test_operations_are_torchvisions(timm, name):
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.autoaugment import _apply_op

    ours, values, theirs, share = OPS[name]
    for fill in (0, (124, 116, 104)):
        for value in values:
            for image in IMAGES.values():
                expected = _apply_op(
                    Image.fromarray(image),
                    name,
                    theirs(value),
                    InterpolationMode.BILINEAR,
                    list(np.ravel(fill)) * (1 if fill else 3),
                )
                extra = [fill] if TORCHVISION.get(name, Op(None)).geometric else []
                seen = ours(tf.constant(image), float(value), *extra).numpy()
                assert seen.dtype == np.uint8
                off = np.abs(seen.astype(int) - np.array(expected))
                assert off.max() <= (1 if share else 0), value
                assert (off.max(axis=-1) > 0).mean() <= share, value


def test_other_operations_are_timms(timm):
    from timm.data import auto_augment

    bilinear = {"resample": Image.Resampling.BILINEAR, "fillcolor": (124, 116, 104)}
    for image in IMAGES.values():
        photo, fill = Image.fromarray(image), (124, 116, 104)
        for add in (0, 55, 99, 110):
            np.testing.assert_array_equal(
                image_ops.solarize_add(tf.constant(image), float(add)), auto_augment.solarize_add(photo, add)
            )
        for value in (0.405, -0.123):
            for ours, theirs, axis in (
                (image_ops.translate_x, auto_augment.translate_x_rel, 1),
                (image_ops.translate_y, auto_augment.translate_y_rel, 0),
            ):
                seen = ours(tf.constant(image), value * image.shape[axis], fill).numpy().astype(int)
                assert np.abs(seen - np.array(theirs(photo, value, **bilinear))).max() <= 1


ENHANCING = ("Brightness", "Color", "Contrast", "Sharpness")


def test_strengths_are_torchvisions(timm):
    from torchvision.transforms import RandAugment as Theirs

    space = Theirs()._augmentation_space(31, (224, 320))
    assert list(space) == list(TORCHVISION)
    augment = AUGMENTATIONS["mobilevitv2"].rand_augment
    assert (augment.layers, augment.probability, augment.noise, augment.fill) == (2, 1.0, 0.0, 0)
    for name, (magnitudes, signed) in space.items():
        op = TORCHVISION[name]
        assert op.signed == signed
        if magnitudes.ndim:
            value = float(op.value(tf.constant(augment.strength), {"TranslateX": 320.0, "TranslateY": 224.0}.get(name)))
            theirs = float(magnitudes[9]) + float(
                op.apply in (image_ops.brightness, image_ops.color, image_ops.contrast, image_ops.sharpness)
            )
            theirs = int(theirs) if "Translate" in name else theirs
            assert value == pytest.approx(theirs, abs=1e-4), name


@pytest.mark.parametrize("magnitude", [8.3, 9.0, 10.0])
def test_strengths_are_timms(timm, magnitude):
    from timm.data import auto_augment

    increasing = [
        name.removesuffix("Increasing").removesuffix("Rel") for name in auto_augment._RAND_INCREASING_TRANSFORMS
    ]
    assert increasing == list(TIMM)
    for theirs, (name, op) in zip(auto_augment._RAND_INCREASING_TRANSFORMS, TIMM.items(), strict=True):
        if level := auto_augment.LEVEL_TO_ARG[theirs]:
            expected = level(magnitude, {"translate_pct": 0.45})[0] if level.__code__.co_argcount else None
            allowed = {
                sign: float(op.value(tf.constant(sign * magnitude / 10), 1.0)) for sign in (1, -1)[: 1 + op.signed]
            }
            assert min(abs(expected - value) for value in allowed.values()) < 1e-5, name


def test_rand_augment_draws_uniformly():
    """Of stub operations that write which they are and how strongly they are done into a pixel of their own."""

    def write(layer_value):
        def apply(image, value):
            row = tf.cast(tf.stack([layer_value, 100 + 100 * value, 0.0]), tf.uint8)
            return tf.concat([row[None, None], image], axis=0)[:2]

        return apply

    table = {str(k): Op(write(float(k)), signed=k == 3) for k in range(1, 5)}
    blank = tf.zeros([2, 1, 3], tf.uint8)
    drawn = draw(lambda seed: RandAugment(table, 0.5)(blank, seed), 3000)[:, ::-1, 0]  # [3000, first then second, 3]
    counts = np.stack([np.bincount(drawn[:, layer, 0], minlength=5)[1:] for layer in range(2)])
    assert np.abs(counts / 3000 - 0.25).max() < 0.03
    pairs = np.bincount(4 * (drawn[:, 0, 0] - 1) + drawn[:, 1, 0] - 1, minlength=16)
    assert np.abs(pairs / 3000 - 1 / 16).max() < 0.02  # the second does not depend on the first, and may be the same
    for k in range(1, 5):
        strengths = drawn[drawn[..., 0] == k][:, 1]
        assert set(strengths) == ({50, 150} if k == 3 else {150})
    assert abs((drawn[drawn[..., 0] == 3][:, 1] == 50).mean() - 0.5) < 0.05
    noisy = draw(lambda seed: RandAugment(table, 0.5, noise=0.1, probability=0.5)(blank, seed), 3000)[:, :, 0]
    done = (noisy[..., 0] > 0).sum(axis=1)
    np.testing.assert_allclose(np.bincount(done) / 3000, [0.25, 0.5, 0.25], atol=0.03)
    strengths = noisy[(noisy[..., 0] > 0) & (noisy[..., 0] != 3)][:, 1]
    assert abs(strengths.mean() - 149.5) < 1
    assert abs(strengths.std() - 10) < 0.6


@pytest.mark.parametrize("height_width", [(375, 500), (500, 200), (30, 400)])
def test_random_boxes_are_torchvisions(timm, height_width):
    import torch
    from torchvision.transforms import RandomResizedCrop

    height, width = height_width
    torch.manual_seed(0)
    blank = Image.new("RGB", (width, height))
    theirs = np.array([RandomResizedCrop.get_params(blank, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(3000)])
    boxes = draw(lambda seed: tf.concat(random_box(tf.constant(height_width), seed, (0.08, 1.0), 1.0), 0), 3000)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= height_width).all()
    for ours, expected, unit in (
        (boxes[:, 2] * boxes[:, 3], theirs[:, 2] * theirs[:, 3], height * width),
        (np.log(boxes[:, 3] / boxes[:, 2]), np.log(theirs[:, 3] / theirs[:, 2]), 1),
        (boxes[:, 0], theirs[:, 0], height),
        (boxes[:, 1], theirs[:, 1], width),
    ):
        off = np.quantile(ours / unit, (0.1, 0.3, 0.5, 0.7, 0.9)) - np.quantile(
            expected / unit, (0.1, 0.3, 0.5, 0.7, 0.9)
        )
        assert np.abs(off).max() < 0.025


def test_boxes_have_the_aspect_of_the_output():
    boxes = draw(lambda seed: random_box(tf.constant([300, 300]), seed, (0.2, 0.4), 2.0)[1], 300)
    aspects, areas = boxes[:, 1] / boxes[:, 0], boxes.prod(axis=1) / 300**2
    assert 1.45 < aspects.min() < 1.6
    assert 2.5 < aspects.max() < 2.75
    assert 0.19 < areas.min() < 0.22
    assert 0.38 < areas.max() < 0.41


@pytest.mark.parametrize("augment", ["imagenet", "imagenet-bicubic"])
def test_crops_are_pillows(augment):
    photo = jpeg(sample_photos(1, (375, 500))[0])
    whole, augmentation = Image.open(io.BytesIO(photo)), dataclasses.replace(AUGMENTATIONS[augment], flip=False)
    view, method = image_view(augmentation, 5), Image.Resampling[augmentation.interpolation.upper()]
    for number in range(8):
        seed = tf.stack([seed_base(5, "crop"), tf.constant(number, tf.int64)])
        box = random_box(tf.constant([375, 500]), seed, (0.08, 1.0), 1.0)
        (top, left), (height, width) = (part.numpy() for part in box)
        part = whole.crop((left, top, left + width, top + height))
        expected = part.resize((128, height), method).resize((128, 128), method)  # Pillow 13 may take the height first
        seen = view(tf.constant(photo), (128, 128), tf.constant(number, tf.int64))[0].numpy().astype(int)
        off = np.abs(seen - np.array(expected))
        assert off.max() <= 1
        assert off.mean() < 0.06  # in one step, unrounded half-way, it would be 0.15


def test_jpegs_decode_to_pillows_pixels():
    rng = np.random.RandomState(0)
    photo = jpeg(sample_photos(1, (213, 301), seed=3)[0], 85)
    expected = np.array(Image.open(io.BytesIO(photo)))
    np.testing.assert_array_equal(decode(tf.constant(photo)), expected)
    for _ in range(25):
        size = rng.randint(1, (214, 302))
        begin = [rng.randint(0, whole - part + 1) for whole, part in zip((213, 301), size, strict=True)]
        seen = decode_crop(
            tf.constant(photo), lambda shape, b=begin, s=size: (tf.constant(b), tf.constant(s, tf.int32))
        )[0]
        np.testing.assert_array_equal(seen, expected[begin[0] :, begin[1] :][: size[0], : size[1]])


def test_crops_of_other_formats():
    content = io.BytesIO()
    Image.fromarray(PHOTOS[0]).save(content, "PNG")
    for image in (content.getvalue(), PHOTOS[0]):
        seen, *box = decode_crop(tf.constant(image), lambda shape: (shape // 4, shape // 2))
        assert [part.numpy().tolist() for part in box] == [[96, 128], [24, 32], [48, 64]]
        np.testing.assert_array_equal(seen, PHOTOS[0][24:72, 32:96])


def test_erasing(timm):
    import torch
    from torchvision.transforms import RandomErasing

    image = tf.fill([40, 60, 3], tf.constant(9, tf.uint8))
    erased = draw(lambda seed: random_erasing(image, seed, 0.25)[..., 0], 3000) == 0
    areas = erased.mean(axis=(1, 2))
    assert abs((areas > 0).mean() - 0.25) < 0.03
    areas = areas[areas > 0]
    torch.manual_seed(0)
    theirs = [RandomErasing.get_params(torch.ones(3, 40, 60), ERASED_AREA, (0.3, 3.3), [0.0]) for _ in range(2000)]
    theirs = np.array([height * width / 2400 for _, _, height, width, _ in theirs])
    np.testing.assert_allclose(np.quantile(areas, (0.1, 0.5, 0.9)), np.quantile(theirs, (0.1, 0.5, 0.9)), atol=0.025)
    for mask in erased[erased.any(axis=(1, 2))][:50]:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert mask.sum() == len(rows) * len(columns) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)  # one box
    everywhere = erased.any(axis=0)
    assert everywhere[1:-1, 1:-1].all()
    assert all(border.any() for border in (everywhere[0], everywhere[-1], everywhere[:, 0], everywhere[:, -1]))


def test_erasing_with_noise():
    """The same boxes, filled as timm's "pixel" does: normal by channel, here in 0..255 and cut off there."""
    image = tf.fill([40, 60, 3], tf.constant(9, tf.uint8))
    noise = ((120.0, 100.0, 80.0), (50.0, 30.0, 10.0))
    black, noisy = (draw(lambda seed, n=n: random_erasing(image, seed, 1.0, n), 100) for n in (None, noise))
    erased = black[..., 0] == 0
    np.testing.assert_array_equal(noisy[~erased], 9)
    pixels = noisy[erased].astype(np.float64)
    np.testing.assert_allclose(pixels.mean(0), noise[0], rtol=0.02)
    np.testing.assert_allclose(pixels.std(0), noise[1], rtol=0.02)
    assert np.abs(np.corrcoef(pixels.T) - np.eye(3)).max() < 0.02


def test_deit_erases_with_noise():
    erasing = dataclasses.replace(AUGMENTATIONS["deit"], crop_area=None, flip=False, rand_augment=None, erasing=1.0)
    view = image_view(erasing, seed=0)
    image = tf.fill([40, 40, 3], tf.constant(9, tf.uint8))
    pixels = draw(lambda seed: view(image, (40, 40), seed[1])[0], 100)
    erased = pixels[(pixels != 9).any(-1)]
    np.testing.assert_allclose(erased.mean(0), IMAGENET_MEAN, rtol=0.02)
    np.testing.assert_allclose(erased.std(0), IMAGENET_STD, rtol=0.05)  # what is cut off at 0 and 255 is missing


def colored(count=4, height=20, width=30):
    """Image i is all 10 i, with label i."""
    images = tf.cast(tf.fill([height, width, 3], 1)[None] * 10 * tf.range(count)[:, None, None, None], tf.uint8)
    return images, tf.eye(count)


def test_mix_up():
    images, labels = colored()
    mixed, targets = mix_up(images, labels, tf.constant(0.7), None)
    np.testing.assert_allclose(mixed[:, 3, 4, 1], [0.3 * 30, 7, 14 + 3, 21 + 6], rtol=1e-5)
    np.testing.assert_allclose(targets[1], [0.3, 0.7, 0, 0], rtol=1e-5)


def test_cut_mix_weighs_by_what_is_pasted():
    images, labels = colored()

    def shares(seed):
        mixed, targets = cut_mix(images, labels, beta(1.0, seed), seed + 2)
        pasted = tf.reduce_mean(tf.cast(mixed[2] == 10.0, tf.float32))
        kept = tf.reduce_mean(tf.cast(mixed[2] == 20.0, tf.float32))
        return tf.stack([pasted, kept, targets[2, 1], targets[2, 2], tf.reduce_sum(targets[2])])

    pasted, kept, of_pasted, of_kept, total = draw(shares, 1500).T
    np.testing.assert_allclose(pasted, of_pasted, atol=1e-5)
    np.testing.assert_allclose(kept, of_kept, atol=1e-5)
    np.testing.assert_allclose(total, 1, atol=1e-5)
    assert pasted.max() > 0.9
    assert abs(pasted.mean() - 0.3208) < 0.02  # E (s - s^2/4)^2 with s^2 uniform: boxes are cut off at the border


@pytest.mark.parametrize("alpha", [0.2, 0.8, 1.0])
def test_weights_are_beta(alpha):
    weights = draw(lambda seed: beta(alpha, seed), 4000)
    assert abs(weights.mean() - 0.5) < 0.03
    assert weights.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.06)


def test_mixing_picks_one_way_for_each_batch():
    images, labels = colored()
    mixed = draw(lambda seed: Mixing(0.8, 1.0)(images, labels, seed)[0][1], 600)
    levels = np.array([len(np.unique(image)) for image in mixed])
    of_mix_up = (levels == 1) & (mixed[:, 0, 0, 0] % 10 > 1e-3)
    assert abs(of_mix_up.mean() - 0.5) < 0.07
    only = draw(lambda seed: Mixing(cutmix=1.0)(images, labels, seed)[0][1], 50)
    assert set(np.unique(only)) == {0.0, 10.0}


HEAVY = dict.fromkeys(("deit", "flowformer"), pytest.mark.slow)  # seconds to trace; mobilevitv2 has most of the same


@pytest.mark.parametrize("augment", [pytest.param(name, marks=HEAVY.get(name, ())) for name in AUGMENTATIONS])
def test_the_same_eagerly_and_in_tf_data(augment):
    """And a second time; and another number or seed gives something else."""
    photos = [jpeg(photo) for photo in sample_photos(6, (90, 120))]
    augmentation = AUGMENTATIONS[augment]
    boxes = tf.constant([[0.2, 0.1, 0.9, 0.8]])
    see, source = image_view(augmentation, 3), Source("four", ("a", "b", "c", "d"), {}, {})
    finish_views = batch_view(augmentation, LABELS, source, 3)

    def view(photo, size, number):
        return see(photo, size, number, beside=boxes if augmentation.object_crop else None)[0]

    def finish(images, labels, number):
        return finish_views({"image": images, "label": labels}, number)

    dataset = tf.data.Dataset.from_tensor_slices((photos, np.arange(6)))
    dataset = dataset.map(lambda photo, number: view(photo, (48, 48), number), 2)
    images = [view(tf.constant(photo), (48, 48), tf.constant(i, tf.int64)) for i, photo in enumerate(photos)]
    np.testing.assert_array_equal(np.stack(images), np.stack(list(dataset.as_numpy_iterator())))
    labels, number = tf.constant([0, 1, 2, 3, 0, 1]), tf.constant(0, tf.int64)
    batch, targets = finish(tf.stack(images), labels, number)
    piped = dataset.batch(6).map(lambda images: finish(images, labels, number))
    np.testing.assert_array_equal(batch, next(iter(piped))[0])
    np.testing.assert_array_equal(targets, next(iter(piped))[1])
    assert batch.dtype == targets.dtype == tf.float32
    assert 0 <= batch.numpy().min() <= batch.numpy().max() <= 255
    np.testing.assert_allclose(tf.reduce_sum(targets, axis=1), 1, rtol=1e-5)
    if augmentation.varies_images:
        others = [view(tf.constant(photo), (48, 48), tf.constant(i + 6, tf.int64)) for i, photo in enumerate(photos)]
        assert min(np.abs(a.numpy().astype(int) - b).max() for a, b in zip(images, others, strict=True)) > 0


def test_half_of_the_images_are_flipped():
    ramp = np.broadcast_to(np.arange(32, dtype=np.uint8)[None, :, None] * 8, (32, 32, 3))
    view = image_view(AUGMENTATIONS["imagenet"], 0)
    ends = draw(lambda seed: tf.cast(view(tf.constant(ramp), (8, 8), seed[1])[0], tf.int32)[0, ::7, 0], 1500)
    assert abs((ends[:, 0] > ends[:, 1]).mean() - 0.5) < 0.05
