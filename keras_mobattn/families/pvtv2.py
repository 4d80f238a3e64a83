"""PVT v2's record; the model is in keras_mobattn/models/pvtv2.py."""

from typing import Any

from keras_mobattn.families.family import IMAGENET, Checkpoint, Family, Variant

_AT_224: dict[str, Any] = {"input_size": 224, "crop": 0.9, "origin": "whai362/PVT", "licence": "Apache-2.0"}

FAMILY = Family(
    name="PVTv2",
    function="keras_mobattn.models.pvtv2:PVTv2",
    paper="arXiv:2106.13797",
    attention="own",
    attention_class="SpatialReductionAttention",
    **IMAGENET,
    pyramid=(2, 3, 4, 5),
    variants={
        "pvt_v2_b0": Variant({"variant": "b0"}, 3_666_760),
        "pvt_v2_b1": Variant({"variant": "b1"}, 14_009_000),
        "pvt_v2_b2": Variant({"variant": "b2"}, 25_362_856),
        "pvt_v2_b2_li": Variant({"variant": "b2_li"}, 22_553_512),
        "pvt_v2_b3": Variant({"variant": "b3"}, 45_238_696),
        "pvt_v2_b4": Variant({"variant": "b4"}, 62_556_072),
        "pvt_v2_b5": Variant({"variant": "b5"}, 81_956_008),
    },
    small=("nano", "test"),
    example="pvt_v2_b0",
    checkpoints=(
        Checkpoint("pvt_v2_b0.in1k", "pvt_v2_b0", 70.654, 90.206, 0.57, **_AT_224),
        Checkpoint("pvt_v2_b1.in1k", "pvt_v2_b1", 78.698, 94.490, 2.12, **_AT_224),
        Checkpoint("pvt_v2_b2.in1k", "pvt_v2_b2", 82.062, 95.966, 4.05, **_AT_224),
        Checkpoint("pvt_v2_b2_li.in1k", "pvt_v2_b2_li", 82.200, 96.108, 3.91, **_AT_224),
        Checkpoint("pvt_v2_b3.in1k", "pvt_v2_b3", 83.120, 96.560, 6.92, **_AT_224),
        Checkpoint("pvt_v2_b4.in1k", "pvt_v2_b4", 83.710, 96.672, 10.14, **_AT_224),
        Checkpoint("pvt_v2_b5.in1k", "pvt_v2_b5", 83.760, 96.634, 11.76, **_AT_224),
    ),
    layouts="keras_mobattn.weights.layouts.pvtv2:LAYOUTS",
    size_multiple=32,
    quick_styles=("own",),
)
