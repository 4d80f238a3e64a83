"""MobileViTv2 on ImageNet-1k, from random weights; learning rate and decay by --width.

Paper: Mehta and Rastegari, "Separable Self-attention for Mobile Vision Transformers", arXiv:2206.02680, section 4.1;
apple/ml-cvnets, config/classification/imagenet/mobilevit_v2.yaml. Its cosine moves once an epoch, ours each step.

    python training/train.py --recipe mobilevitv2_in1k --width 1.0 --data-dir tfds/ --strategy mirrored

Hardware: 8 GPUs of 128 images each.
Published, by apple/ml-cvnets: top-1 % of width 0.5 70.18, 0.75 75.56, 1.0 78.09, 1.25 79.65, 1.5 80.38, 1.75 80.84, 2.0
81.17. Not repeated here.
"""

# Width -> (peak learning rate, weight decay). Other widths take the next wider one's.
BY_WIDTH = {
    0.5: (9.0e-3, 0.004),
    0.75: (9.0e-3, 0.008),
    1.0: (7.5e-3, 0.013),
    1.25: (4.9e-3, 0.020),
    1.5: (3.5e-3, 0.029),
    1.75: (2.6e-3, 0.039),
    2.0: (2.0e-3, 0.050),
}


# How images are seen and varied, also by the recipes that follow this one.
VIEW = {
    "model": "MobileViTv2",
    "attention": "separable",
    "image_size": 256,
    "test_crop": 256 / 288,
    "interpolation": "bicubic",
    "augment": "mobilevitv2",
}


def settings(width, variant):
    """The settings that differ from TrainSettings' defaults."""
    learning_rate, weight_decay = BY_WIDTH[min((each for each in BY_WIDTH if each >= width), default=max(BY_WIDTH))]
    return {
        **VIEW,
        "dataset": "imagenet2012",
        "epochs": 300,
        "batch_size": 1024,
        "base_batch_size": 1024,
        "learning_rate": learning_rate,
        "warmup_steps": 20_000,
        "warmup_learning_rate": 1e-6,
        "weight_decay": weight_decay,
        "ema_decay": 0.9995,
    }


def checkpoint(width):
    """What this recipe gave apple/ml-cvnets, as timm publishes it."""
    return f"timm/mobilevitv2_{100 * width:03.0f}.cvnets_in1k"
