"""Named recipes: what the papers trained with, one module each, whose docstring names paper, command and result.

A module here is a recipe, by its file's name; see keras_mobattn.catalog.RECIPES.
"""

from keras_mobattn.catalog import RECIPES
from keras_mobattn.errors import choose, expect_kind, expect_range
from keras_mobattn.settings import TrainSettings


def recipe_settings(name: str, width: float = 1.0, variant: str | None = None) -> TrainSettings:
    """The TrainSettings of a recipe: of MobileViTv2 for this width, of other families for this variant or their own
    default.

    Raises:
        InputError: an unknown recipe, or no width or variant.
    """
    expect_range("width", width, 0, above=True)
    expect_kind("variant", variant, (str, type(None)), "a text or None")
    return TrainSettings(**{"width": width, **choose(RECIPES, name, "recipe").settings(width, variant)})
