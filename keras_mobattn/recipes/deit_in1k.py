"""DeiT on ImageNet-1k, from random weights and labels alone.

Paper: Touvron et al., "Training data-efficient image transformers & distillation through attention", arXiv:2012.12877,
section 6 and table 9; facebookresearch/deit, main.py. What differs here: of repeated augmentation, which shows a third
of the images in an epoch, each three times, the next epoch goes on with the next third, and copies may be on one GPU,
where MixUp does not mix them; the cosine moves each step and not each epoch; what is evaluated are the averaged
weights, while the published figures are of the last ones.

    python training/train.py --recipe deit_in1k --variant small --data-dir tfds/ --strategy mirrored

Hardware: 4 GPUs of 256 images each; base 16 of 64. Its 5e-4 for 512 images are 1e-3 for these 1024.
Published, by facebookresearch/deit: top-1 % of tiny 72.2, small 79.9, base 81.8. Not repeated here.
"""


def settings(width, variant):
    """The settings that differ from TrainSettings' defaults, also of the recipes that follow this one. Every variant
    has the same."""
    return {
        "dataset": "imagenet2012",
        "model": "DeiT",
        "variant": variant or "small",
        "attention": "own",
        "drop_path_rate": 0.1,
        "image_size": 224,
        "test_crop": 0.875,
        "interpolation": "bicubic",
        "augment": "deit",
        "aug_repeats": 3,
        "epochs": 300,
        "batch_size": 1024,
        "base_batch_size": 1024,
        "learning_rate": 1e-3,
        "min_learning_rate": 1e-5,
        "warmup_epochs": 5.0,
        "warmup_learning_rate": 1e-6,
        "weight_decay": 0.05,
        "clip_norm": None,
        "ema_decay": 0.99996,
    }
