"""PVTv2 on ImageNet-1k, from random weights; stochastic depth and clipping by --variant.

Paper: Wang et al., "PVT v2: Improved Baselines with Pyramid Vision Transformer", arXiv:2106.13797, section 4.1;
whai362/PVT, classification/main.py, which is DeiT's without averaged weights, and configs/pvt_v2/. What deit_in1k says
of repeated augmentation and of the cosine holds here too.

    python training/train.py --recipe pvtv2_in1k --variant b0 --data-dir tfds/ --strategy mirrored

Hardware: 8 GPUs of 128 images each.
Published, by whai362/PVT: top-1 % of b0 70.5, b1 78.7, b2 82.0, b2_li 82.1, b3 83.1, b4 83.6, b5 83.8. Not repeated
here.
"""

from keras_mobattn.recipes import deit_in1k

LARGE = {"drop_path_rate": 0.3, "clip_norm": 1.0}
BY_VARIANT = dict.fromkeys(("b3", "b4", "b5"), LARGE)  # the others have deit_in1k's: drop path .1, no clipping


def settings(width, variant):
    """The settings that differ from TrainSettings' defaults."""
    variant = variant or "b0"
    return {
        **deit_in1k.settings(width, variant),
        "model": "PVTv2",
        "ema_decay": 0.0,
        **BY_VARIANT.get(variant, {}),
    }
