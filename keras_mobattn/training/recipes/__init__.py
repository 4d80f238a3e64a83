"""Named recipes: what the papers trained with, one module each, whose docstring names paper, command and result."""

from keras_mobattn.errors import choose
from keras_mobattn.training.recipes import (
    deit_distilled_in1k,
    deit_in1k,
    efficientformerv2_in1k,
    mobile_attention_in1k,
    mobilevit_in1k,
    mobilevitv2_in1k,
    mobilevitv2_in1k_384,
    mobilevitv2_in21k,
    mobilevitv2_in21k_in1k,
    pvtv2_in1k,
)
from keras_mobattn.training.settings import TrainSettings

MODULES = (
    mobilevitv2_in1k,
    mobilevitv2_in1k_384,
    mobilevitv2_in21k,
    mobilevitv2_in21k_in1k,
    mobilevit_in1k,
    mobile_attention_in1k,
    deit_in1k,
    deit_distilled_in1k,
    pvtv2_in1k,
    efficientformerv2_in1k,
)
RECIPES = {module.__name__.rpartition(".")[2]: module for module in MODULES}


def recipe_settings(name, width=1.0, variant=None):
    """The TrainSettings of a recipe: of MobileViTv2 for this width, of other families for this variant or their own
    default.

    Raises:
        InputError: an unknown recipe.
    """
    return TrainSettings(**{"width": width, **choose(RECIPES, name, "recipe").settings(width, variant)})
