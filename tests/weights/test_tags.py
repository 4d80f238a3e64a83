"""The table of published checkpoints against timm's own, the papers' figures, and our models."""

import pytest

import keras_mobattn
from helpers.published import PUBLISHED_V1, PUBLISHED_V2, TIMMS_ROUNDING
from keras_mobattn import InputError
from keras_mobattn.models import MODELS
from keras_mobattn.weights import SEGMENTERS, TAGS, find_segmenter, find_tag, imagenet_tag

# Top-1 in percent as the papers and cvnets's model zoo give it, which timm measured again with its own resize: in 1000
# classes; pretrained on 21k; that at 384 pixels.
PAPERS_TOP1 = {
    "mobilevit_xxs": (69.0,),
    "mobilevit_xs": (74.7,),
    "mobilevit_s": (78.3,),
    "mobilevitv2_050": (70.18,),
    "mobilevitv2_075": (75.56,),
    "mobilevitv2_100": (78.09,),
    "mobilevitv2_125": (79.65,),
    "mobilevitv2_150": (80.38, 81.46, 82.60),
    "mobilevitv2_175": (80.84, 81.94, 82.93),
    "mobilevitv2_200": (81.17, 82.36, 83.41),
}
KINDS = ("cvnets_in1k", "cvnets_in22k_ft_in1k", "cvnets_in22k_ft_in1k_384")
# At 384 pixels as architectures give them, of convolutions and linear layers; timm's also count the rest.
GMACS_384 = {"mobilevitv2_150": 9.10, "mobilevitv2_175": 12.35, "mobilevitv2_200": 16.10}


# Each in a paper's table 224 pixels, or 384: DeiT's tables 5 and 7, PVT v2's table 2, EfficientFormerV2's table 1.
HOSTS_TOP1 = {
    "deit_tiny_patch16_224.fb_in1k": 72.2,
    "deit_small_patch16_224.fb_in1k": 79.8,
    "deit_base_patch16_224.fb_in1k": 81.8,
    "deit_base_patch16_384.fb_in1k": 83.1,
    "deit_tiny_distilled_patch16_224.fb_in1k": 74.5,
    "deit_small_distilled_patch16_224.fb_in1k": 81.2,
    "deit_base_distilled_patch16_224.fb_in1k": 83.4,
    "deit_base_distilled_patch16_384.fb_in1k": 85.4,
    "pvt_v2_b0.in1k": 70.5,
    "pvt_v2_b1.in1k": 78.7,
    "pvt_v2_b2.in1k": 82.0,
    "pvt_v2_b2_li.in1k": 82.1,
    "pvt_v2_b3.in1k": 83.1,
    "pvt_v2_b4.in1k": 83.6,
    "pvt_v2_b5.in1k": 83.8,
    "efficientformerv2_s0.snap_dist_in1k": 76.2,
    "efficientformerv2_s1.snap_dist_in1k": 79.7,
    "efficientformerv2_s2.snap_dist_in1k": 82.0,
    "efficientformerv2_l.snap_dist_in1k": 83.5,
}
LICENCES = {"apple/ml-cvnets": "cvnets-license"}  # timm's word where it isn't Apache-2.0


def test_they_are_timms(timm):
    published = timm.list_pretrained(["mobilevit*", "deit_*", "pvt_v2*", "efficientformerv2*"])
    assert set(TAGS) == set(published)
    for tag in TAGS.values():
        theirs = timm.get_pretrained_cfg(tag.name)
        assert theirs.hf_hub_id == tag.repository
        assert theirs.input_size == (3, tag.input_size, tag.input_size)
        assert (theirs.crop_pct, theirs.interpolation) == (tag.crop, tag.interpolation)
        assert (theirs.mean, theirs.std) == (tag.mean, tag.std)
        assert theirs.architecture.split("_patch16")[0] == tag.architecture
        assert theirs.num_classes == 1000
        assert theirs.license == LICENCES.get(tag.origin, "apache-2.0")


def test_figures_are_the_published_ones():
    expected = HOSTS_TOP1 | {
        f"{architecture}.{kind}": top1
        for architecture, figures in PAPERS_TOP1.items()
        for kind, top1 in zip(KINDS, figures, strict=False)
    }
    assert {tag.name: tag.top1 for tag in TAGS.values()} == pytest.approx(expected, abs=0.2)
    assert all(tag.top1 < tag.top5 < 100 for tag in TAGS.values())
    ours = [name for name in TAGS if name.startswith("mobilevit")]
    by_top1, by_top5 = (sorted(ours, key=lambda name: getattr(TAGS[name], kind)) for kind in ("top1", "top5"))
    assert [TAGS[name].top5 for name in by_top1] == pytest.approx([TAGS[name].top5 for name in by_top5], abs=0.01)


def test_parameters_are_those_of_timms_models(timm):
    import torch

    for architecture, params in {tag.name.split(".")[0]: tag.params for tag in TAGS.values()}.items():
        with torch.device("meta"):
            model = timm.create_model(architecture)
        assert sum(each.numel() for each in model.parameters()) == params


def test_costs_are_those_of_our_models():
    """The hosts' in models/test_published_cost.py."""
    costs = {f"mobilevitv2_{100 * width:03.0f}": (cost[0], cost[2]) for width, cost in PUBLISHED_V2.items()}
    costs |= {f"mobilevit_{variant}": cost for variant, cost in PUBLISHED_V1.items()}
    for tag in (tag for tag in TAGS.values() if tag.architecture in costs):
        parameters, gmacs = costs[tag.architecture]
        assert tag.params == parameters
        if tag.input_size == 256:
            assert tag.gmacs == pytest.approx(gmacs, abs=TIMMS_ROUNDING)
        else:
            assert GMACS_384[tag.architecture] < tag.gmacs < 1.02 * GMACS_384[tag.architecture]


@pytest.mark.parametrize(
    "name",
    [
        "mobilevit_xxs.cvnets_in1k",
        "mobilevitv2_050.cvnets_in1k",
        "mobilevitv2_125.cvnets_in1k",
        "deit_tiny_distilled_patch16_224.fb_in1k",
        "pvt_v2_b0.in1k",
        "efficientformerv2_s0.snap_dist_in1k",
    ],
)
def test_the_call_makes_the_model_of_that_name(name):
    tag = find_tag(name)
    model = eval(tag.call, {**MODELS})
    assert model.name == tag.architecture
    assert sum(weight.shape.num_elements() for weight in model.trainable_weights) == tag.params


@pytest.mark.parametrize("name", TAGS)
def test_a_tag_is_found_by_either_name(name):
    assert find_tag(name) is find_tag(f"timm/{name}") is TAGS[name]


@pytest.mark.parametrize("name", SEGMENTERS)
def test_a_segmenter_is_found_by_either_name(name):
    tag = SEGMENTERS[name]
    assert find_segmenter(name) is find_segmenter(f"apple/{name}") is tag
    assert tag.call == f'DeepLabV3(weights="apple/{name}")'
    for other in (f"timm/{name}", name.replace("mobilevit", "mobilvit"), "resnet50"):
        with pytest.raises(InputError, match="such as 'apple/deeplabv3-mobilevit-small'. Received") as caught:
            find_segmenter(other)
        assert repr(other) in str(caught.value)
        assert ("Did you mean" in str(caught.value)) == (other != "resnet50")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("timm/mobilevitv2_100", "mobilevitv2_100.cvnets_in1k"),
        ("mobilevit-s.cvnets_in1k", "mobilevit_s.cvnets_in1k"),
        ("mobilevitv2_200_384_in22ft1k", "mobilevitv2_200.cvnets_in22k_ft_in1k_384"),  # timm's former name
        ("resnet50", "list_weights"),
        (None, "list_weights"),
        ("none", "weights=None gives random ones"),
    ],
)
def test_an_unknown_tag_is_told_those_near_it(name, near):
    with pytest.raises(InputError, match="Expected the name of a published checkpoint") as caught:
        find_tag(name)
    assert near in str(caught.value)
    assert repr(name) in str(caught.value)


def test_imagenet_is_the_best_at_the_default_size():
    best = {name: imagenet_tag(name).name.split(".")[1] for name in PAPERS_TOP1 if name.startswith("mobilevit")}
    assert best == {name: KINDS[len(PAPERS_TOP1[name]) > 1] for name in best}
    assert imagenet_tag("deit_base_distilled").name == "deit_base_distilled_patch16_224.fb_in1k"
    assert imagenet_tag("pvt_v2_b2_li").name == "pvt_v2_b2_li.in1k"


@pytest.mark.parametrize("architecture", ["mobilevitv2_test", "mobilevitv2_060", "mobilevit"])
def test_imagenet_for_a_size_without_one_lists_those_with(architecture):
    with pytest.raises(InputError, match=architecture) as caught:
        imagenet_tag(architecture)
    assert all(tag.call in str(caught.value) for tag in TAGS.values())


def test_list_weights_fits_into_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    keras_mobattn.list_weights()
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for tag in TAGS.values():
        (line,) = [line for line in lines if line.startswith(f"{tag.name} ")]
        expected = [str(tag.input_size), f"{tag.crop:.3f}", f"{tag.top1:.2f}", f"{tag.params / 1e6:.2f}"]
        assert line.split()[1:-1] == [*expected, "M"]
    for tag in SEGMENTERS.values():
        (line,) = [line for line in lines if line.startswith(f"{tag.repository} ")]
        assert line.split()[1:] == ["512", f"{tag.miou:.1f}", f"{tag.params / 1e6:.2f}", "M"]
    text = " ".join(lines)
    assert all(word in text for word in ("bicubic", "mean", "std", "Licence", "2110.02178", "2206.02680", "ml-cvnets"))
