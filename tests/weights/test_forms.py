"""The two forms of Mobile-Attention on disk: weights of one never count for the other's, in any file that can tell.

The files in fixtures/first_files were written when there was one form, the published one: helpers/make_first_files.py.
"""

import dataclasses
import functools
import json
import tarfile
import warnings

import numpy as np
import pytest
import tf_keras as keras

import keras_mobattn
from helpers import FIXTURES
from keras_mobattn import data, export
from keras_mobattn.attention import MobileAttention, attention_layer
from keras_mobattn.commands.train import has_run
from keras_mobattn.describe import describe_coreml, describe_tflite
from keras_mobattn.errors import InputError
from keras_mobattn.families import FAMILIES
from keras_mobattn.models import MODELS, randomize_weights
from keras_mobattn.settings import TrainSettings, load_settings, save_settings
from keras_mobattn.training import train
from keras_mobattn.weights import load_weights

FILES = FIXTURES / "first_files"
ANY = export.Tolerance(float("inf"))
FORMS = {"mobile": False, "mobile_published": True}
IMAGES = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
PREDICTIONS = np.load(FILES / "predictions.npz")["model"]
build = functools.partial(keras_mobattn.MobileViTv2, 0.25, variant="test", classes=10)


ANOTHER_PROCESSOR = 5e-6  # than the one that made PREDICTIONS adds up in another order: 1.2e-6 was seen


def differ(model, expected, images=IMAGES):
    return np.abs(model.predict(images, verbose=0) - expected).max()


def forms_of(model):
    return {layer.published for layer in model.layers if isinstance(layer, MobileAttention)}


@pytest.mark.parametrize("family", MODELS)
def test_a_form_has_a_name(family):
    for name, published in FORMS.items():
        model = MODELS[family](variant="test", attention=name, head_dim=2, classes=3)
        assert forms_of(model) == {published}
        assert forms_of(keras.Model.from_config(model.get_config())) == {published}
    assert attention_layer("mobile_published", 16, name="a", num_heads=2).head_dim == 8  # as of the default form


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
@pytest.mark.parametrize("attention", FORMS)
def test_a_model_takes_over_the_form_of_old_weights(first_models, name, attention):
    with warnings.catch_warnings(record=True) as said:
        model = build(attention=attention, input_shape=(32, 32, 3), weights=first_models / name)
    told = [each for each in said if "was trained with Mobile-Attention as published" in str(each.message)]
    assert [each.filename for each in told] == ([__file__] if attention == "mobile" else [])
    assert forms_of(model) == {True}
    assert differ(model, PREDICTIONS) < ANOTHER_PROCESSOR
    again = keras.Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    assert differ(again, PREDICTIONS) < ANOTHER_PROCESSOR


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_model_of_the_published_form_takes_no_weights_of_the_other(name, tmp_path):
    model = randomize_weights(build(attention="mobile", input_shape=(32, 32, 3)))
    model.save(tmp_path / name)
    same = build(attention="mobile", input_shape=(32, 32, 3), weights=tmp_path / name)
    assert differ(same, model.predict(IMAGES, verbose=0)) < 1e-6
    with pytest.raises(InputError, match="with weights of its default form. Take attention='mobile'"):
        build(attention="mobile_published", input_shape=(32, 32, 3), weights=tmp_path / name)


@pytest.mark.sampled
def test_weights_alone_tell_their_form(tmp_path):
    for attention, published in FORMS.items():
        model = randomize_weights(build(attention=attention, input_shape=(32, 32, 3)))
        path = tmp_path / f"{attention}.weights.h5"
        model.save_weights(path)
        expected = model.predict(IMAGES, verbose=0)
        same = build(attention=attention, input_shape=(32, 32, 3), weights=path)
        assert differ(same, expected) == 0
        same.load_weights(path)
        (other,) = (name for name in FORMS if name != attention)
        kind = "as published" if published else "in its default form"
        with pytest.raises(InputError, match=f"weights of it {kind}.*Build the model with attention='{attention}'"):
            build(attention=other, input_shape=(32, 32, 3)).load_weights(path)
    with pytest.warns(UserWarning, match="the model has that form now"):
        model = build(attention="mobile", input_shape=(32, 32, 3), weights=tmp_path / "mobile_published.weights.h5")
    assert differ(model, expected) == 0
    with pytest.raises(InputError, match="Take attention='mobile'"):
        build(attention="mobile_published", input_shape=(32, 32, 3), weights=tmp_path / "mobile.weights.h5")


@pytest.mark.sampled
def test_old_weights_alone_are_of_the_published_form(first_models, tmp_path):
    """What today's package writes without the mark is what the package before wrote."""
    model = keras.models.load_model(first_models / "model.keras")
    for layer in model.layers:
        if isinstance(layer, MobileAttention):
            layer.save_own_variables = lambda store: None
    model.save_weights(tmp_path / "old.weights.h5")
    for attention in FORMS:
        received = build(attention=attention, input_shape=(32, 32, 3), weights=tmp_path / "old.weights.h5")
        assert differ(received, PREDICTIONS) < ANOTHER_PROCESSOR
    received.load_weights(tmp_path / "old.weights.h5")
    with pytest.raises(InputError, match="weights of it as published"):
        build(attention="mobile", input_shape=(32, 32, 3)).load_weights(tmp_path / "old.weights.h5")


def test_weights_alone_in_the_older_format_tell_nothing(first_models, tmp_path):
    keras.models.load_model(first_models / "model.keras").save_weights(tmp_path / "old.h5")
    with pytest.raises(InputError, match="a file that tells of which form.*attention='mobile_published'"):
        build(attention="mobile", input_shape=(32, 32, 3), weights=tmp_path / "old.h5")
    with pytest.warns(UserWarning, match="doesn't tell the form.*taken for the published one"):
        received = build(attention="mobile_published", input_shape=(32, 32, 3), weights=tmp_path / "old.h5")
    assert differ(received, PREDICTIONS) < ANOTHER_PROCESSOR
    with pytest.warns(UserWarning, match="without its head"):  # and nothing of forms, since no attention is loaded
        build(
            attention="mobile",
            input_shape=(32, 32, 3),
            weights=tmp_path / "old.h5",
            weights_skip="attention",
            include_top=False,
        )


def test_settings_mean_what_they_meant(tmp_path):
    path = tmp_path / "settings.json"
    for attention in ("mobile", "mobile_published", "separable"):
        settings = TrainSettings(attention=attention)
        save_settings(path, settings)
        assert load_settings(path) == settings
        values = json.loads(path.read_text())
        del values["format"]  # as the first version wrote it
        path.write_text(json.dumps(values))
        assert load_settings(path).attention == ("mobile_published" if attention == "mobile" else attention)
    path.write_text("{}")
    assert load_settings(path).attention == "mobile_published"  # the default was "mobile"
    path.write_text('{"format": 3}')
    with pytest.raises(InputError, match="Expected format to be a whole number from 1 to 2. Received: 3. A newer"):
        load_settings(path)


def test_a_load_that_fails_changes_nothing(first_models):
    """Not even the form; and what was traced in the other form is not used again."""
    model = keras_mobattn.MobileViTv2(0.5, "mobile", "test", input_shape=(32, 32, 3), classes=10)
    family = FAMILIES["MobileViTv2"]
    with pytest.raises(InputError), pytest.warns(UserWarning, match="has that form now"):
        load_weights(model, first_models / "model.keras", family, model.name)
    assert forms_of(model) == {False}
    model = build(attention="mobile", input_shape=(32, 32, 3))
    model.predict(IMAGES, verbose=0)
    with pytest.warns(UserWarning, match="has that form now"):
        load_weights(model, first_models / "model.keras", family, model.name)
    assert differ(model, PREDICTIONS) < ANOTHER_PROCESSOR


def test_models_of_both_forms_take_no_others_weights(tmp_path):
    """Layer by layer they would have to be known."""
    forms = iter([True, False, False])
    mixed = build(attention=lambda dim: MobileAttention(dim, published=next(forms)), input_shape=(32, 32, 3))
    mixed.save(tmp_path / "mixed.h5")
    for attention in FORMS:
        with pytest.raises(InputError, match="the forms of Mobile-Attention of .*layer by layer"):
            build(attention=attention, input_shape=(32, 32, 3), weights=tmp_path / "mixed.h5")


@pytest.mark.slow
def test_an_old_run_goes_on_in_its_form(tmp_path):
    """With its settings of then, too, whose "mobile" was the published form."""
    with tarfile.open(FILES / "run.tar.xz") as archive:
        archive.extractall(tmp_path / "run", filter="data")
    settings = load_settings(tmp_path / "run" / "settings.json")
    assert settings.attention == "mobile_published"
    then = dataclasses.replace(settings, attention="mobile")
    assert has_run(then, tmp_path / "run")
    train(then, tmp_path / "run", resume=True, progress=False)
    assert load_settings(tmp_path / "run" / "settings.json") == settings
    assert forms_of(keras.models.load_model(tmp_path / "run" / "model.keras")) == {True}
    with pytest.raises(InputError, match=r"attention='separable' \(was 'mobile_published'\)"):
        has_run(dataclasses.replace(settings, attention="separable"), tmp_path / "run")


@pytest.mark.slow
def test_a_run_from_old_weights_keeps_their_form(first_models, tmp_path):
    """Its settings say so: what resumes it builds the model without these weights."""
    settings = TrainSettings(
        variant="test",
        width=0.25,
        epochs=1,
        batch_size=128,
        warmup_epochs=0.5,
        weights=str(first_models / "model.keras"),
    )
    with pytest.warns(UserWarning, match="the model has that form now"):
        train(settings, tmp_path / "run", progress=False)
    for epochs in (1, 2):  # and what resumes it with the same settings
        assert load_settings(tmp_path / "run" / "settings.json").attention == "mobile_published"
        assert forms_of(keras.models.load_model(tmp_path / "run" / "model.keras")) == {True}
        settings = dataclasses.replace(settings, epochs=2)
        if epochs == 1:
            train(settings, tmp_path / "run", resume=True, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_default_form_costs_no_more_on_a_phone(precision, tmp_path):
    """In operators and partitions, of TFLite and of Core ML: it has no clip."""
    described = {}
    for attention in FORMS:
        model = randomize_weights(build(attention=attention, head_dim=4, input_shape=(128, 128, 3)))
        path = tmp_path / f"{attention}.tflite"
        photos = data.sample_photos(16, (128, 128))
        export.to_tflite(model, path, precision, tolerance=ANY, check_images=photos, representative_images=photos)
        export.to_coreml(model, path.with_suffix(".mlpackage"), "fp32", tolerance=ANY)
        described[attention] = (describe_tflite(path), describe_coreml(path.with_suffix(".mlpackage")))
    for default, published in zip(described["mobile"], described["mobile_published"], strict=True):
        assert all(count <= published.operators[kind] for kind, count in default.operators.items())
    fewer, more = (sum(described[attention][1].operators.values()) for attention in FORMS)
    assert fewer < more  # TFLite's converter puts a clip at 1 into the addition before it; Core ML's has it to itself
    assert all(described[attention][0].xnnpack.partitions == 1 for attention in FORMS)
