"""The families and styles that tests run over, and tiny models of them with random weights, made once per session."""

import functools

import pytest

import keras_mobattn
from keras_mobattn import families
from keras_mobattn.attention import ATTENTIONS, OWN

RECORDS = families.FAMILIES
FAMILIES = {name: functools.partial(family.build, variant="test") for name, family in RECORDS.items()}
HOSTS_WITHOUT_PATCHES = [name for name, family in RECORDS.items() if family.attention_patch == 1]
OWN_STYLE = {name: OWN for name, family in RECORDS.items() if family.styles}  # families whose own attention is no style
STYLES = [(name, style) for name, family in RECORDS.items() for style in (*ATTENTIONS, *family.styles)]
TWO_STYLES = {family: ("mobile", OWN_STYLE.get(family, "separable")) for family in FAMILIES}
QUICK_FAMILIES = ("MobileViTv2",)  # the others are slow tests, which CI runs too
FAMILY_CASES = [pytest.param(family, marks=[pytest.mark.slow] * (family not in QUICK_FAMILIES)) for family in FAMILIES]
STYLE_CASES = [  # slow tests are those that CI runs too
    pytest.param(name, style, marks=[pytest.mark.slow] * (style not in RECORDS[name].quick_styles))
    for name, style in STYLES
]


@functools.cache
def tiny_model(family="MobileViTv2", attention="mobile", side=64, classes=10):
    """A test-size model of the family with random weights, side x side pixels, 0..255. Do not train it: it is
    shared."""
    model = FAMILIES[family](attention=attention, input_shape=(side, side, 3), classes=classes)
    return keras_mobattn.randomize_weights(model, seed=1)
