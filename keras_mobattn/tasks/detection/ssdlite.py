"""SSDLite (MobileNetV2, arXiv:1801.04381, section 6.2) on any backbone, as apple/ml-cvnets builds it on MobileViTv2
(`ssd.py`, `ssd_heads.py`). Layer names are a contract: weights hang on them."""

import functools

import tf_keras as keras

from keras_mobattn.errors import InputError, expect_kind, expect_range
from keras_mobattn.layers import JoinLevels, conv_norm_act
from keras_mobattn.models.pyramid import feature_pyramid
from keras_mobattn.names import LEVELS
from keras_mobattn.tasks.detection.anchors import anchor_boxes, ssd_sizes

WIDTHS = (512, 256, 256, 128, 128, 64)  # channels of the levels at strides 16, 32, 64, 128, 256, and of the whole map
BACKBONES = 2  # of these, the levels that are maps of the backbone: at strides 16 and 32
MULTIPLE = 64  # of which the image's sides have to be multiples; odd maps on the way would become even ones

_conv = functools.partial(conv_norm_act, initializer="glorot_uniform", act=keras.layers.ReLU)


def SSDLite(backbone, classes, sizes=None, name=None):  # noqa: N802  the paper's spelling
    """Build a detector on `backbone`, a keras.Model without top: {"boxes": [B, A, 4], "scores": [B, A, 1 + classes]}.

    Its levels are the backbone's maps at strides 16 and 32 (P4, P5), each with a 1x1 convolution where its width isn't
    that of WIDTHS, then depthwise separable convolutions of stride 2, each on the last map, and the mean of the whole.
    On each a depthwise separable convolution predicts, for each of a cell's anchors, four offsets (see `boxes`) and
    logits, of the background first. `classes` is the number of classes without the background. `sizes` are those of the
    anchors of each of the six levels, (width, height) as shares of the image; None: those of SSD, see `anchors`.
    Everything behind the backbone has ReLU.

    Raises:
        InputError: a backbone without P4, with a top, or of an open size or sides that MULTIPLE does not divide; a bad
            number of classes or of levels.
    """
    expect_range("classes", classes, 1, whole=True)
    sizes = ssd_sizes(len(WIDTHS)) if sizes is None else sizes
    expect_range("the number of levels in sizes", len(sizes), len(WIDTHS), len(WIDTHS), whole=True)
    maps = _levels(_maps(backbone))
    kinds = {"boxes": 4, "scores": 1 + classes}
    predicted = {kind: [] for kind in kinds}
    for level, (x, anchors) in enumerate(zip(maps, sizes, strict=True)):
        if level < len(WIDTHS) - 1:  # the whole map's mean has one cell, around which nothing is
            x = _conv(x, None, 3, depthwise=True, act=None, name=f"head{level}_depthwise")
        for kind, numbers in kinds.items():
            predict = keras.layers.Conv2D(
                len(anchors) * numbers, 1, kernel_initializer="glorot_uniform", name=f"head{level}_{kind}"
            )
            predicted[kind].append(predict(x))
    joined = {kind: JoinLevels(sizes, name=kind, dtype="float32")(each) for kind, each in predicted.items()}
    return keras.Model(backbone.inputs, joined, name=name or f"ssdlite_{backbone.name}")


def anchors_of(model):
    """The anchors of an SSDLite, built or reloaded: float32 [A, 4] of (center x, center y, width, height)."""
    layer = next((layer for layer in model.layers if isinstance(layer, JoinLevels) and layer.name == "boxes"), None)
    if layer is None:
        raise InputError(f"Expected a detector, as SSDLite builds it. Received: {model.name!r}, without anchors.")
    return anchor_boxes([tuple(shape[1:3]) for shape in layer.input_shape], layer.sizes)


def _maps(backbone):
    """The backbone's maps at strides 16 and 32."""
    expect_kind("backbone", backbone, keras.Model, "a keras.Model, such as MobileViTv2(include_top=False)")
    present = {layer.name for layer in backbone.layers} & set(LEVELS)
    if "P4" not in present or len(backbone.output_shape) != 4:
        raise InputError(
            f"Expected a backbone with a map P4 and without top, such as MobileViTv2(include_top=False). Received: "
            f"{backbone.name!r} with {', '.join(sorted(present)) or 'no such maps'} and an output "
            f"{backbone.output_shape}."
        )
    sides = backbone.input_shape[1:3]
    if None in sides or any(side % MULTIPLE for side in sides):
        near = tuple(max(round((side or MULTIPLE) / MULTIPLE), 1) * MULTIPLE for side in sides)
        raise InputError(
            f"Expected a backbone whose input has sides that {MULTIPLE} divides. Received: {list(sides)}. The nearest "
            f"is input_shape=({near[0]}, {near[1]}, 3)."
        )
    pyramid = feature_pyramid(backbone, sorted(present & {"P4", "P5"}))
    maps = [pyramid.output[level] for level in pyramid.output]
    return maps if len(maps) == BACKBONES else [*maps, _halved(maps[0], maps[0].shape[-1], "P5")]


def _levels(maps):
    """All six maps."""
    *_, x = maps
    for stride, width in zip((64, 128, 256), WIDTHS[BACKBONES:-1], strict=True):
        x = _halved(x, width, f"extra{stride}")
        maps = [*maps, x]
    whole = keras.layers.GlobalAveragePooling2D(keepdims=True, name="extra_pool")(x)
    whole = _conv(whole, WIDTHS[-1], 1, norm=False, name="extra")
    fitted = [
        x if x.shape[-1] == width else _conv(x, width, 1, name=f"head{level}_project")
        for level, (x, width) in enumerate(zip(maps, WIDTHS[:-1], strict=True))
    ]
    return [*fitted, whole]


def _halved(x, width, name):
    """A depthwise separable convolution of stride 2: [B, H, W, C] -> [B, H / 2, W / 2, width], rounded up."""
    x = _conv(x, None, 3, strides=2, depthwise=True, act=None, name=f"{name}_depthwise")
    return _conv(x, width, 1, name=f"{name}_project")
