"""Build one .tflite file of another Keras package's model, with that package's environment: see benchmark_peers.py.

    python keras_peers.py PEER MODEL PRECISION FILE

Nothing of keras_mobattn is imported here: these packages need other versions of Keras than ours does.
"""

import importlib
import os
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np

SIDE = 256  # pixels; of detectors and segmenters:
SIDES = {"detectors_320": 320, "segmenters_512": 512, "segmenters_256": 256}
REPRESENTATIVE_IMAGES = 16  # random ones: the ranges need only be finite for a file that is timed, not used
# Peer -> its Keras (1: tf-keras), the module, the arguments, and the constructors by our name of the model. No
# preprocessing in the model where that is a flag: the rows have none.
PEERS = {
    "kecam": (
        "1",
        "keras_cv_attention_models.mobilevit",
        {"pretrained": None},
        {"mobilevitv2_050": "MobileViT_V2_050", "mobilevitv2_100": "MobileViT_V2_100", "mobilevit_s": "MobileViT_S"},
    ),
    "kmodels": (
        "0",
        "kmodels.models",
        {"weights": None, "include_normalization": False},
        {
            "mobilevitv2_050": "mobilevitv2.MobileViTV2M050",
            "mobilevitv2_100": "mobilevitv2.MobileViTV2M100",
            "mobilevit_s": "mobilevit.MobileViTS",
        },
    ),
    "kimm": (
        "0",
        "kimm.models",
        {"weights": None, "include_preprocessing": False},
        {"mobilevitv2_050": "MobileViTV2W050", "mobilevitv2_100": "MobileViTV2W100", "mobilevit_s": "MobileViTS"},
    ),
    "yolov8": ("1", "keras_cv.models", {"fpn_depth": 1}, {"detectors_320": ("YOLOV8Detector", "YOLOV8Backbone")}),
    "retinanet": ("1", "keras_cv.models", {}, {"detectors_320": ("RetinaNet", "ResNetV2Backbone")}),
    "deeplabv3plus": (
        *("1", "keras_cv.models", {}),
        dict.fromkeys(("segmenters_512", "segmenters_256"), ("DeepLabV3Plus", "ResNetV2Backbone")),
    ),
    "deeplabv3plus_mobile": (
        *("1", "keras_cv.models", {}),
        dict.fromkeys(("segmenters_512", "segmenters_256"), ("DeepLabV3Plus", "MobileNetV3Backbone")),
    ),
}
# Arguments of the presets yolo_v8_xs_backbone, resnet50_v2 and mobilenet_v3_large, which need a network; their
# parameters. Of the last the preset says 2,994,518; keras.applications' own has these.
BACKBONES = {
    "YOLOV8Backbone": ({"stackwise_channels": [32, 64, 128, 256], "stackwise_depth": [1, 2, 2, 1]}, 1277680),
    "ResNetV2Backbone": (
        {
            "stackwise_filters": [64, 128, 256, 512],
            "stackwise_blocks": [3, 4, 6, 3],
            "stackwise_strides": [1, 2, 2, 2],
        },
        23564800,
    ),
    "MobileNetV3Backbone": (
        {
            "stackwise_expansion": [1, 4, 3, 3, 3, 3, 6, 2.5, 2.3, 2.3, 6, 6, 6, 6, 6],
            "stackwise_filters": [16, 24, 24, 40, 40, 40, 80, 80, 80, 80, 112, 112, 160, 160, 160],
            "stackwise_kernel_size": [3, 3, 3, 5, 5, 5, 3, 3, 3, 3, 3, 3, 5, 5, 5],
            "stackwise_stride": [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1],
            "stackwise_se_ratio": [None] * 3 + [0.25] * 3 + [None] * 4 + [0.25] * 5,
            "stackwise_activation": ["relu"] * 6 + ["hard_swish"] * 9,
        },
        2996352,
    ),
}
CLASSES, VOC_CLASSES = 80, 21  # of detectors, COCO's; of segmenters
# Last part of a weight's name -> how to draw it. A scale or a bias of zero lets the converter fold branches away, which
# no trained model allows.
DRAWS = {
    "gamma": lambda rng, shape: rng.uniform(0.5, 1.5, shape),
    "beta": lambda rng, shape: rng.normal(0, 0.1, shape),
    "bias": lambda rng, shape: rng.normal(0, 0.1, shape),
    "moving_mean": lambda rng, shape: rng.normal(0, 0.1, shape),
    "moving_variance": lambda rng, shape: rng.uniform(0.5, 2.0, shape),
}


def _kernel(rng, shape):
    return rng.normal(0, np.prod(shape[:-1], dtype=float) ** -0.5, shape)


def build(peer, name):
    """The peer's own model, of 1000 classes, or a detector of CLASSES with raw outputs, or a segmenter of VOC_CLASSES
    with probabilities of the image's size; every weight random."""
    _, module, arguments, constructors = PEERS[peer]
    if peer == "kmodels":  # its tools for porting weights import torch, a GB that it doesn't declare and we don't need
        import keras  # noqa: F401  looks for the real torch, so it goes first

        sys.modules.update({"torch": MagicMock(), "torch.nn": MagicMock()})
    side = SIDES.get(name, SIDE)
    if name in SIDES:
        models = importlib.import_module(module)
        detector, kind = constructors[name]
        options, parameters = BACKBONES[kind]
        backbone = getattr(models, kind)(include_rescaling=False, input_shape=(side, side, 3), **options)
        if backbone.count_params() != parameters:
            raise ValueError(f"{kind} has {backbone.count_params()} parameters, not {parameters}")
        detects = name.startswith("detectors")
        own = {"num_classes": CLASSES, "bounding_box_format": "xywh"} if detects else {"num_classes": VOC_CLASSES}
        model = getattr(models, detector)(backbone=backbone, **own, **arguments)
        model(np.zeros((1, side, side, 3), "float32"))
    else:
        *parts, constructor = constructors[name].split(".")
        make = getattr(importlib.import_module(".".join([module, *parts])), constructor)
        model = make(input_shape=(side, side, 3), **arguments)
    rng = np.random.default_rng(0)
    for variable in model.weights:
        last = variable.name.split("/")[-1].split(":")[0]
        if "seed" not in last:  # the state of a dropout's generator
            variable.assign(DRAWS.get(last, _kernel)(rng, tuple(variable.shape)))
    return model


def convert(model, precision, side):
    """One image a run, float input and output; int8 as the converter does it by default when given images."""
    import tensorflow as tf

    function = tf.function(lambda image: model(image, training=False))
    concrete = function.get_concrete_function(tf.TensorSpec((1, side, side, 3), tf.float32, name="image"))
    holder = tf.Module()
    holder.variables_of_model = [getattr(variable, "_value", variable) for variable in model.variables]
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], holder)
    if precision == "int8":
        rng = np.random.default_rng(1)
        images = rng.uniform(0, 1, (REPRESENTATIVE_IMAGES, 1, side, side, 3)).astype("float32")
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image] for image in images)
    return converter.convert()


if __name__ == "__main__":
    peer, name, precision, path = sys.argv[1:]
    os.environ["TF_USE_LEGACY_KERAS"] = PEERS[peer][0]  # before TensorFlow is imported
    Path(path).write_bytes(convert(build(peer, name), precision, SIDES.get(name, SIDE)))
