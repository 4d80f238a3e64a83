"""MobileViT (v1) on ImageNet-1k from random weights, with its multi-scale sampler, 160 to 320 pixels.

Paper: Mehta and Rastegari, "MobileViT", arXiv:2110.02178, section 4.1 and appendix A; apple/ml-cvnets,
config/classification/imagenet/mobilevit.yaml, but for its dropout of 0.1 inside the
transformer; that in front of the classifier is the model's.

    python training/train.py --recipe mobilevit_in1k --variant s --data-dir tfds/ --strategy mirrored

Hardware: 8 GPUs of 128 images of 256 pixels each (327 of 160 to 81 of 320).
Published, by apple/ml-cvnets: top-1 % of xxs 68.94, xs 74.62, s 78.30. Not repeated here.
"""


def settings(width, variant):
    """The settings that differ from TrainSettings' defaults; this family has no width."""
    return {
        "dataset": "imagenet2012",
        "model": "MobileViT",
        "variant": variant or "s",
        "attention": "softmax",
        "image_size": 256,
        "sizes": (160, 192, 256, 288, 320),
        "test_crop": 256 / 288,
        "augment": "imagenet",
        "epochs": 300,
        "batch_size": 1024,
        "base_batch_size": 1024,
        "learning_rate": 2e-3,
        "warmup_steps": 20_000,
        "warmup_learning_rate": 2e-4,
        "weight_decay": 0.01,
        "decay_1d": True,
        "clip_norm": None,
        "ema_decay": 0.9995,
    }
