"""MobileViT's record; the model is in keras_mobattn/models/mobilevit.py."""

from typing import Any

from keras_mobattn.families.family import Checkpoint, Family, SegmenterCheckpoint, Variant

# The licence is what timm's model card refers to; the hub lists "other".
APPLE: dict[str, Any] = {"origin": "apple/ml-cvnets", "licence": "Apple's, in LICENSE of apple/ml-cvnets"}
_VOC: dict[str, Any] = APPLE | {"input_size": 512, "width": 256}
_AT_256: dict[str, Any] = APPLE | {"input_size": 256, "crop": 0.9}

FAMILY = Family(
    name="MobileViT",
    function="keras_mobattn.models.mobilevit:MobileViT",
    paper="arXiv:2110.02178",
    attention="softmax",
    attention_class="SoftmaxAttention",
    attention_config={"num_heads": 4},
    attention_patch=2,
    variants={
        "mobilevit_xxs": Variant({"variant": "xxs"}, 1_272_024),
        "mobilevit_xs": Variant({"variant": "xs"}, 2_317_848),
        "mobilevit_s": Variant({"variant": "s"}, 5_578_632),
    },
    example="mobilevit_s",
    checkpoints=(
        Checkpoint("mobilevit_xxs.cvnets_in1k", "mobilevit_xxs", 68.936, 88.942, 0.42, **_AT_256),
        Checkpoint("mobilevit_xs.cvnets_in1k", "mobilevit_xs", 74.618, 92.350, 1.05, **_AT_256),
        Checkpoint("mobilevit_s.cvnets_in1k", "mobilevit_s", 78.298, 94.168, 2.03, **_AT_256),
    ),
    segmenters=(  # mIoU as their cards at the hub give it
        SegmenterCheckpoint("deeplabv3-mobilevit-xx-small", "mobilevit_xxs", 73.6, params=1_854_853, **_VOC),
        SegmenterCheckpoint("deeplabv3-mobilevit-x-small", "mobilevit_xs", 77.1, params=2_944_069, **_VOC),
        SegmenterCheckpoint("deeplabv3-mobilevit-small", "mobilevit_s", 79.1, params=6_357_941, **_VOC),
    ),
    layouts="keras_mobattn.weights.layouts.mobilevit:LAYOUTS",
    size_multiple=64,
    quick_styles=("softmax", "mobile"),
)
