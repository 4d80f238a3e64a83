"""Files of cvnets, transformers and Keras into segmenters: what their models predict, ours predict with them."""

import functools
import re

import numpy as np
import pytest
from safetensors.numpy import save_file

import keras_mobattn
from helpers import cvnets, torch_peers
from helpers.cases import FAMILIES as TINY
from helpers.torch_segmenters import torch_segmenter
from keras_mobattn import LRASPP, DeepLabV3, PSPNet
from keras_mobattn.errors import InputError
from keras_mobattn.families import FAMILIES
from keras_mobattn.tasks.segmentation.checkpoint import load_segmenter
from keras_mobattn.weights.layouts.segmentation import SOURCES, with_segmentation

CLASSES, SIZE, WIDTH = 7, (128, 192), 32
LIMIT = 1e-4  # of the spread
HEADS = {"aspp": DeepLabV3, "psp": PSPNet}
tiny = functools.partial(TINY["MobileViTv2"], include_top=False, input_shape=(64, 64, 3))


def backbone(width=0.5, size=SIZE, **options):
    options = {"include_top": False, "include_preprocessing": False, "input_shape": (*size, 3), **options}
    return keras_mobattn.MobileViTv2(width, **options)


def predicted(model, images):
    """All outputs of a Keras model, the logits first."""
    outputs = model(images)
    outputs = [outputs["logits"], outputs["auxiliary"]] if isinstance(outputs, dict) else [outputs]
    return [each.numpy() for each in outputs]


def expect_same(received, expected):
    for ours, theirs in zip(received, expected, strict=True):
        assert ours.shape == theirs.shape
        assert np.ptp(theirs, axis=0).max() > 0.01 * np.ptp(theirs)  # the images differ
        assert np.abs(ours - theirs).max() <= LIMIT * np.ptp(theirs)


def of_torch(model, images):
    import torch

    with torch.no_grad():
        outputs = model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    return [each.numpy().transpose(0, 2, 3, 1) for each in outputs]


@pytest.fixture(scope="module")
def peer(timm):
    """peer(head, stride) is (torch's model, cvnets' tensors of it)."""
    import torch

    @functools.cache
    def make(head, stride=16):
        options = {"features_only": True, "out_indices": (3, 4), "output_stride": stride}
        encoder = timm.create_model("mobilevitv2_050", **options).eval()
        model = torch_segmenter(torch, encoder, head, CLASSES, stride, WIDTH)
        tensors = [torch_peers.random_tensors(torch_peers.shapes_of(part), seed=1) for part in (encoder, model)]
        torch_peers.fill(encoder, tensors[0])
        torch_peers.fill(model, tensors[1])
        return model, cvnets.encoder_tensors(tensors[0]) | tensors[1]

    return make


@pytest.fixture
def path(tmp_path):
    return tmp_path / "segmenter.safetensors"


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("head", "stride"), [("aspp", 16), ("psp", 16), *(pytest.param(head, 8, marks=pytest.mark.slow) for head in HEADS)]
)
def test_it_predicts_what_torch_does(peer, path, head, stride):
    """cvnets' file, with the auxiliary head; and without it, where it is left out with a warning."""
    model, tensors = peer(head, stride)
    save_file(tensors, path)
    images = torch_peers.random_images(*SIZE)
    expected = of_torch(model, images)
    build = functools.partial(HEADS[head], backbone(), CLASSES, stride, WIDTH, weights=path)
    expect_same(predicted(build(auxiliary=True), images), expected)
    with pytest.warns(UserWarning, match="loaded without its auxiliary head, which .*mobilevitv2_050") as caught:
        alone = build()
    assert caught[0].filename == __file__
    expect_same(predicted(alone, images), expected[:1])


# Of transformers' model -> the sizes: maps of which the largest rate leaves something. The large ones take minutes.
QUICK = [(320, 352)]
TRANSFORMERS = {
    ("mobilevit_xxs", 16): QUICK,
    ("mobilevitv2_050", 16): QUICK,
    ("mobilevit_xxs", 8): [(256, 384)],
    ("mobilevitv2_050", 8): [(256, 384)],
    **{(f"mobilevit_{variant}", 16): [(512, 512), (384, 512)] for variant in ("xs", "s")},
    ("mobilevitv2_100", 16): [(512, 512), (384, 512)],
}


def of_transformers(architecture, stride):
    """transformers' segmenter, and the width of its head; v2's convolutions are dilated as cvnets dilates them, which
    transformers leaves out."""
    transformers = torch_peers.import_peer("transformers")
    family, size = architecture.split("_")
    rates = [rate * 16 // stride for rate in (6, 12, 18)]
    common = {"num_labels": 21, "output_stride": stride, "atrous_rates": rates}
    if family == "mobilevit":
        config = transformers.MobileViTConfig(**common, **torch_peers.V1_OF_TRANSFORMERS[size])
        return transformers.MobileViTForSemanticSegmentation(config).eval(), config.aspp_out_channels
    config = transformers.MobileViTV2Config(**common, width_multiplier=int(size) / 100)
    model = transformers.MobileViTV2ForSemanticSegmentation(config).eval()
    for layer, dilation in {16: {4: 2}, 8: {3: 2, 4: 4}}[stride].items():
        conv = model.mobilevitv2.encoder.layer[layer].conv_kxk.convolution
        conv.dilation = conv.padding = (dilation, dilation)
    return model, config.aspp_out_channels


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("architecture", "stride"),
    [pytest.param(*case, marks=[pytest.mark.slow] * (sizes is not QUICK)) for case, sizes in TRANSFORMERS.items()],
)
@torch_peers.needs("torch", "torchvision", "transformers")
def test_it_predicts_what_transformers_does(architecture, stride, path):
    model, width = of_transformers(architecture, stride)
    tensors = torch_peers.random_tensors(torch_peers.shapes_of(model), seed=1)
    torch_peers.fill(model, tensors)
    save_file(tensors, path)
    (family,) = (each for each in FAMILIES.values() if architecture in each.variants)
    for size in TRANSFORMERS[architecture, stride]:
        own = family.build(
            **family.variants[architecture].arguments,
            include_top=False,
            include_preprocessing=False,
            input_shape=(*size, 3),
        )
        ours = DeepLabV3(own, 21, stride, width, weights=path)
        images = torch_peers.random_images(*size)
        given = images[..., ::-1] if family.name == "MobileViT" else images  # as Apple trained it
        expected = torch_peers.logits_of(model, given).transpose(0, 2, 3, 1)
        expect_same(predicted(ours, images), [expected])


def test_the_backbones_tensors_are_where_classification_has_them():
    """With cvnets' prefix; of every family that has such files, and of no other."""
    found = {}
    for family in FAMILIES.values():
        for layout in family.sources:
            if own := with_segmentation(layout):
                found.setdefault(family.name, []).append(layout.name)
                prefix = SOURCES[layout.name][0]
                for theirs, ours, _ in layout.parts:
                    key = re.sub(r"\{(\w+)\}", "3", theirs)
                    if layout.find(key):
                        assert own.find(prefix + key) == layout.find(key)
                        assert not ours or own.find(prefix + key)[0]
    assert found == {name: ["cvnets", "transformers"] for name in ("MobileViT", "MobileViTv2")}


@pytest.mark.sampled
def test_what_does_not_fit(peer, path):
    _, tensors = peer("aspp")
    save_file(tensors, path)
    build = functools.partial(DeepLabV3, width=WIDTH, auxiliary=True, weights=path)
    bad = {
        "seg_head.classifier.block.conv.bias: the model expects": (backbone(), CLASSES + 1),
        "Expected a backbone with attention='separable'.*MobileAttention": (backbone(attention="mobile"), CLASSES),
        "encoder.layer_1.0.block.exp_1x1.block.conv.weight: the model expects": (backbone(0.75), CLASSES),
        "no place for it": (keras_mobattn.MobileViT("xxs", "separable", include_top=False), CLASSES),
    }
    for text, arguments in bad.items():
        with pytest.raises(InputError, match=text) as caught:
            build(*arguments)
        assert str(path) in str(caught.value)
    with pytest.raises(InputError, match="psp_fusion_conv/kernel .*: the file has nothing for it"):
        PSPNet(backbone(), CLASSES, width=WIDTH, auxiliary=True, weights=path)
    save_file({key: value for key, value in tensors.items() if "aux_head.2" not in key}, path)
    with pytest.raises(InputError, match="auxiliary_classifier/bias .*: the file has nothing for it"):
        build(backbone(), CLASSES)
    kept = {key: value for key, value in tensors.items() if "aux_head" not in key}
    for more in ("encoder.conv_1x1_exp.block.conv.weight", "seg_head.aspp.aspp_layer.convs.5.block.conv.weight"):
        save_file(kept | {more: np.zeros(3, np.float32)}, path)
        with pytest.raises(InputError, match=f"{more}.*no place for it"):
            DeepLabV3(backbone(), CLASSES, width=WIDTH, weights=path)
    save_file({"a": np.zeros(3, np.float32)}, path)
    with pytest.raises(InputError, match=r"segmenter on one of these: MobileViT \(cvnets.*such as a"):
        build(backbone(), CLASSES)


@pytest.mark.sampled
@pytest.mark.parametrize("head", [LRASPP, *(pytest.param(head, marks=pytest.mark.slow) for head in HEADS.values())])
def test_a_saved_model_is_taken_by_the_names_of_its_layers(head, tmp_path):
    """LR-ASPP's only files. An auxiliary head, whose layers come between, makes no variable another's."""
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    build, file = functools.partial(head, classes=3, width=16), tmp_path / "trained.keras"
    trained = keras_mobattn.randomize_weights(build(tiny(), auxiliary=True), 1)
    trained.save(file)
    expected = predicted(trained, images)
    again = build(tiny(), auxiliary=True, weights=file)
    for ours, theirs in zip(predicted(again, images), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.warns(UserWarning, match="without its auxiliary head"):
        alone = build(tiny(), weights=str(file))
    np.testing.assert_array_equal(predicted(alone, images)[0], expected[0])
    with pytest.raises(InputError, match="the model expects"):
        build(tiny(), classes=4, auxiliary=True, weights=file)
    with pytest.raises(InputError, match="layer3_1_unit0_attention is SeparableAttention.*Received: Mobile"):
        build(tiny(attention="mobile"), auxiliary=True, weights=file)
    other = PSPNet if head is DeepLabV3 else DeepLabV3
    with pytest.raises(InputError, match="no place for it"):
        load_segmenter(other(tiny(), 3, width=16, auxiliary=True), file)


@pytest.mark.sampled
def test_a_backbone_keeps_its_weights():
    """Also at another output stride: a file of classification, and a head on top of it."""
    own = keras_mobattn.randomize_weights(tiny(), 1)
    variables = {weight.name: weight.numpy() for weight in own.weights}
    for stride in (8, 16, 32):
        model = DeepLabV3(own, 3, stride, width=16)
        kept = {weight.name: weight.numpy() for weight in model.weights if weight.name in variables}
        assert len(kept) == len(variables)
        for name, value in kept.items():
            np.testing.assert_array_equal(value, variables[name], name)
