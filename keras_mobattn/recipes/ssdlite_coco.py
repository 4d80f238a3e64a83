"""SSDLite on COCO 2017 with a backbone that was trained on ImageNet-1k, MobileViTv2 at each width; and MobileViT's.

Papers: Mehta and Rastegari, "Separable Self-attention for Mobile Vision Transformers", arXiv:2206.02680, section 4.2,
and "MobileViT", arXiv:2110.02178, section 4.2; apple/ml-cvnets, config/detection/ssd_coco.

    mobattn train --recipe ssdlite_coco --width 1.0 --data-dir tfds/ --strategy mirrored
    mobattn train --recipe ssdlite_coco --variant s --data-dir tfds/ --strategy mirrored

Hardware: 4 GPUs of 32 images of 320 pixels each.
Published, by apple/ml-cvnets: mAP % of width 0.5 21.24, 0.75 24.57, 1.0 26.47, 1.25 27.85, 1.5 28.83, 1.75 29.52, 2.0
30.21. Not repeated here.
"""

# Family -> its weight decay; MobileViT is the one with variants.
DECAY = {"MobileViTv2": 0.05, "MobileViT": 0.01}


def settings(width, variant):
    """The settings that differ from TrainSettings' defaults; with a variant, those of MobileViT."""
    model = "MobileViT" if variant else "MobileViTv2"
    return {
        "dataset": "coco/2017",
        "task": "detection",
        "model": model,
        "variant": variant,
        "attention": "own",
        "weights": "imagenet",
        "image_size": 320,
        "anchors": "ssd",
        "interpolation": "bicubic",
        "augment": "ssd",
        "label_smoothing": 0.0,
        "epochs": 200,
        "batch_size": 128,
        "base_batch_size": 128,
        "learning_rate": 9e-4,
        "min_learning_rate": 1e-6,
        "warmup_steps": 500,
        "warmup_learning_rate": 9e-5,
        "weight_decay": DECAY[model],
        "decay_1d": True,
        "ema_decay": 0.9995,
    }
