"""Layouts of published weights: what timm and transformers predict with a file, our models predict with it too."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from helpers import make_checkpoint_sample, torch_peers
from keras_mobattn import MobileViTv2, randomize_weights
from keras_mobattn.models import MODELS
from keras_mobattn.weights import TAGS, to_timm
from keras_mobattn.weights.transforms import POSITIONS

ARCHITECTURES = list(dict.fromkeys(tag.architecture for tag in TAGS.values() if tag.origin == "apple/ml-cvnets"))
# The others take minutes. The stored sample holds transformers' models too, smaller.
QUICK = {("timm", "mobilevit_xxs"), ("timm", "mobilevitv2_050")}
SAMPLES = json.loads(make_checkpoint_sample.SAMPLE.read_text(encoding="utf-8"))
needs_timm = torch_peers.needs("torch", "torchvision", "timm")
LIMIT = 1e-5  # of the logits' range; float32 rounds it to 3e-7 .. 2e-6


def build(architecture, **options):
    """The model of this package that returns logits of images without preprocessing, of any size."""
    tag = next(tag for tag in TAGS.values() if architecture in (tag.architecture, tag.name.split(".")[0]))
    options = {"input_shape": (None, None, 3), "include_preprocessing": False, "classifier_activation": None, **options}
    return MODELS[tag.function](**tag.arguments, **options)


def difference(received, expected, least=0.03):
    """Largest absolute difference, relative to the range of `expected`."""
    assert received.shape == expected.shape
    between_images = np.ptp(expected, axis=0).max()
    assert between_images > least * np.ptp(expected)  # else the signal died on its way, and anything would agree
    return np.abs(received - expected).max() / np.ptp(expected)


# transformers rounds odd maps of v2 down instead of resizing them: no reference there.
PEERS = {"timm": [(256, 256), (200, 264)], "transformers": [(256, 256), (192, 320)]}
# EfficientFormerV2, which timm builds for one size each: models/test_efficientformerv2.py
HOSTS = list(dict.fromkeys(tag.name.split(".")[0] for tag in TAGS.values() if tag.function in ("DeiT", "PVTv2")))
HOST_CASES = [
    pytest.param(
        architecture,
        marks=[
            torch_peers.needs("torch", "torchvision", "timm"),
            *[pytest.mark.slow] * (architecture not in ("deit_tiny_distilled_patch16_224", "pvt_v2_b0")),
        ],
    )
    for architecture in HOSTS
]
CASES = [
    pytest.param(
        source,
        architecture,
        sizes,
        marks=[
            torch_peers.needs("torch", "torchvision", source),
            *[pytest.mark.slow] * ((source, architecture) not in QUICK),
        ],
        id=f"{source}-{architecture}",
    )
    for source, sizes in PEERS.items()
    for architecture in ARCHITECTURES
]


@pytest.mark.parametrize(("source", "architecture", "sizes"), CASES)
def test_predicts_what_the_peer_predicts(source, architecture, sizes, tmp_path):
    peer = torch_peers.BUILDERS[source](architecture)
    tensors = torch_peers.random_tensors(torch_peers.shapes_of(peer), seed=1)
    torch_peers.fill(peer, tensors)
    save_file(tensors, tmp_path / "model.safetensors")
    model = build(architecture, weights=tmp_path / "model.safetensors")
    bgr = source == "transformers" and architecture.startswith("mobilevit_")  # as Apple trained it
    for size in sizes:
        images = torch_peers.random_images(*size)
        expected = torch_peers.logits_of(peer, images[..., ::-1] if bgr else images)
        assert difference(model(images).numpy(), expected) < LIMIT, size


@pytest.mark.parametrize("architecture", HOST_CASES)
def test_predicts_what_timms_host_predicts(architecture, tmp_path):
    """At 224 pixels and at sides that 32 does not divide; DeiT's positions, made for 224 or 384, are resampled, and its
    image is padded."""
    sized = {"dynamic_img_size": True, "dynamic_img_pad": True} if architecture.startswith("deit") else {}
    peer = torch_peers.timm_model(architecture, **sized)
    tensors = torch_peers.random_tensors(torch_peers.shapes_of(peer), seed=1)
    torch_peers.fill(peer, tensors)
    save_file(tensors, tmp_path / "model.safetensors")
    for size in ((224, 224), (200, 264)):
        model = build(architecture, input_shape=(*size, 3), weights=tmp_path / "model.safetensors")
        images = torch_peers.random_images(*size)
        assert difference(model(images).numpy(), torch_peers.logits_of(peer, images), least=0.01) < LIMIT, size


@needs_timm
def test_to_timm_writes_hosts_too(tmp_path):
    """Bit for bit, the fused tensors and the positions of another grid than that of 224 pixels among them."""
    for architecture, side in (("deit_tiny_distilled_patch16_224", 96), ("pvt_v2_b0", 96)):
        model = randomize_weights(build(architecture, input_shape=(side, side, 3)), seed=3)
        to_timm(model, tmp_path / "model.safetensors")
        peer = torch_peers.timm_model(architecture, **({"img_size": side} if "deit" in architecture else {}))
        torch_peers.fill(peer, load_file(tmp_path / "model.safetensors"))
        images = torch_peers.random_images(side, side)
        assert difference(torch_peers.logits_of(peer, images), model(images).numpy(), least=0.01) < LIMIT


def test_positions_of_a_square_for_an_oblong_model():
    """The same number of patches: a file doesn't tell which of both they are of, and published ones are squares."""
    table = np.random.default_rng(0).normal(size=(1, 1 + 36, 5)).astype("float32")
    with pytest.warns(
        UserWarning, match="taken for those of 6 x 6 patches, as published. If they are of 4 x 9, as the"
    ):
        resampled = POSITIONS.resample(table, [(1, 5), (4, 9, 5)])
    assert resampled.shape == table.shape
    np.testing.assert_array_equal(resampled[0, 0], table[0, 0])
    np.testing.assert_array_equal(POSITIONS.resample(table, [(1, 5), (6, 6, 5)]), table)


def sample_id(sample):
    return f"{sample['source']}-{sample['architecture']}"


def sample_file(sample, folder):
    """The checkpoint of a stored sample, as its source would have written it."""
    path = folder / f"{sample['source']}.safetensors"
    save_file(torch_peers.random_tensors(sample["shapes"], sample["seed"]), path)
    return path


@pytest.mark.parametrize("sample", SAMPLES, ids=sample_id)
def test_predicts_what_the_peer_once_predicted(sample, tmp_path):
    """The same without the peer: its predictions are stored."""
    model = build(sample["architecture"], weights=sample_file(sample, tmp_path), classes=make_checkpoint_sample.CLASSES)
    images = torch_peers.random_images(*sample["size"])
    assert difference(model(images).numpy(), np.array(sample["logits"], "float32")) < LIMIT


@pytest.mark.parametrize(
    "sample",
    [pytest.param(each, marks=torch_peers.needs("torch", "torchvision", each["source"])) for each in SAMPLES],
    ids=sample_id,
)
def test_the_stored_sample_is_the_peers(sample):
    assert make_checkpoint_sample.SAMPLE.stat().st_size < 200_000
    again = make_checkpoint_sample.sample(sample["source"], sample["architecture"], sample["seed"])
    assert {key: tuple(shape) for key, shape in sample["shapes"].items()} == again["shapes"]
    assert difference(np.array(again["logits"]), np.array(sample["logits"])) < LIMIT


# timm's words -> cvnets', in this order; the layout of cvnets' `state_dict()`, written down apart from the package's.
CVNETS = [
    (r"^stem\.", "conv_1."),
    (r"^final_conv\.", "conv_1x1_exp."),
    (r"^stages\.0\.", "layer_1."),
    (r"^stages\.1\.", "layer_2."),
    (r"^stages\.2\.", "layer_3."),
    (r"^stages\.3\.", "layer_4."),
    (r"^stages\.4\.", "layer_5."),
    (r"\.conv1_1x1\.", ".block.exp_1x1."),
    (r"\.conv2_kxk\.", ".block.conv_3x3."),
    (r"\.conv3_1x1\.", ".block.red_1x1."),
    (r"(?<=layer_3\.1)\.norm\.", ".global_rep.2."),
    (r"(?<=layer_4\.1)\.norm\.", ".global_rep.4."),
    (r"(?<=layer_5\.1)\.norm\.", ".global_rep.3."),
    (r"\.transformer\.", ".global_rep."),
    (r"\.conv\.weight$", ".block.conv.weight"),
    (r"\.bn\.(\w+)$", r".block.norm.\1"),
]
CVNETS_V1 = [
    (r"^head\.fc\.", "classifier.fc."),
    (r"\.conv_kxk\.", ".local_rep.conv_3x3."),
    (r"\.conv_1x1\.weight", ".local_rep.conv_1x1.block.conv.weight"),
    (r"\.conv_fusion\.", ".fusion."),
    (r"\.norm1\.", ".pre_norm_mha.0."),
    (r"\.attn\.qkv\.", ".pre_norm_mha.1.qkv_proj."),
    (r"\.attn\.proj\.", ".pre_norm_mha.1.out_proj."),
    (r"\.norm2\.", ".pre_norm_ffn.0."),
    (r"\.mlp\.fc1\.", ".pre_norm_ffn.1."),
    (r"\.mlp\.fc2\.", ".pre_norm_ffn.4."),
]
CVNETS_V2 = [
    (r"^head\.fc\.", "classifier.1."),
    (r"\.conv_kxk\.", ".local_rep.0."),
    (r"\.conv_1x1\.weight", ".local_rep.1.block.conv.weight"),
    (r"\.norm1\.", ".pre_norm_attn.0."),
    (r"\.attn\.(qkv|out)_proj\.", r".pre_norm_attn.1.\1_proj.block.conv."),
    (r"\.norm2\.", ".pre_norm_ffn.0."),
    (r"\.mlp\.fc1\.", ".pre_norm_ffn.1.block.conv."),
    (r"\.mlp\.fc2\.", ".pre_norm_ffn.3.block.conv."),
]


def cvnets_file(sample, folder):
    """A timm sample as Apple's code would have written it: its names, and v1's stem in BGR order."""
    v1 = sample["architecture"].startswith("mobilevit_")
    tensors = {}
    for key, tensor in torch_peers.random_tensors(sample["shapes"], sample["seed"]).items():
        name = key
        for pattern, words in [*CVNETS, *(CVNETS_V1 if v1 else CVNETS_V2)]:
            name = re.sub(pattern, words, name)
        tensors[name] = np.ascontiguousarray(tensor[:, ::-1]) if v1 and key == "stem.conv.weight" else tensor
    save_file(tensors, folder / "cvnets.safetensors")
    return folder / "cvnets.safetensors"


@pytest.mark.parametrize("write", [sample_file, cvnets_file])
@pytest.mark.parametrize("sample", SAMPLES[:2], ids=sample_id)
def test_what_is_read_is_written_again(sample, write, tmp_path):
    """Bit for bit, without timm: timm's file and Apple's both give timm's tensors back, but for the buffers."""
    expected = torch_peers.random_tensors(sample["shapes"], sample["seed"])
    options = {"classes": make_checkpoint_sample.CLASSES, "input_shape": (64, 64, 3)}
    to_timm(build(sample["architecture"], weights=write(sample, tmp_path), **options), tmp_path / "again.safetensors")
    received = load_file(tmp_path / "again.safetensors")
    assert set(received) == {key for key in expected if not key.endswith("num_batches_tracked")}
    for key, tensor in received.items():
        np.testing.assert_array_equal(tensor, expected[key], key)


@pytest.mark.sampled
@pytest.mark.parametrize(("architecture", "classes"), [("mobilevit_xxs", 7), ("mobilevitv2_050", 0)])
@torch_peers.needs("torch", "torchvision", "timm")
def test_timm_loads_what_to_timm_writes(architecture, classes, tmp_path):
    """Strictly, with the head and without it, and predicts the same."""
    top = {"classes": classes} if classes else {"include_top": False, "pooling": "avg"}
    model = randomize_weights(build(architecture, **top), seed=3)
    to_timm(model, tmp_path / "model.safetensors")
    peer = torch_peers.timm_model(architecture, classes)
    torch_peers.import_peer("timm").models.load_checkpoint(peer, str(tmp_path / "model.safetensors"), strict=True)
    images = torch_peers.random_images(136, 168)
    assert difference(model(images).numpy(), torch_peers.logits_of(peer, images)) < LIMIT


LARGEST = """
import json, sys, time
from pathlib import Path
from keras_mobattn import MobileViTv2
from keras_mobattn.families import FAMILIES
from keras_mobattn.weights import load_weights

def status(field):
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024

model = MobileViTv2(2.0)
Path("/proc/self/clear_refs").write_text("5")  # the peak so far, which making the model has left, is forgotten
before, start = status("VmRSS"), time.perf_counter()
load_weights(model, sys.argv[1], FAMILIES["MobileViTv2"], "mobilevitv2_200")
print(json.dumps([time.perf_counter() - start, status("VmHWM") - before]))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="no /proc/self/clear_refs: Linux alone has it"
)
def test_the_largest_checkpoint_loads_in_5_s_and_3_times_its_size(tmp_path):
    path = tmp_path / "model.safetensors"
    to_timm(MobileViTv2(2.0), path)
    done = subprocess.run([sys.executable, "-c", LARGEST, path], capture_output=True, text=True, check=True)
    seconds, memory = json.loads(done.stdout)
    size = path.stat().st_size
    print(f"{seconds:.2f} s, {memory / size:.2f} times {size / 1e6:.1f} MB")
    assert seconds < 5
    assert 0.5 * size < memory < 3 * size  # less than half would say that it was not measured
