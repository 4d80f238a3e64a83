"""MobileViTv2 at 384 pixels: ten epochs from the weights of mobilevitv2_in1k.

Paper: arXiv:2206.02680, section 4.1; apple/ml-cvnets, config/classification/finetune_higher_res_in1k/mobilevit_v2.yaml.

    python training/train.py --recipe mobilevitv2_in1k_384 --width 1.0 --data-dir tfds/

It starts from the published checkpoint of the width; --weights runs/NAME/model.keras starts from your own.
Hardware: 2 GPUs of 64 images each.
Published, by apple/ml-cvnets: top-1 % of width 0.5 72.14, 0.75 76.98, 1.0 79.68, 1.25 80.94, 1.5 81.50, 1.75 82.04, 2.0
82.17. Not repeated here.
"""

from keras_mobattn.recipes.mobilevitv2_in1k import checkpoint


def settings(width, variant):
    """The settings that differ from TrainSettings' defaults."""
    return {
        "dataset": "imagenet2012",
        "model": "MobileViTv2",
        "attention": "separable",
        "weights": checkpoint(width),
        "image_size": 384,
        "interpolation": "bicubic",
        "augment": "imagenet-bicubic",
        "epochs": 10,
        "batch_size": 128,
        "base_batch_size": 128,
        "optimizer": "sgd",
        "learning_rate": 1e-3,
        "schedule": "constant",
        "warmup_epochs": 0.0,
        "weight_decay": 4e-5,
        "ema_decay": 0.99995,
    }
