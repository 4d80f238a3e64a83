"""PSPNet (arXiv:1612.01105) on any backbone, as apple/ml-cvnets builds it (`pspnet.py`,
`pspnet_module.py`). Layer names are a contract: weights hang on them."""

from collections.abc import Sequence

import tf_keras as keras

from keras_mobattn._types import PathLike
from keras_mobattn.layers import AdaptiveMean, ResizeLike
from keras_mobattn.tasks.segmentation.backbone import SIDE, maps_of
from keras_mobattn.tasks.segmentation.checkpoint import with_weights
from keras_mobattn.tasks.segmentation.heads import DROPOUT, classified, conv, expect_head, segmenter

WIDTH = 512
BINS = (1, 2, 3, 6)


def PSPNet(  # noqa: N802  the paper's spelling
    backbone: keras.Model | str,
    classes: int,
    output_stride: int = 16,
    width: int = WIDTH,
    auxiliary: bool = False,
    dropout: float = DROPOUT,
    input_shape: Sequence[int] = (SIDE, SIDE, 3),
    weights: PathLike | None = None,
    name: str | None = None,
) -> keras.Model:
    """Build a segmenter: a keras.Model from an image to logits [B, H / stride, W / stride, classes].

    Behind the backbone's last map stands pyramid pooling: the means of 1, 4, 9 and 36 parts of the map, each with a 1x1
    convolution and resized back with aligned corners, joined with the map and fused by a 3x3 convolution of `width`
    channels. The arguments and errors are those of `DeepLabV3`, but for `weights`, which is a file.
    """
    expect_head(classes, width, dropout)
    maps = maps_of(backbone, output_stride, input_shape)
    x = maps.last
    reduced = max(x.shape[-1] // len(BINS) // 16, 1) * 16
    branches = [x]
    for index, bins in enumerate(BINS):
        mean = AdaptiveMean(bins, name=f"psp_mean{bins}")(x)
        mean = conv(mean, reduced, 1, name=f"psp_branch{index}")
        branches.append(ResizeLike(align_corners=True, name=f"psp_branch{index}_resize")([mean, x]))
    joined = keras.layers.Concatenate(name="psp_concat")(branches)
    logits = classified(conv(joined, width, 3, name="psp_fusion"), classes, dropout)
    model = segmenter(maps, logits, classes, auxiliary, dropout, name or f"pspnet_{maps.name}")
    return with_weights(model, weights)
