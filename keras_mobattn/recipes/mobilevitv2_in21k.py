"""MobileViTv2 on ImageNet-21k-P (Ridnik et al., arXiv:2104.10972), for fine-tuning on ImageNet-1k.

Paper: arXiv:2206.02680, appendix; apple/ml-cvnets, config/classification/imagenet_21k/mobilevit_v2.yaml, which starts
from the weights of mobilevitv2_in1k with a new head.

    python training/train.py --recipe mobilevitv2_in21k --width 2.0 --dataset imagenet21k_p/ --strategy multi-worker

The set is a folder with train/ and val/, one sub-folder a class; tfds has none. Hardware: 32 GPUs of 128 images each.
Published: only after fine-tuning, see mobilevitv2_in21k_in1k.
"""

from keras_mobattn.recipes.mobilevitv2_in1k import VIEW, checkpoint


def settings(width, variant):
    """The settings that differ from TrainSettings' defaults."""
    return {
        **VIEW,
        "dataset": "./imagenet21k_p",
        "weights": checkpoint(width),
        "epochs": 80,
        "batch_size": 4096,
        "base_batch_size": 4096,
        "learning_rate": 3e-4,
        "min_learning_rate": 1e-6,
        "warmup_epochs": 0.0,
        "weight_decay": 0.05,
        "ema_decay": 0.9995,
    }
