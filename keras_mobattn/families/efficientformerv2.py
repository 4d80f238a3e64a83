"""EfficientFormerV2's record; the model is in keras_mobattn/models/efficientformerv2.py."""

from typing import Any

from keras_mobattn.families.family import IMAGENET, Checkpoint, Family, Variant

_AT_224: dict[str, Any] = {
    "input_size": 224,
    "crop": 0.95,
    "origin": "snap-research/EfficientFormer",
    "licence": "Apache-2.0",
}

FAMILY = Family(
    name="EfficientFormerV2",
    function="keras_mobattn.models.efficientformerv2:EfficientFormerV2",
    paper="arXiv:2212.08059",
    attention="own",
    attention_class="TalkingHeadAttention",
    **IMAGENET,
    pyramid=(2, 3, 4, 5),
    variants={
        "efficientformerv2_s0": Variant({"variant": "s0"}, 3_600_256),
        "efficientformerv2_s1": Variant({"variant": "s1"}, 6_185_560),
        "efficientformerv2_s2": Variant({"variant": "s2"}, 12_710_112),
        "efficientformerv2_l": Variant({"variant": "l"}, 26_322_288),
    },
    small=("nano", "test"),
    example="efficientformerv2_s0",
    checkpoints=(
        Checkpoint("efficientformerv2_s0.snap_dist_in1k", "efficientformerv2_s0", 76.102, 92.850, 0.41, **_AT_224),
        Checkpoint("efficientformerv2_s1.snap_dist_in1k", "efficientformerv2_s1", 79.684, 94.712, 0.67, **_AT_224),
        Checkpoint("efficientformerv2_s2.snap_dist_in1k", "efficientformerv2_s2", 82.156, 95.912, 1.27, **_AT_224),
        Checkpoint("efficientformerv2_l.snap_dist_in1k", "efficientformerv2_l", 83.642, 96.546, 2.59, **_AT_224),
    ),
    layouts="keras_mobattn.weights.layouts.efficientformerv2:LAYOUTS",
    quick_styles=("own",),
)
