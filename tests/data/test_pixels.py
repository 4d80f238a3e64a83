"""One way from a file to pixels: training, evaluation, prediction and conversion see the same, upright and opaque."""

import io

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from PIL import Image

from helpers import FIXTURES
from helpers.steps import HEIGHT, STEPS, WIDTH, exif
from keras_mobattn.commands import predict
from keras_mobattn.commands.opened import Opened
from keras_mobattn.data import StepPlan, batches, open_source, read_image, take_images, training_stream
from keras_mobattn.data.decode import decode, decode_crop
from keras_mobattn.data.image_file import SUFFIXES_OF, inspect_image
from keras_mobattn.errors import InputError
from keras_mobattn.export.images import choose_images
from keras_mobattn.tasks import TASKS

# EXIF 2.3's table, each as what makes the picture upright of what is stored: 6 has "the 0th row is the visual
# right-hand side".
UPRIGHT = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
    8: lambda x: np.rot90(x),
}


def png16(mode):
    """A PNG of 16 bits a channel, which Pillow writes in grey alone: written by TensorFlow."""
    deep = (STEPS.astype(np.uint16) << 8) + 77
    return tf.io.encode_png(deep[..., :1] if mode == "L" else deep).numpy()


def save(mode, **options):
    """What writes STEPS to a path in a mode of Pillow's."""

    def write(path):
        image = Image.fromarray(STEPS)
        if mode in ("RGBA", "LA"):
            image.putalpha(Image.linear_gradient("L").resize((WIDTH, HEIGHT)))
        image.convert(mode).save(path, **options)

    return write


def phone(name):
    """What copies a file that tests/helpers/make_phone_files.py made."""
    return lambda path: path.write_bytes((FIXTURES / "phone_files" / name).read_bytes())


GREY = np.array(Image.fromarray(STEPS).convert("L"))[..., None].repeat(3, -1)
ALPHA = np.array(Image.linear_gradient("L").resize((WIDTH, HEIGHT)))[..., None] / 255.0
ON_WHITE = STEPS * ALPHA + 255 * (1 - ALPHA)
HIDDEN = (lambda path: Image.fromarray(np.dstack([STEPS, np.zeros_like(STEPS[..., :1])])).save(path), 255, 0)
# name of a file -> what writes it, what a person sees (STEPS where None), and how far off that may be
FILES = {
    "a.jpg": (save("RGB", quality=95, subsampling=0), None, 12),
    "A.JPEG": (save("RGB", quality=95, subsampling=0, progressive=True), None, 12),
    "grey.jpg": (save("L", quality=95), GREY, 12),
    "a.jfif": (save("RGB", format="JPEG", quality=95, subsampling=0), None, 12),
    "a.jpe": (save("RGB", format="JPEG", quality=95, subsampling=0), None, 12),
    "cmyk.jpg": (save("CMYK", quality=95, subsampling=0), None, 12),
    "a.mpo": (save("RGB", format="MPO", quality=95, subsampling=0), None, 12),
    "a.png": (save("RGB"), None, 0),
    "grey.png": (save("L"), GREY, 0),
    "palette.png": (lambda path: Image.fromarray(STEPS).quantize(255).save(path), None, 6),
    "rgba.png": (save("RGBA"), ON_WHITE, 1),
    "hidden.png": HIDDEN,  # what lies under full transparency stays hidden
    "hidden.webp": HIDDEN[:1] + (255, 2),
    "one colour transparent.png": (
        lambda path: Image.fromarray(STEPS).save(path, transparency=tuple(map(int, STEPS[0, 0]))),
        np.where((STEPS[0, 0] == STEPS).all(-1, keepdims=True), 255, STEPS),
        0,
    ),
    "16 bits.png": (lambda path: path.write_bytes(png16("RGB")), None, 0),
    "grey 16 bits.png": (lambda path: path.write_bytes(png16("L")), STEPS[..., :1].repeat(3, -1), 0),
    "one bit.png": (lambda path: Image.fromarray(GREY[..., 0] > 99).save(path), 255 * (GREY > 99), 0),
    "a.bmp": (save("RGB"), None, 0),
    "palette.bmp": (save("P"), None, 60),
    "a.gif": (save("P"), None, 60),
    "moving.gif": (save("P", save_all=True, append_images=[Image.new("P", (WIDTH, HEIGHT))] * 2), None, 60),
    "a.webp": (save("RGB", lossless=True), None, 0),
    "a.tif": (save("RGB"), None, 0),
    "a.tiff": (save("CMYK"), None, 2),
    "grey 16 bits.tif": (
        lambda path: Image.fromarray((STEPS[..., 0].astype(np.uint16) << 8) + 200).save(path),
        STEPS[..., :1].repeat(3, -1),
        0,
    ),
    "a.avif": (save("RGB", quality=100, subsampling="4:4:4"), None, 12),
    "a.jp2": (save("RGB"), None, 0),
    "a.ppm": (save("RGB"), None, 0),
    "a.pgm": (save("L"), GREY, 0),
    "a.pnm": (save("RGB", format="PPM"), None, 0),
    "a.heic": (phone("upright.heic"), None, 25),
    "turned.heif": (phone("turned.heic"), None, 25),
    "webp under another name.jpg": (save("RGB", format="WEBP", lossless=True), None, 0),
    "png under another name.jpg": (save("RGB", format="PNG"), None, 0),
}


def test_every_suffix_is_in_the_table():
    suffixes = {suffix for each in SUFFIXES_OF.values() for suffix in each}
    assert suffixes == {"." + name.rpartition(".")[2].lower() for name in FILES}


def seen_by_all(folder, shape):
    """{who: {class: uint8 [h, w, 3]}} of a folder with one image of `shape` in each class, and two in the class "two",
    of which one is held out."""
    for colour in ("black", "white"):
        (folder / "two").mkdir(exist_ok=True)
        Image.new("RGB", shape[::-1], colour).save(folder / "two" / f"{colour}.png")
    source = open_source(folder)
    count = source.num_examples["train"]

    def named(images, labels):
        return {source.class_names[int(label)]: np.asarray(image) for image, label in zip(images, labels, strict=True)}

    seen = {"take_images": named(*take_images(source, "train", count, shape))}
    ((images, labels),) = batches(source, "train", image_size=shape, batch_size=count)
    seen["evaluate"] = named(images, labels.numpy().argmax(-1))
    (images, labels), *_ = training_stream(source, StepPlan(count, count, 1, shape), "none", seed=0)
    seen["train"] = named(images, labels.numpy().argmax(-1))
    rows = list(source.open("train"))
    seen["open"] = named([row["image"] for row in rows], [row["label"] for row in rows])
    return seen


def predicted(paths, shape, monkeypatch):
    """The pixels of each file that the command predict gives a model."""
    given = []
    image = keras.Input((*shape, 3))
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(image)))
    monkeypatch.setattr(model, "predict_on_batch", lambda batch: given.append(batch[0]) or np.zeros((1, 2)))
    opened = Opened("mine", model, TASKS["classification"], ("a", "b"), {}, told={"scale": 1})
    monkeypatch.setattr("keras_mobattn.commands.opened.open_model", lambda *_: opened)
    assert predict.main(tuple(paths), model=paths[0]) == 0
    return given


def converted(paths, folder, shape):
    """The images that a conversion checks and calibrates with, of a folder with these files."""
    folder.mkdir()
    for number, path in enumerate(paths):
        (folder / f"{number}{path.suffix}").write_bytes(path.read_bytes())
    chosen = choose_images(folder, folder, shape)
    return [*chosen.check, *chosen.representative]


def expect_all_see(folder, files, shape, monkeypatch):
    """`files`: {class: (path, what a person sees, how far off)}."""
    seen, paths = seen_by_all(folder, shape), [path for path, _, _ in files.values()]
    given = dict(zip(files, predicted(paths, shape, monkeypatch), strict=True))
    taken = converted(paths, folder.parent / "alone", shape)
    assert len(taken) == len(files)
    left = [image.tobytes() for image in taken]
    for label, (path, pixels, tolerance) in files.items():
        expected = read_image(path)
        assert expected.dtype == np.uint8
        assert np.abs(expected.astype(float) - pixels).max() <= tolerance, label
        others = {who: images[label] for who, images in seen.items()} | {"predict": given[label]}
        for who, image in others.items():
            np.testing.assert_array_equal(image, expected, err_msg=f"{who} {label}")
        left.remove(expected.tobytes())  # a conversion draws their order


def test_all_see_the_same(tmp_path, monkeypatch):
    files = {}
    for name, (write, pixels, tolerance) in FILES.items():
        path = tmp_path / "photos" / f"of {name}" / name
        path.parent.mkdir(parents=True)
        write(path)
        files[path.parent.name] = (path, STEPS if pixels is None else pixels, tolerance)
    expect_all_see(tmp_path / "photos", files, (HEIGHT, WIDTH), monkeypatch)


ORIENTED = {"jpg": {"quality": 95, "subsampling": 0}, "png": {}, "webp": {"lossless": True}, "tif": {}}


@pytest.mark.parametrize("lying", [False, True])
def test_all_eight_orientations(lying, tmp_path, monkeypatch):
    files = {}
    for suffix, options in ORIENTED.items():
        for orientation, turn in UPRIGHT.items():
            if (orientation >= 5) == lying:
                path = tmp_path / "photos" / f"{suffix} {orientation}" / f"phone.{suffix}"
                path.parent.mkdir(parents=True)
                Image.fromarray(STEPS).save(path, exif=exif(orientation), **options)
                assert inspect_image(path).size == read_image(path).shape[:2], path
                files[path.parent.name] = (path, turn(STEPS), 12)
    expect_all_see(tmp_path / "photos", files, (WIDTH, HEIGHT) if lying else (HEIGHT, WIDTH), monkeypatch)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_is_none(orientation, tmp_path):
    Image.fromarray(STEPS).save(tmp_path / "a.png", exif=exif(orientation))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), STEPS)
    assert inspect_image(tmp_path / "a.png").orientation == 1


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_crop_is_that_of_the_upright_image(orientation):
    content = io.BytesIO()
    Image.fromarray(STEPS).save(content, "JPEG", quality=95)
    content, turned = tf.constant(content.getvalue()), tf.constant(orientation)
    whole = UPRIGHT[orientation](decode(content).numpy())
    np.testing.assert_array_equal(decode(content, turned), whole)
    for top, left, height, width in ((0, 0, 3, 5), (2, 7, 11, 9), (whole.shape[0] - 6, whole.shape[1] - 4, 6, 4)):
        box = (tf.constant([top, left]), tf.constant([height, width]))
        seen, shape, *same = decode_crop(content, lambda shape, box=box: box, turned)
        np.testing.assert_array_equal(seen, whole[top : top + height, left : left + width])
        assert tuple(shape.numpy()) == whole.shape[:2]
        np.testing.assert_array_equal(same, box)


@pytest.mark.sampled
def test_a_phones_largest_photo(tmp_path):
    """200 megapixels, which TensorFlow's JPEG decoder refuses and Pillow warns of."""
    path = tmp_path / "huge.jpg"
    Image.new("RGB", (16320, 12240), (200, 30, 60)).save(path, quality=50)
    facts = inspect_image(path)
    assert not facts.plain
    pixels = read_image(path)
    assert pixels.shape == (12240, 16320, 3)
    np.testing.assert_allclose(pixels[::4000, ::4000].reshape(-1, 3), [[200, 30, 60]] * 20, atol=4)
    assert Image.MAX_IMAGE_PIXELS is not None  # the user's own setting is as it was


def test_too_large_is_said(tmp_path):
    Image.new("1", (30000, 20000)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="600 megapixels; up to 537 go"):
        read_image(tmp_path / "a.png")


def test_images_without_the_tag_cost_no_turning(tmp_path):
    """Their graph has no orientation in it: images a second stay what they were."""
    for name, options in {"plain": {}, "tagged": {"exif": exif(6)}}.items():
        folder = tmp_path / name
        for label in ("a", "b"):
            (folder / label).mkdir(parents=True)
            for k in range(2):
                Image.new("RGB", (8, 4), (k, 0, 0)).save(folder / label / f"{k}.jpg", **options)
        example = open_source(folder).read("train").example(0)
        assert ("orientation" in example) == (name == "tagged")


def test_a_jpeg_without_its_end_is_read_as_pillow_reads_it(tmp_path):
    """TensorFlow refuses some of them, which Pillow reads: training must not meet one that the check let through."""
    rng = np.random.default_rng(5)  # of 60 seeds 4 give one that Pillow reads and TensorFlow does not
    noise = rng.integers(0, 256, rng.integers(20, 60, 2).tolist() + [3], np.uint8)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for k in range(3):
            path = tmp_path / name / f"{k}.jpg"
            Image.fromarray(noise).save(path, quality=100, subsampling=0)
            path.write_bytes(path.read_bytes()[:-2])
    assert not inspect_image(tmp_path / "a" / "0.jpg").plain
    source = open_source(tmp_path)
    for split in source.num_examples:
        for example in source.open(split):
            np.testing.assert_array_equal(example["image"], read_image(tmp_path / "a" / "0.jpg"))


def test_sixteen_bits_of_a_pgm(tmp_path):
    levels = np.arange(0, 65536, 4096, dtype=">u2").reshape(4, 4)
    (tmp_path / "deep.pgm").write_bytes(b"P5 4 4 65535\n" + levels.tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "deep.pgm")[..., 0], levels >> 8)
