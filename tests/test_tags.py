"""The table of published checkpoints against timm's own, the papers' figures, and our models."""

import pytest
from test_models import PUBLISHED_V1, PUBLISHED_V2, TIMMS_ROUNDING

import keras_mobattn
from keras_mobattn import InputError, MobileViT, MobileViTv2
from keras_mobattn.weights import TAGS, find_tag, imagenet_tag

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


def test_they_are_timms(timm):
    assert set(TAGS) == set(timm.list_pretrained("mobilevit*"))
    for tag in TAGS.values():
        theirs = timm.get_pretrained_cfg(tag.name)
        assert theirs.hf_hub_id == tag.repository
        assert theirs.input_size == (3, tag.input_size, tag.input_size)
        assert (theirs.crop_pct, theirs.interpolation) == (tag.crop, tag.interpolation)
        assert (theirs.mean, theirs.std) == (tag.mean, tag.std)
        assert theirs.architecture == tag.architecture
        assert theirs.num_classes == 1000
        assert theirs.license == "cvnets-license"


def test_figures_are_the_published_ones():
    expected = {
        f"{architecture}.{kind}": top1
        for architecture, figures in PAPERS_TOP1.items()
        for kind, top1 in zip(KINDS, figures, strict=False)
    }
    assert {tag.name: tag.top1 for tag in TAGS.values()} == pytest.approx(expected, abs=0.1)
    assert all(tag.top1 < tag.top5 < 100 for tag in TAGS.values())
    by_top1, by_top5 = (sorted(TAGS, key=lambda name: getattr(TAGS[name], kind)) for kind in ("top1", "top5"))
    assert [TAGS[name].top5 for name in by_top1] == pytest.approx([TAGS[name].top5 for name in by_top5], abs=0.01)


def test_costs_are_those_of_our_models():
    costs = {f"mobilevitv2_{100 * width:03.0f}": (cost[0], cost[2]) for width, cost in PUBLISHED_V2.items()}
    costs |= {f"mobilevit_{variant}": cost for variant, cost in PUBLISHED_V1.items()}
    for tag in TAGS.values():
        parameters, gmacs = costs[tag.architecture]
        assert tag.params == parameters
        if tag.input_size == 256:
            assert tag.gmacs == pytest.approx(gmacs, abs=TIMMS_ROUNDING)
        else:
            assert GMACS_384[tag.architecture] < tag.gmacs < 1.02 * GMACS_384[tag.architecture]


@pytest.mark.parametrize("architecture", ["mobilevit_xxs", "mobilevitv2_050", "mobilevitv2_125"])
def test_the_call_makes_the_model_of_that_name(architecture):
    tag = find_tag(f"{architecture}.cvnets_in1k")
    model = eval(tag.call, {"MobileViT": MobileViT, "MobileViTv2": MobileViTv2})
    assert model.name == architecture
    assert sum(weight.shape.num_elements() for weight in model.trainable_weights) == tag.params


@pytest.mark.parametrize("name", TAGS)
def test_a_tag_is_found_by_either_name(name):
    assert find_tag(name) is find_tag(f"timm/{name}") is TAGS[name]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("timm/mobilevitv2_100", "mobilevitv2_100.cvnets_in1k"),
        ("mobilevit-s.cvnets_in1k", "mobilevit_s.cvnets_in1k"),
        ("mobilevitv2_200_384_in22ft1k", "mobilevitv2_200.cvnets_in22k_ft_in1k_384"),  # timm's former name
        ("resnet50", "list_weights"),
        (None, "list_weights"),
    ],
)
def test_an_unknown_tag_is_told_those_near_it(name, near):
    with pytest.raises(InputError, match="Expected the name of a published checkpoint") as caught:
        find_tag(name)
    assert near in str(caught.value)
    assert repr(name) in str(caught.value)


def test_imagenet_is_the_best_at_256_pixels():
    best = {architecture: imagenet_tag(architecture).name.split(".")[1] for architecture in PAPERS_TOP1}
    assert best == {name: KINDS[1] if len(figures) > 1 else KINDS[0] for name, figures in PAPERS_TOP1.items()}


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
    text = " ".join(lines)
    assert all(word in text for word in ("bicubic", "mean", "std", "Licence", "2110.02178", "2206.02680", "ml-cvnets"))
