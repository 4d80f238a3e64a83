"""What `weights=` does with every kind of file, with other classes and another attention, and what it says when it
can't."""

import functools
import json
import pickle
import sys
import warnings
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from conftest import FAMILIES, RECORDS

from keras_mobattn import InputError, randomize_weights
from keras_mobattn.attention import SoftmaxAttention
from keras_mobattn.weights import load, read_checkpoint, to_timm

SMALL = {"input_shape": (32, 32, 3), "classes": 10}


def build(family="MobileViTv2", attention=None, **options):
    return FAMILIES[family](attention=attention or RECORDS[family].attention, **{**SMALL, **options})


@functools.cache
def trained(family="MobileViTv2", attention=None):
    return randomize_weights(build(family, attention), seed=1)


@functools.cache
def victim(family="MobileViTv2", attention=None, **options):
    """A model for `attempt`: making one takes longer than what is tested."""
    return build(family, attention, **options)


def attempt(path, *arguments, skip=None, **options):
    """`load_weights` into a model that was made before, and whose weights are all 9."""
    model, (family, *_) = victim(*arguments, **options), arguments or ("MobileViTv2",)
    model.set_weights([np.full_like(value, 9) for value in model.get_weights()])
    load.load_weights(model, path, RECORDS[family], model.name, skip)
    return model


def write_safetensors(path, family="MobileViTv2", change=dict):
    """A checkpoint of `trained` in timm's layout, after `change` has had its tensors."""
    to_timm(trained(family), path)
    safetensors.numpy.save_file(change(safetensors.numpy.load_file(path)), path)
    return path


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
    torch = pytest.importorskip("torch", reason="torch is not installed: tests/peers.txt")
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
    torch = pytest.importorskip("torch", reason="torch is not installed: tests/peers.txt")
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
    assert [warning.filename for warning in said] == [__file__]  # it points to whoever made the model
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


# Softmax attention's variables have the names and shapes of all these, and its numbers mean something else in them.
LOOK_ALIKES = ["mobile", "flow", "linear", functools.partial(SoftmaxAttention, num_heads=2)]


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


def without_two(tensors):
    return {key: each for key, each in tensors.items() if key not in ("stem.bn.bias", "stages.2.1.norm.weight")}


def with_others(tensors):
    return {**tensors, "stem.extra": np.zeros(2, "float32"), "stages.5.0.conv1_1x1.bn.weight": np.zeros(2, "float32")}


def with_other_shapes(tensors):
    changed = {"stem.conv.weight": tensors["stem.conv.weight"][:, :2], "stem.bn.bias": tensors["stem.bn.bias"][:-1]}
    key = "stages.2.1.transformer.0.attn.qkv_proj.weight"
    return {
        **tensors,
        **{name: each.copy() for name, each in changed.items()},
        key: np.zeros((32, 16, 1, 1), "float32"),
    }


def with_integers(tensors):
    return {**tensors, "stem.bn.bias": np.zeros(32, "int8")}


LEFT_OVER = {  # change of the tensors -> what the one error names, and how many
    without_two: (2, ["stem_bn/beta (32,): the file has nothing", "layer3_1_norm/gamma (16,): the file has nothing"]),
    with_others: (2, ["stem.extra (2,): the model has no", "stages.5.0.conv1_1x1.bn.weight (2,): the model has no"]),
    with_other_shapes: (
        3,
        [
            "stem.conv.weight: the model expects (32, 3, 3, 3), the file has (32, 2, 3, 3)",
            "stem.bn.bias: the model expects (32,), the file has (31,)",
            "qkv_proj.weight: the model expects (33, 16, 1, 1), the file has (32, 16, 1, 1)",
        ],
    ),
    with_integers: (1, ["stem.bn.bias: the model expects (32,), the file has (32,) of int8"]),
}


@pytest.mark.parametrize("change", LEFT_OVER, ids=lambda change: change.__name__)
def test_what_is_left_over_is_one_error_that_lists_all(change, tmp_path):
    count, expected = LEFT_OVER[change]
    path = write_safetensors(tmp_path / "m.safetensors", change=change)
    with pytest.raises(InputError, match=f"Received: {count} that do not:") as error:
        attempt(path)
    for text in expected:
        assert text in str(error.value)
    assert all((value == 9).all() for value in victim().get_weights())  # nothing was assigned


def of_another_width(path):
    to_timm(build(width=0.5), path / "m.safetensors")
    return attempt(path / "m.safetensors")


def of_the_other_family(path):
    return attempt(write_safetensors(path / "m.safetensors"), "MobileViT")


def foreign(path):
    safetensors.numpy.save_file({"vit.embed": np.zeros(3, "float32")}, path / "m.safetensors")
    return attempt(path / "m.safetensors")


def file_of(content, name):
    def call(path):
        (path / name).write_bytes(content)
        return attempt(path / name)

    return call


def cut(path):
    file = write_safetensors(path / "m.safetensors")
    file.write_bytes(file.read_bytes()[:-100])
    return attempt(file)


def cut_pickle(path):
    torch = pytest.importorskip("torch", reason="torch is not installed: tests/peers.txt")
    torch.save({"a": torch.zeros(1000)}, path / "m.pt")
    (path / "m.pt").write_bytes((path / "m.pt").read_bytes()[:-1000])
    return attempt(path / "m.pt")


def no_tensors(path):
    safetensors.numpy.save_file({}, path / "m.safetensors")
    return attempt(path / "m.safetensors")


def float8(path):
    header = json.dumps({"stem.bn.bias": {"dtype": "F8_E8M0", "shape": [32], "data_offsets": [0, 32]}}).encode()
    (path / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(32))
    return attempt(path / "m.safetensors")


def keras_without_weights(path):
    with zipfile.ZipFile(path / "m.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    return attempt(path / "m.keras")


BAD = {
    "width": (of_another_width, r"Received: \d+ that do not:.*of timm's layout, for mobilevitv2_test"),
    "family": (of_the_other_family, "weights of mobilevit_test. Received: .*, a checkpoint of MobileViTv2"),
    "foreign": (foreign, r"Expected a classification checkpoint.*such as vit.embed\."),
    "cut": (cut, r"Expected a whole .safetensors file.*m.safetensors', unreadable"),
    "cut pickle": (cut_pickle, r"m.pt', unreadable \("),
    "no safetensors": (file_of(b"<html>", "m.safetensors"), r"Expected a whole .safetensors file"),
    "no tensors": (no_tensors, "Expected tensors.*Received: none"),
    "float8": (float8, "Save it as float32"),
    "no h5": (file_of(b"<html>", "m.h5"), "weights of mobilevitv2_test.*m.h5, which does not fit"),
    "no keras": (file_of(b"<html>", "m.keras"), "weights of mobilevitv2_test.*m.keras, which does not fit"),
    "empty keras": (keras_without_weights, "weights of mobilevitv2_test.*m.keras, which does not fit"),
    "suffix": (file_of(b"", "m.ckpt"), r"m.ckpt', which is none of .safetensors, .pt, .pth, .bin, .keras, .h5"),
    "no file": (lambda _: attempt("no.safetensors"), "'no.safetensors', which does not exist"),
    "no tag": (lambda _: attempt("mobilevitv2_100.cvnets_in2k"), "'mobilevitv2_100.cvnets_in1k'"),
    "type": (lambda _: attempt(3), "weights to be None, 'imagenet', a tag or a path. Received: 3"),
    "other tag": (
        lambda _: load.load_weights(
            None, "timm/mobilevitv2_100.cvnets_in1k", RECORDS["MobileViTv2"], "mobilevitv2_050"
        ),
        r"weights of mobilevitv2_050.*is for keras_mobattn.MobileViTv2\(width=1.0\)",
    ),
    "v1's tag": (
        lambda _: load.load_weights(None, "mobilevit_s.cvnets_in1k", RECORDS["MobileViTv2"], "mobilevitv2_100"),
        r'mobilevitv2_100.*MobileViT\(variant="s"\)',
    ),
    "no imagenet": (lambda _: attempt("imagenet"), "mobilevitv2_test"),
    "skip": (lambda _: attempt("imagenet", skip="head"), "weights_skip to be .*Received: 'head'"),
    "skip of nothing": (
        lambda _: build(weights_skip="attention"),
        "Expected weights beside weights_skip. Received: 'attention'",
    ),
    "to_timm: attention": (
        lambda path: to_timm(victim("MobileViT", "mobile"), path / "m.safetensors"),
        "'mobilevit_test', which has MobileAttention",
    ),
    "to_timm: heads": (
        lambda path: to_timm(victim("MobileViT", LOOK_ALIKES[-1]), path / "m.safetensors"),
        "SoftmaxAttention with num_heads=2",
    ),
    "to_timm: suffix": (
        lambda path: to_timm(trained(), path / "m.pth"),
        "Expected the path of a .safetensors file for to_timm",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case, tmp_path):
    call, message = BAD[case]
    with pytest.raises(InputError, match=f"(?s){message}"):
        call(tmp_path)
    assert not list(tmp_path.glob(".*"))


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
