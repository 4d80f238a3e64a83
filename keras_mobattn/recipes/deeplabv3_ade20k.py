"""DeepLabv3 on ADE20k's 150 classes with a backbone that was trained on ImageNet-1k, MobileViTv2 at each width.

Papers: Mehta and Rastegari, "Separable Self-attention for Mobile Vision Transformers", arXiv:2206.02680, section 4.2;
Chen et al., "Rethinking Atrous Convolution", arXiv:1706.05587; apple/ml-cvnets, config/segmentation/ade20k.

    mobattn train --recipe deeplabv3_ade20k --width 1.0 --dataset ADEChallengeData2016/ --strategy mirrored
    mobattn train --recipe deeplabv3_ade20k --head pspnet --dataset ADEChallengeData2016/ --strategy mirrored

Hardware: 4 GPUs of 4 images of 512 pixels each.
Published, by apple/ml-cvnets: mIoU % of width 0.5 31.93, 0.75 34.70, 1.0 37.06, 1.25 38.42, 1.5 38.91, 1.75 39.53, 2.0
40.94; of PSPNet 31.77, 35.22, 36.57, 38.76, 38.74, 39.82, none of 2.0. Not repeated here. They evaluate each image at
its own aspect, 512 pixels on its shorter side; a run here stretches it to the model's size.
"""


def settings(width, variant):
    """The settings that differ from TrainSettings' defaults."""
    return {
        "dataset": "ADEChallengeData2016",
        "task": "segmentation",
        "model": "MobileViTv2",
        "variant": variant,
        "attention": "own",
        "weights": "imagenet",
        "image_size": 512,
        "output_stride": 8,
        "interpolation": "bicubic",
        "augment": "segmentation",
        "label_smoothing": 0.0,
        "epochs": 120,
        "batch_size": 16,
        "base_batch_size": 16,
        "optimizer": "sgd",
        "learning_rate": 0.02,
        "min_learning_rate": 2e-4,
        "warmup_epochs": 0.0,
        "weight_decay": 1e-4,
        "ema_decay": 0.9995,
    }
