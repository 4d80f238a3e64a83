"""What all segmentation heads share: their convolutions, and the end of the model."""

import functools

import tf_keras as keras

from keras_mobattn.errors import expect_range
from keras_mobattn.layers import SpatialDropout, conv_norm_act

CLASSIFIER, LOGITS, AUXILIARY = "pixel_classifier", "logits", "auxiliary"  # layers; the last two are outputs, too
DROPOUT = 0.1
AUXILIARY_WIDTH, AUXILIARY_SHARE = 128, 4  # at least so many channels, and a quarter of the map's

conv = functools.partial(conv_norm_act, act=keras.layers.ReLU)


def classified(x, classes, dropout, name=CLASSIFIER):
    """[B, h, w, C] -> logits float32 [B, h, w, classes]: dropout of whole channels, and a 1x1 convolution with bias."""
    if dropout:
        x = SpatialDropout(dropout, name=f"{name}_dropout")(x)
    return keras.layers.Conv2D(classes, 1, kernel_initializer="glorot_uniform", name=name)(x)


def segmenter(maps, logits, classes, auxiliary, dropout, name):
    """The keras.Model of `logits`; with `auxiliary` its outputs are {"logits", "auxiliary"}, the latter of the map
    before the last, for training (PSPNet, arXiv:1612.01105)."""
    ends = {LOGITS: logits}
    if auxiliary:
        width = max(maps.middle.shape[-1] // AUXILIARY_SHARE, AUXILIARY_WIDTH)
        x = conv(maps.middle, width, 3, name=f"{AUXILIARY}_features")
        ends[AUXILIARY] = classified(x, classes, dropout, f"{AUXILIARY}_classifier")
    # In mixed precision, too: float16 would round the logits of similar classes to the same
    ends = {end: keras.layers.Activation("linear", dtype="float32", name=end)(x) for end, x in ends.items()}
    return keras.Model(maps.image, ends if auxiliary else ends[LOGITS], name=name)


def expect_head(classes, width, dropout):
    """Refuse numbers that no head has. One class alone leaves nothing to tell apart: MediaPipe takes it for a mask."""
    expect_range("classes, of which a background is one,", classes, 2, whole=True)
    expect_range("width", width, 1, whole=True)
    expect_range("dropout", dropout, 0, 1, below=True)
