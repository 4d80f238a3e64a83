"""What `weights=` does with every kind of file, and with other classes."""

import pickle
import sys
import warnings

import numpy as np
import pytest

from helpers.cases import RECORDS
from helpers.loaded import LOOK_ALIKES, attempt, build, trained
from keras_mobattn import InputError
from keras_mobattn.weights import load, read_checkpoint, to_timm


def by_layer(model, part):
    """(the values of layers whose names hold `part`, those of the others)."""
    layers = [{each.name: each.numpy() for each in layer.weights} for layer in model.layers]
    hold = [part in f"{layer.name}/" for layer in model.layers]
    return tuple(
        {
            name: value
            for values, held in zip(layers, hold, strict=True)
            if held is wanted
            for name, value in values.items()
        }
        for wanted in (True, False)
    )


def assert_same(received, expected):
    assert list(received) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(received[name], value, name)


def test_every_file_of_a_pickle_or_safetensors_reads_the_same(tmp_path):
    """Whatever a training program puts around the state dict; the moving average where there is one."""
    torch = pytest.importorskip("torch", reason="torch is not installed: tests/helpers/peers.txt")
    import safetensors.torch

    expected = {"conv.weight": np.arange(6, dtype="float32").reshape(2, 3), "n": np.array(3)}
    state = {key: torch.from_numpy(array.copy()) for key, array in expected.items()}
    other = {key: tensor + 1 for key, tensor in state.items()}
    half = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    bfloat = {key: tensor.bfloat16() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    contents = {
        "plain.pt": state,
        "wrapped.pth": {"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1}},
        "cvnets.pt": {
            "model_state_dict": other,
            "ema_model_state_dict": {f"module.{key}": t for key, t in state.items()},
        },
        "timm.bin": {"state_dict": other, "state_dict_ema": state},
        "twice.pt": {"model": {"state_dict": {f"_orig_mod.module.{key}": t for key, t in state.items()}}},
        "half.pt": half,
        "bfloat16.pt": bfloat,
    }
    for name, content in contents.items():
        torch.save(content, tmp_path / name)
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(half, tmp_path / "half.safetensors")
    safetensors.torch.save_file(bfloat, tmp_path / "bfloat16.safetensors")
    for name in (*contents, "old.pth", "half.safetensors", "bfloat16.safetensors"):
        received = read_checkpoint(tmp_path / name)
        assert_same(dict(sorted(received.items())), expected)
        assert received["conv.weight"].dtype == "float32", name


class Bomb:
    """What pickle runs when it is loaded."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


def test_nothing_in_a_checkpoint_is_run(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed: tests/helpers/peers.txt")
    mark = tmp_path / "exploded"
    content = {"state_dict": {"stem.conv.weight": torch.zeros(1)}, "extra": Bomb(mark)}
    torch.save(content, tmp_path / "new.pt")
    torch.save(content, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "bare.bin").write_bytes(pickle.dumps(content["extra"]))
    for name in ("new.pt", "old.pth", "bare.bin"):
        with pytest.raises(InputError, match="not loaded because that would run their code"):
            attempt(tmp_path / name)
        assert not mark.exists(), name
    torch.load(tmp_path / "new.pt", weights_only=False)  # the bomb is one
    assert mark.exists()


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.bin"])
def test_pickled_files_need_torch(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(InputError, match=rf"the package torch, to read .*{name}.*none. Take the .safetensors file"):
        attempt(tmp_path / name)


FORMATS = {  # name of the file -> how it is written
    "m.safetensors": lambda model, path: to_timm(model, path),
    "m.keras": lambda model, path: model.save(path),
    "whole.h5": lambda model, path: model.save(path),
    "m.h5": lambda model, path: model.save_weights(path),
    "m.weights.h5": lambda model, path: model.save_weights(path),
}


@pytest.fixture
def saved(tmp_path):
    def save(name, family="MobileViTv2", attention=None):
        FORMATS[name](trained(family, attention), tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_weights_back(name, saved):
    path = saved(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        received = build(weights=path)
    assert_same(by_layer(received, "")[0], by_layer(trained(), "")[0])


@pytest.mark.parametrize("name", FORMATS)
def test_other_classes_keep_a_fresh_head_and_say_so_once(name, saved):
    path = saved(name)
    with pytest.warns(UserWarning, match=f"{name} was loaded without its head: that has 10 classes.* has 3") as said:
        received = build(weights=path, classes=3)
    assert [warning.filename for warning in said] == [build.__code__.co_filename]  # it points to whoever made the model
    head, body = by_layer(received, "predictions/")
    assert_same(body, by_layer(trained(), "predictions/")[1])
    assert head["predictions/kernel:0"].shape[1] == 3
    assert head["predictions/kernel:0"].std() < 0.13  # as initialised, 1 / sqrt(3 * 32); trained it would be .18
    assert not head["predictions/bias:0"].any()
    with pytest.warns(UserWarning, match="the model has no head") as said:
        received = attempt(path, include_top=False)
    assert len(said) == 1
    assert_same(by_layer(received, "")[0], body)


@pytest.mark.parametrize("name", FORMATS)
def test_weights_skip_keeps_the_attention_as_it_was(name, saved):
    """For another attention with the same variables, and for the same attention."""
    path = saved(name, "MobileViT")
    received = [attempt(path, "MobileViT", skip="attention")]
    with pytest.warns(UserWarning, match="without its head"):
        received.append(attempt(path, "MobileViT", "mobile", classes=3, skip="attention"))
    for model, parts in zip(received, (["_attention/"], ["_attention/", "predictions/"]), strict=True):
        kept = {key: value for part in parts for key, value in by_layer(model, part)[0].items()}
        assert len(kept) == 3 * 8 + 2 * (len(parts) - 1)
        assert all((value == 9).all() for value in kept.values())
        body = {key: value for key, value in by_layer(model, "")[0].items() if key not in kept}
        expected = by_layer(trained("MobileViT"), "")[0]
        assert_same(body, {key: value for key, value in expected.items() if key not in kept})


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "m.h5"])
def test_another_attention_is_an_error_also_where_its_variables_fit(name, saved):
    path = saved(name, "MobileViT")
    # Files of weights alone tell the class of a layer at most.
    for attention in LOOK_ALIKES[: -1 if name == "m.weights.h5" else None]:
        with pytest.raises(InputError, match="weights_skip='attention' loads all but"):
            attempt(path, "MobileViT", attention)


@pytest.mark.parametrize("name", FORMATS)
def test_another_attention_is_an_error_where_its_variables_differ(name, saved):
    path = saved(name)
    for attention in ("softmax", "xca"):
        with pytest.raises(InputError, match="weights_skip='attention' loads all but"):
            attempt(path, "MobileViTv2", attention)


@pytest.mark.parametrize("policy", ["mixed_float16", "float16"])
def test_half_precision_takes_float32_files(policy, saved):
    import tf_keras as keras

    path = saved("m.safetensors")
    keras.mixed_precision.set_global_policy(policy)
    try:
        received = build(weights=path)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    for variable, value in zip(received.weights, trained().get_weights(), strict=True):
        np.testing.assert_array_equal(variable.numpy(), value.astype(variable.dtype.as_numpy_dtype), variable.name)


def test_a_name_of_the_users_own_changes_nothing(saved):
    received = build(weights=saved("m.safetensors"), name="mine")
    assert_same(by_layer(received, "")[0], by_layer(trained(), "")[0])


def test_imagenet_is_the_best_tag_of_the_architecture(monkeypatch):
    asked = []

    def download(tag):
        asked.append(tag.name)
        raise InputError("asked")

    monkeypatch.setattr(load, "download", download)
    for family, architecture in {"MobileViTv2": "mobilevitv2_200", "MobileViT": "mobilevit_xxs"}.items():
        with pytest.raises(InputError, match="asked"):
            load.load_weights(None, "imagenet", RECORDS[family], architecture)
    assert asked == ["mobilevitv2_200.cvnets_in22k_ft_in1k", "mobilevit_xxs.cvnets_in1k"]
