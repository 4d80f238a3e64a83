"""DeepLabv3 on Pascal VOC's 21 classes with a backbone that was trained on ImageNet-1k, MobileViTv2 at each width.

Papers: Mehta and Rastegari, "Separable Self-attention for Mobile Vision Transformers", arXiv:2206.02680, section 4.2;
Chen et al., "Rethinking Atrous Convolution", arXiv:1706.05587; apple/ml-cvnets, config/segmentation/pascal_voc.

    mobattn train --recipe deeplabv3_voc --width 1.0 --dataset VOCdevkit/VOC2012/ --strategy mirrored
    mobattn train --recipe deeplabv3_voc --head pspnet --dataset VOCdevkit/VOC2012/ --strategy mirrored

Hardware: 4 GPUs of 32 images of 512 pixels each.
Published, by apple/ml-cvnets: mIoU % of width 0.5 75.07, 1.0 78.94, 1.25 79.68, 1.5 80.30; of PSPNet 74.62, 0.75 77.44,
1.0 78.92, 1.25 79.40, 1.5 79.93. Not repeated here. They train with images of COCO as well, and with the masks of SBD
(train_aug): put these into SegmentationClass/ and their names into ImageSets/Segmentation/train.txt. They evaluate each
image at its own aspect, 512 pixels on its shorter side; a run here stretches it to the model's size.
"""


def settings(width, variant):
    """The settings that differ from TrainSettings' defaults."""
    return {
        "dataset": "VOCdevkit/VOC2012",
        "task": "segmentation",
        "model": "MobileViTv2",
        "variant": variant,
        "attention": "own",
        "weights": "imagenet",
        "image_size": 512,
        "interpolation": "bicubic",
        "augment": "segmentation",
        "label_smoothing": 0.0,
        "epochs": 50,
        "batch_size": 128,
        "base_batch_size": 128,
        "learning_rate": 5e-4,
        "min_learning_rate": 1e-6,
        "warmup_steps": 500,
        "warmup_learning_rate": 5e-5,
        "weight_decay": 0.05,
        "ema_decay": 0.9995,
    }
