"""MobileViTv2's record; the model is in keras_mobattn/models/mobilevitv2.py."""

from typing import Any

from keras_mobattn.families.family import Checkpoint, Family, SegmenterCheckpoint, Variant
from keras_mobattn.families.mobilevit import APPLE

_AT_256: dict[str, Any] = APPLE | {"input_size": 256, "crop": 0.888}
_VOC: dict[str, Any] = APPLE | {"input_size": 512, "width": 512}
_AT_384: dict[str, Any] = APPLE | {"input_size": 384, "crop": 1.0}

FAMILY = Family(
    name="MobileViTv2",
    function="keras_mobattn.models.mobilevitv2:MobileViTv2",
    paper="arXiv:2206.02680",
    attention="separable",
    attention_class="SeparableAttention",
    attention_patch=2,
    variants={
        "mobilevitv2_050": Variant({"width": 0.5}, 1_370_593),
        "mobilevitv2_075": Variant({"width": 0.75}, 2_866_009),
        "mobilevitv2_100": Variant({"width": 1.0}, 4_901_841),
        "mobilevitv2_125": Variant({"width": 1.25}, 7_478_089),
        "mobilevitv2_150": Variant({"width": 1.5}, 10_594_753),
        "mobilevitv2_175": Variant({"width": 1.75}, 14_251_833),
        "mobilevitv2_200": Variant({"width": 2.0}, 18_449_329),
    },
    example="mobilevitv2_100",
    checkpoints=(
        Checkpoint("mobilevitv2_050.cvnets_in1k", "mobilevitv2_050", 70.156, 89.930, 0.48, **_AT_256),
        Checkpoint("mobilevitv2_075.cvnets_in1k", "mobilevitv2_075", 75.612, 92.754, 1.05, **_AT_256),
        Checkpoint("mobilevitv2_100.cvnets_in1k", "mobilevitv2_100", 78.088, 94.170, 1.84, **_AT_256),
        Checkpoint("mobilevitv2_125.cvnets_in1k", "mobilevitv2_125", 79.682, 94.844, 2.86, **_AT_256),
        Checkpoint("mobilevitv2_150.cvnets_in1k", "mobilevitv2_150", 80.380, 95.050, 4.09, **_AT_256),
        Checkpoint("mobilevitv2_175.cvnets_in1k", "mobilevitv2_175", 80.870, 95.280, 5.54, **_AT_256),
        Checkpoint("mobilevitv2_200.cvnets_in1k", "mobilevitv2_200", 81.148, 95.380, 7.22, **_AT_256),
        Checkpoint("mobilevitv2_150.cvnets_in22k_ft_in1k", "mobilevitv2_150", 81.466, 95.678, 4.09, **_AT_256),
        Checkpoint("mobilevitv2_175.cvnets_in22k_ft_in1k", "mobilevitv2_175", 81.950, 95.796, 5.54, **_AT_256),
        Checkpoint("mobilevitv2_200.cvnets_in22k_ft_in1k", "mobilevitv2_200", 82.320, 95.942, 7.22, **_AT_256),
        Checkpoint("mobilevitv2_150.cvnets_in22k_ft_in1k_384", "mobilevitv2_150", 82.606, 96.314, 9.20, **_AT_384),
        Checkpoint("mobilevitv2_175.cvnets_in22k_ft_in1k_384", "mobilevitv2_175", 82.920, 96.450, 12.47, **_AT_384),
        Checkpoint("mobilevitv2_200.cvnets_in22k_ft_in1k_384", "mobilevitv2_200", 83.430, 96.576, 16.24, **_AT_384),
    ),
    segmenters=(  # mIoU as apple/ml-cvnets' model zoo gives it; its card at the hub gives none
        SegmenterCheckpoint("mobilevitv2-1.0-voc-deeplabv3", "mobilevitv2_100", 78.94, params=13_318_654, **_VOC),
    ),
    layouts="keras_mobattn.weights.layouts.mobilevitv2:LAYOUTS",
    size_multiple=64,
    quick_styles=("softmax", "mobile", "focused"),
)
