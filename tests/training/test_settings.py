"""Settings and flags of training, its sampler, and the accuracy on real digits."""

import dataclasses

import numpy as np
import pytest
import tf_keras as keras

from helpers import ROOT
from keras_mobattn import InputError
from keras_mobattn.data import open_source
from keras_mobattn.families import FAMILIES
from keras_mobattn.models import load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.training import TrainSettings, evaluate, load_settings, read_history, train
from keras_mobattn.training.build import build_model
from keras_mobattn.training.learner import Judge

SEVEN, TEN = "abcdefg", "0123456789"  # names of classes
SCRIPTS = ROOT / "training"


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tfds"))


@pytest.fixture
def tiny(data_dir):
    return TrainSettings(data_dir=data_dir, variant="test", epochs=2, batch_size=64, learning_rate=1e-2)


@pytest.mark.slow
def test_multi_scale_sampler_traces_each_size_once(tiny, tmp_path):
    settings = dataclasses.replace(tiny, model="MobileViT", image_size=64, sizes=(32, 64, 96), augment="imagenet")
    seen = {}
    spy = keras.callbacks.LambdaCallback()
    spy.on_epoch_end = lambda epoch, logs: seen.setdefault(
        epoch, spy.model.step_function.experimental_get_tracing_count()
    )
    result = train(settings, tmp_path / "run", progress=False, callbacks=[spy])
    assert seen == {0: 3, 1: 3}
    assert result["steps"] == 2 * (1438 * 3 // (256 + 64 + 28))
    model = load_model(tmp_path / "run" / "model.keras")
    assert model.input_shape == (None, 64, 64, 3)


@pytest.mark.sampled
def test_the_last_epoch_is_judged_once(tiny, tmp_path, monkeypatch):
    """Without images to pick the best on, its evaluation is the run's; a run that ended before is judged anew."""
    judged, real = [], Judge.evaluate
    monkeypatch.setattr(Judge, "evaluate", lambda *given, **how: judged.append(1) or real(*given, **how))
    settings, run = dataclasses.replace(tiny, epochs=1, batch_size=256, warmup_epochs=0.0), RunFolder(tmp_path / "run")
    result = train(settings, run.path, progress=False)
    assert len(judged) == 1
    assert result["test_accuracy"] == read_history(run.history_file)[-1]["val_accuracy"]
    run.result_file.unlink()
    run.model_file.unlink()
    again = train(settings, run.path, resume=True, progress=False)
    assert len(judged) == 2
    assert {**again, "seconds": 0} == {**result, "seconds": 0}


BAD_SETTINGS = {
    "image_size": 16,
    "epochs": 0,
    "batch_size": 0,
    "learning_rate": 0.0,
    "warmup_epochs": 100.0,
    "label_smoothing": 1.0,
    "ema_decay": 1.0,
    "width": -1.0,
    "aug_repeats": 0,
}


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_bad_settings(name):
    with pytest.raises(InputError, match=f"Expected {name} to be .*Received: {BAD_SETTINGS[name]}"):
        TrainSettings(**{name: BAD_SETTINGS[name]})


@pytest.mark.parametrize(("name", "what"), [("model", "model"), ("augment", "augmentation")])
def test_unknown_names(name, what):
    with pytest.raises(InputError, match=f"Expected {what} to be one of .*Received: 'nope'"):
        TrainSettings(**{name: "nope"})


def test_settings_of_something_else(tmp_path):
    path = tmp_path / "settings.json"
    for text, message in {
        '{"colour": 1}': "Expected the settings of a run in .*colour",
        "[]": "Expected the settings of a run in ",
        '{"epochs": "many"}': "Expected epochs to be a whole number from 1 up. Received: 'many'. That is in .*json",
    }.items():
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            load_settings(path)


def test_repeats_with_several_sizes():
    with pytest.raises(InputError, match="Expected one image size throughout for aug_repeats. Received: 3 with sizes"):
        TrainSettings(aug_repeats=3, sizes=(32, 64))


def test_model_of_other_classes(tiny, tmp_path):
    model = build_model(tiny, SEVEN)
    with pytest.raises(InputError, match="10 classes of 'digits'.*7"):
        evaluate(model, open_source("digits", tiny.data_dir))


def test_a_family_gets_what_it_takes(tiny, monkeypatch):
    """A function without width, variant or distilled is not told of them; one with them is."""
    seen = []

    def plain(attention, head_dim, drop_path_rate, input_shape, classes, weights, weights_skip):
        seen.append({})

    def full(width, variant, distilled, attention="own", head_dim=None, **options):
        seen.append({"width": width, "variant": variant, "distilled": distilled, "attention": attention})

    settings = dataclasses.replace(tiny, attention="own", distilled=True, width=0.75)
    monkeypatch.setitem(FAMILIES, "MobileViT", dataclasses.replace(FAMILIES["MobileViT"], function=full))
    build_model(dataclasses.replace(settings, model="MobileViT"), TEN)
    monkeypatch.setitem(FAMILIES, "MobileViT", dataclasses.replace(FAMILIES["MobileViT"], function=plain))
    build_model(dataclasses.replace(settings, model="MobileViT", distilled=False), TEN)
    assert seen == [{"width": 0.75, "variant": "test", "distilled": True, "attention": "own"}, {}]
    with pytest.raises(InputError, match="Expected distilled with DeiT alone. Received: 'MobileViT' with it"):
        build_model(dataclasses.replace(settings, model="MobileViT"), TEN)


def test_weights_to_start_from(tiny, tmp_path):
    """As a file fits: all of it; all but the head; all but the attention; or no run."""
    seven = build_model(tiny, SEVEN)
    seven.get_layer("predictions").bias.assign(range(7))  # as one that was trained
    seven.save(tmp_path / "seven.keras")
    start = dataclasses.replace(tiny, weights=str(tmp_path / "seven.keras"))
    with pytest.warns(UserWarning, match="7 classes"):
        ten = build_model(start, TEN)
    kernel, head = ("stem_conv", "predictions")
    np.testing.assert_array_equal(ten.get_layer(kernel).kernel, seven.get_layer(kernel).kernel)
    assert ten.get_layer(head).kernel.shape[-1] == 10

    start = dataclasses.replace(start, attention="separable")
    with pytest.raises(InputError, match="weights_skip"):
        train(start, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    with pytest.warns(UserWarning, match="seven.keras does not name its classes: .* in that order"):
        other = build_model(dataclasses.replace(start, weights_skip="attention"), SEVEN)
    seven.save_weights(tmp_path / "seven.weights.h5")
    with pytest.warns(UserWarning, match="seven.weights.h5 does not name its classes"):
        build_model(dataclasses.replace(tiny, weights=str(tmp_path / "seven.weights.h5")), SEVEN)
    np.testing.assert_array_equal(other.get_layer(kernel).kernel, seven.get_layer(kernel).kernel)


DIGITS = 359  # in the test set
BAD_FLAGS = {
    "a width that nothing takes": (["train.py", "--model", "PVTv2", "--width", "2"], "--width with MobileViTv2"),
    "the head's rate alone": (["train.py", "--head-learning-rate", "1e-3"], "Expected --head-epochs"),
    "style": (["train.py", "--attention", "nope"], "nope"),
    "width": (["train.py", "--width", "0"], "Expected width"),
    "dataset": (["train.py", "--dataset", "./nowhere"], "nowhere"),
    "file as folder": (
        ["train.py", "--output-dir", "/dev/null/x", "--epochs", "1", "--warmup-epochs", "0"],
        "/dev/null",
    ),
    "resume nothing": (["train.py", "--resume", "nowhere"], "nowhere"),
    "resume and flags": (["train.py", "--resume", "nowhere", "--recipe", "mobilevit_in1k"], "Leave it out"),
    "head_dim without heads": (["train.py", "--attention", "hydra", "--head-dim", "8"], "with heads"),
    "evaluate nothing": (["evaluate.py", "nowhere.keras", "--dataset", "digits"], "nowhere.keras"),
}


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_flags(case, call_script, tmp_path, data_dir, monkeypatch, capfd):
    (script, *flags), message = BAD_FLAGS[case]
    data = [] if "--resume" in flags else ["--data-dir", data_dir]
    monkeypatch.chdir(tmp_path)
    assert call_script(SCRIPTS / script, *flags, *data) == 2
    assert message in "".join(capfd.readouterr())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_digits_accuracy(data_dir, tmp_path):
    """That of a model that is right on 98.5 % of all digits, which makes so many mistakes on 359 of them by chance."""
    result = train(TrainSettings(data_dir=data_dir), tmp_path / "run", progress=False)
    expected = 0.015 * DIGITS
    assert (1 - result["test_accuracy"]) * DIGITS <= expected + 2 * expected**0.5
