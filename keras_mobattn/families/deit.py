"""DeiT's record; the model is in keras_mobattn/models/deit.py."""

from typing import Any

from keras_mobattn.families.family import IMAGENET, Checkpoint, Family, Variant

_FACEBOOK: dict[str, Any] = {"origin": "facebookresearch/deit", "licence": "Apache-2.0"}
_AT_224: dict[str, Any] = _FACEBOOK | {"input_size": 224, "crop": 0.9}
_AT_384: dict[str, Any] = _FACEBOOK | {"input_size": 384, "crop": 1.0}  # with a position for each of more patches


def _distilled(variant):
    return {"variant": variant, "distilled": True}


FAMILY = Family(
    name="DeiT",
    function="keras_mobattn.models.deit:DeiT",
    paper="arXiv:2012.12877",
    attention="softmax",
    attention_class="SoftmaxAttention",
    attention_config={"head_dim": 64},
    **IMAGENET,
    pyramid=(4,),
    variants={
        "deit_tiny": Variant({"variant": "tiny"}, 5_717_416),
        "deit_small": Variant({"variant": "small"}, 22_050_664),
        "deit_base": Variant({"variant": "base"}, 86_567_656),
        "deit_tiny_distilled": Variant(_distilled("tiny"), 5_910_800),
        "deit_small_distilled": Variant(_distilled("small"), 22_436_432),
        "deit_base_distilled": Variant(_distilled("base"), 87_338_192),
    },
    small=("nano", "test"),
    example="deit_tiny",
    checkpoints=(
        Checkpoint("deit_tiny_patch16_224.fb_in1k", "deit_tiny", 72.190, 91.100, 1.26, **_AT_224),
        Checkpoint("deit_small_patch16_224.fb_in1k", "deit_small", 79.856, 95.056, 4.61, **_AT_224),
        Checkpoint("deit_base_patch16_224.fb_in1k", "deit_base", 81.980, 95.740, 17.58, **_AT_224),
        Checkpoint("deit_base_patch16_384.fb_in1k", "deit_base", 83.108, 96.376, 55.54, **_AT_384, params=86_859_496),
        Checkpoint("deit_tiny_distilled_patch16_224.fb_in1k", "deit_tiny_distilled", 74.538, 91.898, 1.27, **_AT_224),
        Checkpoint("deit_small_distilled_patch16_224.fb_in1k", "deit_small_distilled", 81.204, 95.378, 4.63, **_AT_224),
        Checkpoint("deit_base_distilled_patch16_224.fb_in1k", "deit_base_distilled", 83.384, 96.492, 17.68, **_AT_224),
        Checkpoint(
            "deit_base_distilled_patch16_384.fb_in1k",
            "deit_base_distilled",
            85.438,
            97.332,
            55.65,
            **_AT_384,
            params=87_630_032,
        ),
    ),
    layouts="keras_mobattn.weights.layouts.deit:LAYOUTS",
)
