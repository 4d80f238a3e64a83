"""MobileViTv2 on ImageNet-1k, from the weights of mobilevitv2_in21k.

Paper: arXiv:2206.02680, section 4.1; apple/ml-cvnets, config/classification/finetune_in21k_to_1k/mobilevit_v2.yaml.

    python training/train.py --recipe mobilevitv2_in21k_in1k --width 2.0 --weights runs/in21k/model.keras --data-dir
    tfds/

The weights before this step are not published in a form that this package reads, so --weights must name your own.
Hardware: 2 GPUs of 128 images each.
Published, by apple/ml-cvnets: top-1 % of width 1.5 81.46, 1.75 81.94, 2.0 82.36; with mobilevitv2_in1k_384 after it
82.60, 82.93, 83.41. Not repeated here.
"""

from keras_mobattn.recipes.mobilevitv2_in1k import VIEW


def settings(width, variant):
    """The settings that differ from TrainSettings' defaults. Every width has the same."""
    return {
        **VIEW,
        "weights": "runs/mobilevitv2_in21k/model.keras",
        "dataset": "imagenet2012",
        "epochs": 50,
        "batch_size": 256,
        "base_batch_size": 256,
        "optimizer": "sgd",
        "learning_rate": 1e-2,
        "min_learning_rate": 1e-3,
        "warmup_epochs": 0.0,
        "weight_decay": 4e-5,
        "clip_norm": None,
        "ema_decay": 0.9995,
    }
