"""LR-ASPP, the light segmentation head of MobileNetV3 (arXiv:1905.02244, section 6.4), as torchvision builds it
(`lraspp.py`), on any backbone. Layer names are a contract: weights hang on them."""

from collections.abc import Sequence

import tf_keras as keras

from keras_mobattn._types import PathLike
from keras_mobattn.layers import ResizeLike
from keras_mobattn.tasks.segmentation.backbone import SIDE, maps_of
from keras_mobattn.tasks.segmentation.checkpoint import with_weights
from keras_mobattn.tasks.segmentation.heads import CLASSIFIER, conv, expect_head, segmenter

WIDTH = 128


def LRASPP(  # noqa: N802  the paper's spelling
    backbone: keras.Model | str,
    classes: int,
    output_stride: int = 16,
    width: int = WIDTH,
    auxiliary: bool = False,
    dropout: float = 0.0,
    input_shape: Sequence[int] = (SIDE, SIDE, 3),
    weights: PathLike | None = None,
    name: str | None = None,
) -> keras.Model:
    """Build a segmenter for phones: a keras.Model from an image to logits [B, H / 8, W / 8, classes].

    A 1x1 convolution of the backbone's last map, scaled by what the mean of the whole map says of each channel, is
    resized to the map of stride 8, and both give logits, which are added. It costs a fiftieth of `DeepLabV3`'s head. On
    DeiT, whose one map has stride 16, the logits have that. The arguments and errors are those of `DeepLabV3`, but for
    `weights`, which is a whole model that Keras saved: neither cvnets nor transformers has this head.
    """
    expect_head(classes, width, dropout)
    maps = maps_of(backbone, output_stride, input_shape)
    x = conv(maps.last, width, 1, name="lraspp_features")
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True, name="lraspp_mean")(maps.last)
    scale = keras.layers.Conv2D(
        width, 1, use_bias=False, activation="sigmoid", kernel_initializer="glorot_uniform", name="lraspp_scale"
    )(mean)
    x = keras.layers.Multiply(name="lraspp_scaled")([x, scale])
    deep = maps.fine is None or maps.fine is maps.last
    x = x if deep else ResizeLike(name="lraspp_resize")([x, maps.fine])
    logits = keras.layers.Conv2D(classes, 1, kernel_initializer="glorot_uniform", name=CLASSIFIER)(x)
    if not deep:
        fine = keras.layers.Conv2D(classes, 1, kernel_initializer="glorot_uniform", name=f"{CLASSIFIER}_fine")
        logits = keras.layers.Add(name="lraspp_sum")([logits, fine(maps.fine)])
    model = segmenter(maps, logits, classes, auxiliary, dropout, name or f"lraspp_{maps.name}")
    return with_weights(model, weights)
