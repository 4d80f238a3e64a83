"""EfficientFormerV2 on ImageNet-1k with a teacher: half of the loss is the labels', half the teacher's.

Paper: Li et al., "Rethinking Vision Transformers for MobileNet Size and Speed", arXiv:2212.08059, section 4.1;
snap-research/EfficientFormer, main.py, dist_train.sh and models/efficientformer_v2.py. The teacher is that of
deit_distilled_in1k, where it says how to get one. What deit_in1k says of repeated augmentation, of the cosine and of
averaged weights holds here too.

    python training/train.py --recipe efficientformerv2_in1k --variant s0 --data-dir tfds/ --strategy mirrored

Hardware: 8 GPUs of 128 images each.
Published, by snap-research/EfficientFormer: top-1 % after 300 and 450 epochs of s0 75.7 and 76.2, s1 79.0 and 79.7, s2
81.6 and 82.0, l 83.3 and 83.5. --epochs 450 is the longer one, whose weights are timm's. Not repeated here.
"""

from keras_mobattn.recipes import deit_distilled_in1k, deit_in1k

DROP_PATH_RATES = {"s2": 0.02, "l": 0.1}  # the others have none


def settings(width, variant):
    """The settings that differ from TrainSettings' defaults."""
    variant = variant or "s0"
    return {
        **deit_in1k.settings(width, variant),
        **deit_distilled_in1k.TEACHER,
        "model": "EfficientFormerV2",
        "drop_path_rate": DROP_PATH_RATES.get(variant, 0.0),
        "warmup_learning_rate": 1e-5,
        "weight_decay": 0.025,
        "clip_mode": "agc",
        "clip_norm": 0.01,
    }
