"""DeepLabv3 (arXiv:1706.05587) on any backbone, as apple/ml-cvnets builds it (`deeplabv3.py`,
`aspp_block.py`). Layer names are a contract: weights hang on them."""

from collections.abc import Sequence
from pathlib import Path

import tf_keras as keras

from keras_mobattn.errors import InputError, expect_kind, expect_range
from keras_mobattn.layers import ResizeLike
from keras_mobattn.tasks.segmentation.backbone import SIDE, maps_of, stride_of
from keras_mobattn.tasks.segmentation.checkpoint import VOC, published, with_weights
from keras_mobattn.tasks.segmentation.heads import DROPOUT, classified, conv, expect_head, segmenter

WIDTH = 512
RATES = (6, 12, 18)  # at stride 16; the paper has twice as many at 8


def DeepLabV3(  # noqa: N802  the paper's spelling
    backbone: keras.Model | str | None = None,
    classes: int | None = None,
    output_stride: int = 16,
    width: int | None = None,
    rates: Sequence[int] | None = None,
    auxiliary: bool = False,
    dropout: float = DROPOUT,
    input_shape: Sequence[int] = (SIDE, SIDE, 3),
    weights: str | Path | None = None,
    name: str | None = None,
) -> keras.Model:
    """Build a segmenter: a keras.Model from an image to logits [B, H / stride, W / stride, classes].

    Behind the backbone's last map stands ASPP (atrous spatial pyramid pooling): a 1x1 convolution, three 3x3 ones that
    skip pixels, and the mean of the whole map, joined and projected. All have `width` channels, batch norm and ReLU.
    Logits become a mask of the image's size by a bilinear resize with aligned corners: `keras_mobattn.segment`.

    Args:
        backbone: A keras.Model of this package without top, or the name of a family, of which its default then is built
            for images of `input_shape`. None: that of the published `weights`.
        classes: The number of labels; a background is one of them. None: that of the published `weights`, VOC's 21.
        output_stride: 8, 16 or 32, of MobileViT and MobileViTv2, whose convolutions are dilated for it; a backbone with
            another one is copied with its weights. PVTv2 and EfficientFormerV2 keep 32, DeiT 16.
        width: Channels of the head. None: that of the published `weights` (MobileViTv2's 512, MobileViT's 256), else
            cvnets' 512.
        rates: Of the three dilated convolutions; None: 6, 12 and 18 at stride 16, in proportion at others.
        auxiliary: Whether the outputs are {"logits", "auxiliary"}: a second head on the map before the last helps
            training. No exported file has it.
        dropout: The share of channels that is left out before the logits, in training.
        input_shape: Of a backbone that is given by its name.
        weights: None; a published checkpoint that `keras_mobattn.list_weights()` prints, such as
            "apple/deeplabv3-mobilevit-small"; or a file, see `load_segmenter`.
        name: The model's; default deeplabv3_BACKBONE.

    Raises:
        InputError: a backbone without such maps, with a top, of an open size, or with sides that its stride does not
            divide; a bad number of classes, width, rates or dropout; weights that can't be had or do not fit.
    """
    tag = published(weights)
    if tag:
        backbone, classes, width = _as_published(tag, backbone, classes, width, input_shape)
    width = WIDTH if width is None else width
    expect_head(classes, width, dropout)
    maps = maps_of(backbone, output_stride, input_shape)
    usual = [max(rate * 16 // stride_of(maps), 1) for rate in RATES]
    rates = usual if rates is None else rates
    expect_kind("rates", rates, (tuple, list), f"such as {RATES}")
    for rate in rates:
        expect_range("each of rates", rate, 1, whole=True)
    if len(rates) != len(RATES):
        raise InputError(f"Expected {len(RATES)} rates. Received: {tuple(rates)}.")
    if tag and list(rates) != usual:  # no tensor's shape would tell
        raise InputError(f"Expected rates {tuple(usual)}, those of {weights!r}. Received: {tuple(rates)}.")
    x = _pyramid_pooling(maps.last, width, rates)
    logits = classified(x, classes, dropout)
    model = segmenter(maps, logits, classes, auxiliary, dropout, name or f"deeplabv3_{maps.name}")
    return with_weights(model, weights, tag)


def _as_published(tag, backbone, classes, width, input_shape):
    """(backbone, classes, width) as given, or as the published checkpoint has them."""
    for name, given, own in (("classes", classes, len(VOC)), ("width", width, tag.width)):
        if given not in (None, own):
            raise InputError(
                f"Expected {name}={own}, those of {tag.repository!r}. Received: {given!r}. Leave {name} out, or take a "
                "backbone with its own weights and no weights here."
            )
    if backbone is None:
        backbone = tag.family.build(**tag.arguments, include_top=False, input_shape=input_shape)
    return backbone, len(VOC), tag.width


def _pyramid_pooling(x, width, rates):
    """[B, h, w, C] -> [B, h, w, width]."""
    branches = [conv(x, width, 1, name="aspp_conv0")]
    branches += [conv(x, width, 3, dilation=rate, name=f"aspp_conv{i}") for i, rate in enumerate(rates, 1)]
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True, name="aspp_mean")(x)
    mean = conv(mean, width, 1, name="aspp_pool")
    branches.append(ResizeLike(name="aspp_pool_resize")([mean, x]))
    joined = keras.layers.Concatenate(name="aspp_concat")(branches)
    return conv(joined, width, 1, name="aspp_project")
