"""The model functions by name, and a published checkpoint as a model."""

from keras_mobattn.models.deit import DeiT
from keras_mobattn.models.mobilevit import MobileViT
from keras_mobattn.models.mobilevitv2 import MobileViTv2
from keras_mobattn.models.pvtv2 import PVTv2
from keras_mobattn.weights.tags import find_tag

MODELS = {"MobileViTv2": MobileViTv2, "MobileViT": MobileViT, "DeiT": DeiT, "PVTv2": PVTv2}
PUBLISHED = {  # the papers' models by name -> (function, its arguments)
    **{f"MobileViTv2 {width}": (MobileViTv2, {"width": width}) for width in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)},
    **{f"MobileViT {variant}": (MobileViT, {"variant": variant}) for variant in ("xxs", "xs", "s")},
    **{f"DeiT {variant}": (DeiT, {"variant": variant}) for variant in ("tiny", "small", "base")},
    **{f"DeiT {v} distilled": (DeiT, {"variant": v, "distilled": True}) for v in ("tiny", "small", "base")},
    **{f"PVTv2 {v}": (PVTv2, {"variant": v}) for v in ("b0", "b1", "b2", "b2_li", "b3", "b4", "b5")},
}


def pretrained_model(name, **options):
    """The model that the published checkpoint `name` fits, with its weights and its input size.

    `options` are those of the model function, in place of these.

    Raises:
        InputError: no such checkpoint, or weights that can't be had.
    """
    tag = find_tag(name)
    options = {"weights": tag.repository, "input_shape": (tag.input_size, tag.input_size, 3)} | options
    return MODELS[tag.function](**tag.arguments, **options)
