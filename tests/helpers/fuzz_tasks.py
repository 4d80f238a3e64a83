"""The values that fuzz_functions.py gives to the models of tasks, and to what takes them: as fuzz_values.py."""

from pathlib import Path

import numpy as np

from helpers.fuzz_kit import PIXELS, UNIT, images_in

NAN = float("nan")
HEADS = ("DeepLabV3", "LRASPP", "PSPNet")


def values(kit, photo):
    """{function.argument: (values that may be right, values that people mistype)}."""
    head_values = {
        "backbone": (["MobileViTv2", "DeiT", kit.backbone, kit.backbone], ["MobileViTV2", *kit.own_models, 3]),
        "classes": ([2, 7], ["7", 7.0, -7, 1]),
        "width": ([16], [-1, 1.5, "16"]),
        "input_shape": ([(64, 64, 3), (64, 128, 3)], [(100, 100, 3), (64, 64), 64, (None, None, 3), (64, 64, 1)]),
        "weights": (
            [None],
            ["x", "imagenet", kit.image, kit.keras_file, kit.checkpoint, Path("nowhere.keras"), "a.h5"],
        ),
    }
    of_heads = {f"{head}.{name}": drawn for head in HEADS for name, drawn in head_values.items()}
    return of_heads | {
        "SSDLite.backbone": (["MobileViTv2", "DeiT", kit.backbone], ["MobileViTV2", *kit.own_models, 3]),
        "SSDLite.anchors": (["ssd", "fit"], ["own", 3, [], [[(0.1, 0.1)]] * 6, [[(0, 1)]]]),
        "SSDLite.boxes": ([None, np.float32([[0, 0, 0.5, 0.5]])], ["x", np.zeros((1, 4)), np.zeros(4), [[NAN] * 4]]),
        "SSDLite.strides": ([(16, 32), (8, 16, 32, 64)], [(16,), 16, (32, 64), (16.0, 32), ("16", "32"), (4, 8)]),
        "SSDLite.widths": ([None, (8, 8, 8)], [(8,), 8, (0, 8, 8), (8.5, 8, 8)]),
        "SSDLite.input_shape": (
            [(64, 64, 3), (64, 128, 3)],
            [(100, 100, 3), (64, 64), 64, (None, None, 3), (64, 64, 1)],
        ),
        "DeepLabV3.rates": ([None, (1, 2, 3), [6, 12, 18]], [6, (6, 12), (0, 1, 2), ("6", 1, 2), (1.5, 2, 3)]),
        "detect.model": ([kit.detector], [*kit.own_models, kit.keras_file, "x"]),
        "detect.image": ([photo, images_in(*PIXELS)[0].astype("u1")], [images_in(*UNIT)[0], photo[..., :1], "x"]),
        "segment.model": ([kit.segmenter], [*kit.own_models, kit.keras_file, kit.detector, "x"]),
        "segment.image": ([photo, images_in(*PIXELS)[0].astype("u1")], [images_in(*UNIT)[0], photo[..., :1], "x"]),
        "detect.min_score": ([0.0, 0.3, 1.0], [1.5, "x"]),
    }
