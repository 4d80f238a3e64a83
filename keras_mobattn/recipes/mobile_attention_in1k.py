"""MobileViTv2 with Mobile-Attention on ImageNet-1k, by Flowformer's settings: the paper's own are not published.

Paper: Yao et al., "Mobile-Attention: Towards Efficient Mobile Vision Transformers" (thuml/MobileAttention). Its own
recipe is NOT published; these are the settings of the same group's Flowformer for vision (thuml/Flowformer,
Flowformer_CV/main.py and scripts/flowformer.sh), at 256 pixels in place of 224. That script passes a drop path rate of
.2 where its flag says .1. The attention is the package's default form; --attention mobile_published is the paper's.

    python training/train.py --recipe mobile_attention_in1k --width 1.0 --data-dir tfds/ --strategy mirrored

Hardware: 6 GPUs of 128 images each; its 5e-4 for 512 images, scaled by the batch, are 7.5e-4 for these 768.
Published: none for this model and recipe. Not run here.
"""


def settings(width, variant):
    """The settings that differ from TrainSettings' defaults. Every width has the same."""
    return {
        "dataset": "imagenet2012",
        "model": "MobileViTv2",
        "attention": "mobile",
        "drop_path_rate": 0.1,
        "image_size": 256,
        "test_crop": 0.875,
        "interpolation": "bicubic",
        "augment": "flowformer",
        "epochs": 300,
        "batch_size": 768,
        "base_batch_size": 768,
        "learning_rate": 7.5e-4,
        "min_learning_rate": 1e-5,
        "warmup_epochs": 5.0,
        "warmup_learning_rate": 1e-6,
        "weight_decay": 0.05,
        "clip_norm": 1.0,
        "ema_decay": 0.0,
    }
