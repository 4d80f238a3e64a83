"""training/predict.py, and training/evaluate.py with a published checkpoint, as a user runs them."""

import contextlib
import io
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
import tf_keras as keras
from PIL import Image
from sklearn.datasets import load_sample_images

from helpers import ROOT, hub as loopback
from keras_mobattn import InputError, randomize_weights
from keras_mobattn.commands.opened import open_model
from keras_mobattn.data import resize_and_crop, sample_photos
from keras_mobattn.export import to_tflite
from keras_mobattn.models import load_model
from keras_mobattn.weights import find_tag, imagenet_classes

SCRIPTS = ROOT / "training"
TAG = find_tag("mobilevitv2_050.cvnets_in1k")
NUM_PHOTOS = 8
CORNERS = ((0, 0), (120, 0), (0, 220), (127, 220))  # of the windows that are the photographs, in each of the two
RANKS = (0, 0, 0, 0, 0, 2, 2, 700)  # of each photograph's label among timm's predictions: top-1 5 of 8, top-5 7 of 8
COUNTS = {"train": 1, "validation": NUM_PHOTOS, "test": 1}


@pytest.fixture(scope="module")
def photos():
    """uint8 [8, 300, 420, 3], in their own resolution."""
    windows = [np.s_[top : top + 300, left : left + 420] for top, left in CORNERS]
    return np.stack([photo[window] for photo in load_sample_images().images for window in windows])


@pytest.fixture(scope="module")
def published(timm, photos):
    """A stand-in for the checkpoint TAG: (its file's bytes, timm's probabilities for the photographs [8, 1000]).

    Random weights whose predictions hang on the image: batch norms and head are set to these photographs. The spatial
    kernels are averages, since random ones make much of an image's rounding: then its last bits decided the top class.
    """
    import torch
    from safetensors.torch import save

    transform = timm.data.create_transform(
        (3, TAG.input_size, TAG.input_size),
        crop_pct=TAG.crop,
        interpolation=TAG.interpolation,
        mean=TAG.mean,
        std=TAG.std,
    )
    images = torch.stack([transform(Image.fromarray(photo)) for photo in photos])
    torch.manual_seed(0)
    model = timm.create_model(TAG.architecture)
    head = model.head.fc
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = None  # its statistics become those of what it sees
            elif isinstance(layer, torch.nn.Conv2d):
                layer.weight.copy_(layer.weight.mean((2, 3), keepdim=True).expand_as(layer.weight))
        model.train()(images)
        features = model.eval().forward_head(model.forward_features(images), pre_logits=True)
        head.weight.normal_(0, 6 / features.std(0).mean() / features.shape[1] ** 0.5)
        head.bias.copy_(-head.weight @ features.mean(0))
        probabilities = head(features).softmax(-1).numpy()
    return save(model.state_dict()), probabilities


@pytest.fixture
def hub(published):
    with loopback.running({TAG.repository: published[0]}) as running:
        yield running


def run_script(name, *flags, env=()):
    """Run a script in a new process, since huggingface_hub reads its environment once."""
    command = [sys.executable, SCRIPTS / name, *map(str, flags)]
    env = os.environ | {"COLUMNS": "120", **dict(env)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def tables(text):
    """What predict.py printed: for each image the (class, score) of its rows."""
    return [re.findall(r"│ (\S.*?) +│ +([\d.]+) │", table) for table in text.split("┏")[1:]]


@pytest.mark.sampled
def test_predict_with_a_published_checkpoint(hub, published, photos, tmp_path):
    """Downloaded, with the scores of timm's model on timm's view of the files; a bad file costs no other its result."""
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for photo, file in zip(photos, files, strict=False):
        Image.fromarray(photo).save(file)
    (tmp_path / "bad.jpg").write_text("hello")
    given = [files[0], tmp_path / "bad.jpg", *files[1:]]
    done = run_script("predict.py", *given, "--weights", TAG.repository, env=hub.environment(tmp_path / "cache"))
    assert done.returncode == 2, done.stderr
    assert re.search(r"Error: Expected an image .*bad.jpg' \(not an image\)", done.stderr)
    assert "Traceback" not in done.stderr
    found = tables(done.stdout)
    assert len(found) == len(files)
    names = [name.replace("_", " ") for _, name in imagenet_classes()]
    for rows, probabilities in zip(found, published[1], strict=False):
        assert len(rows) == 5
        assert rows[0][0] == names[np.argmax(probabilities)]
        for name, score in rows:
            assert float(score) == pytest.approx(probabilities[names.index(name)], abs=0.05)


def prepare_imagenet2012(data_dir, photos, labels, monkeypatch):
    """tfds's own imagenet2012, made of our photographs instead of its archives."""
    builder = tfds.builder("imagenet2012", data_dir=data_dir)

    def examples(split):
        for i in range(COUNTS[split]):
            file = io.BytesIO()
            Image.fromarray(photos[i]).save(file, "PNG")
            file.seek(0)
            yield i, {"image": file, "label": -1 if split == "test" else labels[i], "file_name": f"{i}"}

    monkeypatch.setattr(type(builder), "_split_generators", lambda *_: {split: examples(split) for split in COUNTS})
    with contextlib.redirect_stderr(io.StringIO()):
        builder.download_and_prepare()


@pytest.mark.sampled
def test_evaluate_a_published_checkpoint(hub, published, photos, tmp_path, monkeypatch):
    """The figures that the ranks of the labels among timm's predictions give, beside the published ones."""
    ranked = np.argsort(-published[1], axis=1)
    labels = [int(ranked[i, rank]) for i, rank in enumerate(RANKS)]
    prepare_imagenet2012(tmp_path / "tfds", photos, labels, monkeypatch)
    flags = ["--weights", TAG.name, "--dataset", "imagenet2012", "--data-dir", tmp_path / "tfds"]
    done = run_script("evaluate.py", *flags, env=hub.environment(tmp_path / "cache"))
    assert done.returncode == 0, done.stderr
    assert "Top-1 62.50 %, published 70.16 %" in done.stdout
    assert "Top-5 87.50 %, published 89.93 %" in done.stdout
    assert re.search(rf"│ all +│ +{NUM_PHOTOS} │ +62.50 │", done.stdout)
    assert len(re.findall(r"│ +1 │ +100.00 │", done.stdout)) == 5


def small_model(classes, size=(32, 48), top=True):
    """A classifier that is quickly built, saved and converted, with random weights."""
    image = keras.Input((*size, 3))
    x = keras.layers.Conv2D(8, 3, 2, activation="swish")(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.GlobalAveragePooling2D()(x) if top else x
    return randomize_weights(keras.Model(image, keras.layers.Dense(classes, activation="softmax")(x)), seed=1)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run of three classes with its model, labels and .tflite file."""

    folder = tmp_path_factory.mktemp("runs") / "three"
    folder.mkdir()
    model = small_model(3)
    model.save(folder / "model.keras")
    (folder / "settings.json").write_text("{}")
    (folder / "labels.txt").write_text("ant\nbee [small]\ncat\n")
    names = ("Ameise", "Biene", "Katze")
    to_tflite(model, folder / "own.tflite", check_images=sample_photos(2, (32, 48)), labels=names)
    to_tflite(model, folder / "bare.tflite", check_images=sample_photos(2, (32, 48)))
    return folder


OWN = {
    "": ("ant", "bee [small]", "cat"),
    "own.tflite": ("Ameise", "Biene", "Katze"),
    "bare.tflite": ("ant", "bee [small]"),
}


@pytest.mark.parametrize("file", OWN)
def test_predict_with_a_model_of_ones_own(run_folder, photos, tmp_path, call_script, capsys, file):
    """A run folder or a file in it, with the run's names or the file's own, seen as training sees images."""
    Image.fromarray(photos[0]).save(tmp_path / "a.png")
    model, names = run_folder / file, OWN[file]
    assert call_script(SCRIPTS / "predict.py", tmp_path / "a.png", "--model", model, "--top", len(names)) == 0
    scores = load_model(run_folder / "model.keras")(np.float32(resize_and_crop(photos[0], (32, 48)))[None]).numpy()[0]
    (rows,) = tables(capsys.readouterr().out)
    order = np.argsort(-scores)
    expected = dict(zip(OWN["own.tflite"] if "own" in file else OWN[""], scores, strict=True))
    assert [name for name, _ in rows] == [list(expected)[i] for i in order[: len(names)]]
    for name, score in rows:
        assert float(score) == pytest.approx(expected[name], abs=2e-4)


def test_names_of_a_file_alone(tmp_path):
    """Of 1000 classes ImageNet's; of any other number their index."""
    small_model(1000).save(tmp_path / "thousand.keras")
    assert open_model(tmp_path / "thousand.keras").class_names[388] == "giant panda"
    small_model(10).save(tmp_path / "ten.keras")
    assert open_model(tmp_path / "ten.keras").class_names[9] == "class 9"
    converted = open_model(tmp_path / "thousand.keras", TAG.repository)
    assert converted.view == {"crop": 0.888, "interpolation": "bicubic"}
    assert converted.image_size == (32, 48)


def test_what_is_no_classifier(tmp_path):
    small_model(10).save(tmp_path / "ten.keras")
    with pytest.raises(InputError, match="Expected 10 class names .*ten.keras. Received: 1000, tench"):
        open_model(tmp_path / "ten.keras", TAG.name)
    (tmp_path / "settings.json").write_text("{}")
    (tmp_path / "labels.txt").write_text("ant\nbee\n")
    with pytest.raises(InputError, match="Expected 10 class names .*ten.keras. Received: 2, ant, bee"):
        open_model(tmp_path / "ten.keras")

    for options in ({"top": False}, {"size": (None, None)}):
        small_model(10, **options).save(tmp_path / "odd.keras")
        with pytest.raises(
            InputError, match="Expected a classifier of RGB images of a fixed size .*odd.keras with input"
        ):
            open_model(tmp_path / "odd.keras")


@pytest.mark.parametrize(
    "last", [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)], ids=["features", "a number"]
)
def test_numbers_that_are_no_scores(last, tmp_path):
    """Features, and a number that is measured, are no classes and have no best one."""
    image = keras.Input((32, 48, 3))
    x = keras.layers.Conv2D(8, 3)(keras.layers.Rescaling(1 / 255)(image))
    x = x if isinstance(last, keras.layers.GlobalAveragePooling2D) else keras.layers.GlobalAveragePooling2D()(x)
    keras.Model(image, last(x)).save(tmp_path / "numbers.keras")
    with pytest.raises(InputError, match="Expected a classifier .*one number: sigmoid.*numbers.keras"):
        open_model(tmp_path / "numbers.keras")


@pytest.mark.parametrize(
    "inputs", [keras.Input((28, 28, 1)), {"photo": keras.Input((28, 28, 3))}], ids=["grey", "dict"]
)
def test_images_that_no_file_gives(inputs, tmp_path):
    image = inputs["photo"] if isinstance(inputs, dict) else inputs
    scores = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image)))
    keras.Model(inputs, scores).save(tmp_path / "odd.keras")
    with pytest.raises(InputError, match="Expected a classifier of RGB images .*odd.keras with input"):
        open_model(tmp_path / "odd.keras")


BAD_FLAGS = {
    "no such pattern": (["predict.py", "*.png", "--weights", TAG.name], "Expected files that '*.png' fits."),
    "no images": (["predict.py", "empty", "--weights", TAG.name], "Received: a folder without. Name another one."),
    "no such tag": (["predict.py", "image.jpeg", "--weights", "mobilevitv2_10"], "Received: 'mobilevitv2_10'"),
    "no such file": (["predict.py", "image.jpeg", "--model", "nowhere.keras"], "nowhere.keras"),
    "top": (["predict.py", "a.png", "--weights", TAG.name, "--top", "0"], "from 1 up. Received: 0"),
    "no dataset": (["evaluate.py", "--weights", TAG.name], "Expected --dataset"),
    "neither": (["evaluate.py", "--dataset", "digits"], "or --weights NAME. Received: none of them"),
    "another dataset": (
        ["evaluate.py", "--weights", TAG.name, "--dataset", "digits"],
        "'digits' with 10 classes, 0, 1, 2",
    ),
}


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_flags(case, call_script, tmp_path, monkeypatch, capsys):
    (script, *flags), message = BAD_FLAGS[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "image.jpeg").write_bytes(b"never looked at")
    (tmp_path / "empty").mkdir()
    data = ["--data-dir", tmp_path / "tfds"] if script == "evaluate.py" else []
    assert call_script(SCRIPTS / script, *flags, *data) == 2
    assert message in " ".join(capsys.readouterr().err.split())
