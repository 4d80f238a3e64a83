"""Where timm, apple/ml-cvnets and transformers keep the tensors of MobileViT."""

from keras_mobattn.weights.layouts.layout import Layout
from keras_mobattn.weights.layouts.units import BLOCK, cvnets_rows, timm_rows, transformers_rows

TIMM = (
    *timm_rows(
        block=(
            ("conv_kxk", "local", "conv, batch norm"),
            ("conv_1x1", "expand", "conv"),
            ("norm", "norm", "norm"),
            ("conv_proj", "project", "conv, batch norm"),
            ("conv_fusion", "fusion", "conv, batch norm"),
        ),
        unit=(
            ("norm1", "norm1", "norm"),
            ("attn.qkv", "attention", "fused linear"),
            ("attn.proj", "attention/out", "linear"),
            ("norm2", "norm2", "norm"),
            ("mlp.fc1", "fc1", "linear"),
            ("mlp.fc2", "fc2", "linear"),
        ),
    ),
    ("final_conv", "head", "conv, batch norm"),
)
CVNETS = (
    *cvnets_rows(
        stem="BGR conv, batch norm",
        block=(
            ("local_rep.conv_3x3", "local", "conv, batch norm"),
            ("local_rep.conv_1x1.block.conv", "expand", "conv"),
            ("conv_proj", "project", "conv, batch norm"),
            ("fusion", "fusion", "conv, batch norm"),
        ),
        unit=(
            ("pre_norm_mha.0", "norm1", "norm"),
            ("pre_norm_mha.1.qkv_proj", "attention", "fused linear"),
            ("pre_norm_mha.1.out_proj", "attention/out", "linear"),
            ("pre_norm_ffn.0", "norm2", "norm"),
            ("pre_norm_ffn.1", "fc1", "linear"),
            ("pre_norm_ffn.4", "fc2", "linear"),
        ),
        classifier="classifier.fc",
    ),
    ("conv_1x1_exp", "head", "conv, batch norm"),
)
TRANSFORMERS = (
    *transformers_rows(
        "mobilevit",
        stem="BGR conv, batch norm",
        local="conv, batch norm",
        unit=(
            ("layernorm_before", "norm1", "norm"),
            ("attention.attention.query", "attention/query", "linear"),
            ("attention.attention.key", "attention/key", "linear"),
            ("attention.attention.value", "attention/value", "linear"),
            ("attention.output.dense", "attention/out", "linear"),
            ("layernorm_after", "norm2", "norm"),
            ("intermediate.dense", "fc1", "linear"),
            ("output.dense", "fc2", "linear"),
        ),
    ),
    ("mobilevit.encoder.layer.{late}.fusion", f"{BLOCK}_fusion", "conv, batch norm"),
    ("mobilevit.conv_1x1_exp", "head", "conv, batch norm"),
)

LAYOUTS = (
    Layout("timm", TIMM),
    Layout("cvnets", CVNETS, first_layer=1, conv="block.conv", norm="block.norm"),
    Layout("transformers", TRANSFORMERS, conv="convolution", norm="normalization"),
)
