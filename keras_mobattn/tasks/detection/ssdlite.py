"""SSDLite (MobileNetV2, arXiv:1801.04381, section 6.2) on any backbone, as apple/ml-cvnets builds it on MobileViTv2
(`ssd.py`, `ssd_heads.py`). Layer names are a contract: weights hang on them."""

import functools
from collections.abc import Sequence

import tensorflow as tf
import tf_keras as keras
from numpy.typing import ArrayLike

from keras_mobattn.errors import InputError, choose, expect_kind, expect_range
from keras_mobattn.layers import JoinLevels, conv_norm_act
from keras_mobattn.models import MODELS
from keras_mobattn.models.pyramid import feature_pyramid
from keras_mobattn.names import LEVELS
from keras_mobattn.tasks.detection.anchors import anchor_boxes, ssd_sizes
from keras_mobattn.tasks.detection.fit_anchors import fit_sizes

STRIDES = (16, 32, 64, 128, 256)  # of the levels' maps, from the finest; after them comes the mean of the whole map
FINEST = (8, 16)  # what they may begin with
WIDTHS = {8: 256, 16: 512, 32: 256, 64: 256, 128: 128, 256: 128}  # stride -> channels of its level; cvnets' from 16 on
WHOLE_WIDTH = 64  # of the whole map's mean
MULTIPLE = 64  # of which the image's sides have to be multiples; odd maps on the way would become even ones
SIDE = 320  # of a backbone that is given by its name

_conv = functools.partial(conv_norm_act, initializer="glorot_uniform", act=keras.layers.ReLU)


def SSDLite(  # noqa: N802  the paper's spelling
    backbone: keras.Model | str,
    classes: int,
    anchors: str | Sequence[Sequence[Sequence[float]]] = "ssd",
    boxes: ArrayLike | None = None,
    strides: Sequence[int] = STRIDES,
    widths: Sequence[int] | None = None,
    input_shape: Sequence[int] = (SIDE, SIDE, 3),
    name: str | None = None,
) -> keras.Model:
    """Build a detector: a keras.Model with the outputs {"boxes": [B, A, 4], "scores": [B, A, 1 + classes]}.

    Its levels are maps of the backbone (P3, P4, P5) at `strides` up to 32, each with a 1x1 convolution where its width
    isn't the level's, then depthwise separable convolutions of stride 2, each on the last map, and the mean of the
    whole. Of levels that a backbone lacks, as DeiT lacks P3 and P5, the coarser are made by a depthwise separable
    convolution of its last map, the finer by a transposed one of its first, as ViTDet does (arXiv:2203.16527). On each
    level a depthwise separable convolution predicts, for each of a cell's anchors, four offsets (see `boxes`) and
    logits, of the background first. Everything behind the backbone has ReLU.

    Args:
        backbone: A keras.Model of this package without top, or the name of a family, of which its default then is
            built for images of `input_shape`.
        classes: The number of classes, without the background.
        anchors: "ssd", those of the paper, see `anchors`; "fit", fitted to `boxes`; or the anchors of each level, a
            tuple of (width, height) as shares of the image.
        boxes: Corners [n, 4] of a training set's objects, (ymin, xmin, ymax, xmax) as shares of their image.
        strides: Of the levels, each twice the one before it, from one of FINEST up to 32 or more.
        widths: Channels of each level, and of the whole map's mean; None: those of WIDTHS and WHOLE_WIDTH.
        input_shape: Of a backbone that is given by its name.
        name: The model's; default ssdlite_BACKBONE.

    Raises:
        InputError: a backbone without such maps, with a top, or of an open size or sides that MULTIPLE does not divide;
            a bad number of classes, of levels or of widths.
    """
    expect_range("classes", classes, 1, whole=True)
    strides, widths = _checked(strides, widths)
    if isinstance(backbone, str):
        backbone = choose(MODELS, backbone, "backbone")(include_top=False, input_shape=input_shape)
    maps = _levels(_maps(backbone, strides), strides, widths)
    sizes = _sizes(anchors, boxes, [tuple(each.shape[1:3]) for each in maps])
    kinds = {"boxes": 4, "scores": 1 + classes}
    predicted: dict[str, list[tf.Tensor]] = {kind: [] for kind in kinds}
    for level, (x, own) in enumerate(zip(maps, sizes, strict=True)):
        if level < len(strides):  # the whole map's mean has one cell, around which nothing is
            x = _conv(x, None, 3, depthwise=True, act=None, name=f"head{level}_depthwise")
        for kind, numbers in kinds.items():
            predict = keras.layers.Conv2D(
                len(own) * numbers, 1, kernel_initializer="glorot_uniform", name=f"head{level}_{kind}"
            )
            predicted[kind].append(predict(x))
    joined = {kind: JoinLevels(sizes, name=kind, dtype="float32")(each) for kind, each in predicted.items()}
    return keras.Model(backbone.inputs, joined, name=name or f"ssdlite_{backbone.name}")


def is_detector(model):
    """Whether a Keras model is one, as SSDLite builds it."""
    return isinstance(model.output, dict) and set(model.output) == {"boxes", "scores"} and _joining(model) is not None


def maps_and_sizes(model):
    """((height, width) of each level, its anchors' sizes) of an SSDLite, built or reloaded."""
    layer = _joining(model)
    if layer is None:
        raise InputError(f"Expected a detector, as SSDLite builds it. Received: {model.name!r}, without anchors.")
    return [tuple(shape[1:3]) for shape in layer.input_shape], layer.sizes


def anchors_of(model):
    """The anchors of an SSDLite, built or reloaded: float32 [A, 4] of (center x, center y, width, height)."""
    return anchor_boxes(*maps_and_sizes(model))


def strides_from(finest):
    """STRIDES that begin with one of FINEST."""
    return tuple(stride for stride in WIDTHS if stride >= finest)


def _joining(model):
    return next((layer for layer in model.layers if isinstance(layer, JoinLevels) and layer.name == "boxes"), None)


def _checked(strides, widths):
    """Both as tuples of the right lengths."""
    expect_kind("strides", strides, (tuple, list), f"such as {STRIDES}")
    if not strides or strides[0] not in FINEST or tuple(strides) != strides_from(strides[0])[: len(strides)]:
        raise InputError(
            f"Expected strides of which each is twice the one before it, from {FINEST[0]} or {FINEST[1]} to at most "
            f"{max(WIDTHS)}. Received: {strides}."
        )
    if strides[-1] < 32:
        raise InputError(f"Expected strides up to 32 or more. Received: {strides}.")
    widths = [WIDTHS[stride] for stride in strides] + [WHOLE_WIDTH] if widths is None else widths
    expect_kind("widths", widths, (tuple, list), "channels of each level")
    expect_range("the number of widths", len(widths), len(strides) + 1, len(strides) + 1, whole=True)
    for width in widths:
        expect_range("each of widths", width, 1, whole=True)
    return tuple(strides), tuple(widths)


def _sizes(anchors, boxes, maps):
    """The sizes of the anchors of each level."""
    fits = isinstance(anchors, str) and anchors == "fit"
    if fits != (boxes is not None):
        raise InputError(
            "Expected boxes with anchors='fit', and with these alone. Received: "
            f"anchors={str(anchors)[:40]!r} {'without boxes' if boxes is None else 'and boxes'}."
        )
    if fits:
        return fit_sizes(boxes, maps)
    if isinstance(anchors, str) and anchors != "ssd":
        raise InputError(f"Expected anchors 'ssd', 'fit' or sizes for each level. Received: {anchors!r}.")
    sizes = ssd_sizes(len(maps)) if isinstance(anchors, str) else anchors
    expect_kind("anchors", sizes, (tuple, list), "sizes for each level")
    expect_range("the number of levels in anchors", len(sizes), len(maps), len(maps), whole=True)
    return sizes


def _maps(backbone, strides):
    """The levels at strides up to 32."""
    expect_kind("backbone", backbone, keras.Model, "a keras.Model, such as MobileViTv2(include_top=False), or a name")
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
    wanted = [level for level in ("P3", "P4", "P5") if 2 ** int(level[1]) >= strides[0]]
    pyramid = feature_pyramid(backbone, sorted(present & {*wanted, "P4"})).output
    maps = dict(pyramid)
    if "P3" in wanted and "P3" not in maps:
        maps["P3"] = _doubled(maps["P4"], "P3")
    if "P5" not in maps:
        maps["P5"] = _halved(maps["P4"], maps["P4"].shape[-1], "P5")
    return [maps[level] for level in wanted]


def _levels(maps, strides, widths):
    """All levels, as wide as `widths` says, the whole map's mean last."""
    *_, x = maps
    for stride, width in zip(strides[len(maps) :], widths[len(maps) : -1], strict=True):
        x = _halved(x, width, f"extra{stride}")
        maps = [*maps, x]
    whole = keras.layers.GlobalAveragePooling2D(keepdims=True, name="extra_pool")(x)
    whole = _conv(whole, widths[-1], 1, norm=False, name="extra")
    fitted = [
        x if x.shape[-1] == width else _conv(x, width, 1, name=f"head{level}_project")
        for level, (x, width) in enumerate(zip(maps, widths[:-1], strict=True))
    ]
    return [*fitted, whole]


def _halved(x, width, name):
    """A depthwise separable convolution of stride 2: [B, H, W, C] -> [B, H / 2, W / 2, width], rounded up."""
    x = _conv(x, None, 3, strides=2, depthwise=True, act=None, name=f"{name}_depthwise")
    return _conv(x, width, 1, name=f"{name}_project")


def _doubled(x, name):
    """A transposed convolution of stride 2: [B, H, W, C] -> [B, 2 H, 2 W, C].

    Without activation, as ViTDet's: TFLite would fuse one into TRANSPOSE_CONV, in a version that GPUs don't take.
    """
    enlarge = keras.layers.Conv2DTranspose(
        x.shape[-1], 2, strides=2, kernel_initializer="glorot_uniform", name=f"{name}_enlarge"
    )
    return enlarge(x)
