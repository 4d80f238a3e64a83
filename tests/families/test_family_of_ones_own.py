"""A family that no line of the package knows of: it is listed, built, loaded, written, trained and exported as ours."""

import functools
import os
import signal

import numpy as np
import pytest
import tf_keras as keras
from safetensors.numpy import load_file, save_file

import keras_mobattn
from keras_mobattn import InputError, export
from keras_mobattn.attention import SoftmaxAttention, attention_layer
from keras_mobattn.benchmark import benchmark_tflite
from keras_mobattn.commands import list_models
from keras_mobattn.families import FAMILIES, Checkpoint, Family, Variant
from keras_mobattn.layers import conv_norm_act
from keras_mobattn.models import MODELS, PUBLISHED, load_model
from keras_mobattn.models.application import application, application_model
from keras_mobattn.models.pyramid import mark_level
from keras_mobattn.training import Stopped, TrainSettings, evaluate, load_settings, train
from keras_mobattn.weights import TAGS, imagenet_tag, to_timm
from keras_mobattn.weights.layouts import Layout

DIMS = {"s": 16, "test": 8}


@application_model
def Tiny(variant="s", attention="softmax", drop_path_rate=0.0, head_dim=None, **options):  # noqa: N802
    """A stem, one attention and a norm."""
    attend = functools.partial(attention_layer, attention, own=SoftmaxAttention, num_heads=2, head_dim=head_dim)

    def body(x):
        x = conv_norm_act(x, DIMS[variant], 3, strides=8, name="stem")
        x = keras.layers.Add(name="block0_add")([x, attend(DIMS[variant], name="block0_attention")(x)])
        return mark_level(keras.layers.LayerNormalization(name="norm")(x), 3)

    return application(body, FAMILIES["Tiny"], f"tiny_{variant}", **options)


ROWS = (
    ("patch", "stem", "conv, batch norm"),
    ("layers.{block}.qkv", "block{block}_attention", "fused linear"),
    ("layers.{block}.out", "block{block}_attention/out", "linear"),
    ("last", "norm", "norm"),
    ("fc", "predictions", "classifier"),
)
RECORD = Family(
    name="Tiny",
    function=Tiny,
    paper="arXiv:9912.00001",
    attention="softmax",
    attention_class="SoftmaxAttention",
    attention_config={"num_heads": 2},
    input_size=48,
    mean=(0.5, 0.25, 0.0),
    std=(0.5, 0.5, 1.0),
    pyramid=(3,),
    variants={"tiny_s": Variant({"variant": "s"}, 18_584)},
    example="tiny_s",
    checkpoints=(
        Checkpoint("tiny_s.in1k", "tiny_s", 12.0, 34.0, 0.01, input_size=48, crop=0.9, origin="nobody", licence="none"),
    ),
    layouts=(Layout("timm", ROWS),),
)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(FAMILIES, "Tiny", RECORD)


def test_every_table_knows_it(capsys, monkeypatch):
    assert MODELS["Tiny"] is Tiny
    assert PUBLISHED["Tiny s"] == (Tiny, {"variant": "s"})
    assert list(MODELS)[-1] == "Tiny"
    tag = imagenet_tag("tiny_s")
    assert TAGS["tiny_s.in1k"] is tag
    assert (tag.call, tag.mean, tag.params) == ('Tiny(variant="s")', RECORD.mean, 18_584)
    keras_mobattn.list_weights()
    printed = capsys.readouterr().out
    assert "tiny_s.in1k" in printed
    assert "9912.00001" in printed
    assert 'Tiny(variant="s") with each attention' in list_models.tables()
    with pytest.raises(InputError, match="'Tiny'"):
        keras_mobattn.preprocess_input(np.zeros((1, 2, 2, 3)), "tiny")


def test_the_model_has_its_records_size_and_normalisation():
    model = MODELS["Tiny"]()
    assert (model.name, model.input_shape) == ("tiny_s", (None, 48, 48, 3))
    assert (
        sum(weight.shape.num_elements() for weight in model.trainable_weights) == RECORD.variants["tiny_s"].parameters
    )
    body = Tiny(include_preprocessing=False)
    body.set_weights(model.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3)).astype("uint8")
    prepared = keras_mobattn.preprocess_input(images, "Tiny")
    np.testing.assert_allclose(prepared[..., 1], images[..., 1] / 127.5 - 0.5, atol=1e-6)
    np.testing.assert_allclose(body(prepared), model(images), atol=1e-6)


def checkpoint(dim=16, classes=10):
    """As somebody's program would have written it."""
    shapes = {
        "patch.conv.weight": (dim, 3, 3, 3),
        **{f"patch.bn.{name}": (dim,) for name in ("weight", "bias", "running_mean", "running_var")},
        "layers.0.qkv.weight": (3 * dim, dim),
        "layers.0.qkv.bias": (3 * dim,),
        "layers.0.out.weight": (dim, dim),
        "layers.0.out.bias": (dim,),
        "last.weight": (dim,),
        "last.bias": (dim,),
        "fc.weight": (classes, dim),
        "fc.bias": (classes,),
    }
    rng = np.random.default_rng(1)
    return {key: rng.uniform(0.1, 1, shape).astype("float32") for key, shape in shapes.items()}


def test_a_checkpoint_is_loaded_strictly_and_written_again(tmp_path):
    path, tensors = tmp_path / "m.safetensors", checkpoint()
    save_file(tensors, path)
    model = Tiny(weights=path, classes=10)
    np.testing.assert_array_equal(model.get_layer("block0_attention").key.bias, tensors["layers.0.qkv.bias"][16:32])
    to_timm(model, tmp_path / "again.safetensors")
    again = load_file(tmp_path / "again.safetensors")
    assert set(again) == set(tensors)
    for key, tensor in tensors.items():
        np.testing.assert_array_equal(again[key], tensor, key)

    with pytest.raises(InputError, match="attention='softmax', .*Received: one with MobileAttention"):
        Tiny(weights=path, classes=10, attention="mobile")
    with pytest.warns(UserWarning, match="10 classes"):
        Tiny(weights=path, classes=3, attention="mobile", weights_skip="attention")
    with pytest.raises(InputError, match="weights of mobilevit_test. Received: .* a checkpoint of Tiny"):
        keras_mobattn.MobileViT("test", weights=path)
    save_file({key: each for key, each in tensors.items() if key != "last.bias"}, path)
    with pytest.raises(InputError, match="norm/beta"):
        Tiny(weights=path, classes=10)


class StopAt(keras.callbacks.Callback):
    """SIGTERM after the third step, as from a machine that is taken back."""

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.state.step.numpy()) == 3:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_it_trains_resumes_is_evaluated_exported_and_benchmarked(tmp_path):
    settings = TrainSettings(
        data_dir=str(tmp_path / "data"), model="Tiny", variant="test", epochs=1, batch_size=256, warmup_epochs=0.0
    )
    with pytest.raises(Stopped):
        train(settings, tmp_path / "run", progress=False, callbacks=[StopAt()])
    result = train(load_settings(tmp_path / "run" / "settings.json"), tmp_path / "run", resume=True, progress=False)
    assert result["steps"] == 1438 // 256
    model = load_model(tmp_path / "run" / "model.keras")
    assert isinstance(model.get_layer("block0_attention"), keras_mobattn.MobileAttention)
    assert evaluate(model, settings.open_source())["accuracy"] == pytest.approx(result["test_accuracy"])
    path = tmp_path / "m.tflite"
    assert export.to_tflite(model, path).max_abs_error < 1e-4
    assert benchmark_tflite(path, warmup_runs=0, num_runs=1, min_secs=0).details.partitions == 1
