"""What `weights=` says when it can't: tensors left over, other models' files, damaged and foreign ones."""

import json
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from helpers.cases import RECORDS
from helpers.loaded import LOOK_ALIKES, attempt, build, trained, victim
from keras_mobattn import InputError
from keras_mobattn.weights import load, to_timm


def write_safetensors(path, family="MobileViTv2", change=dict):
    """A checkpoint of `trained` in timm's layout, after `change` has had its tensors."""
    to_timm(trained(family), path)
    safetensors.numpy.save_file(change(safetensors.numpy.load_file(path)), path)
    return path


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
    torch = pytest.importorskip("torch", reason="torch is not installed: tests/helpers/peers.txt")
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
