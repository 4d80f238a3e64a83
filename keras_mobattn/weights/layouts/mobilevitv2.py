"""Where timm, apple/ml-cvnets and transformers keep the tensors of MobileViTv2."""

from keras_mobattn.weights.layouts.layout import Layout
from keras_mobattn.weights.layouts.units import cvnets_rows, timm_rows, transformers_rows

TIMM = timm_rows(
    block=(
        ("conv_kxk", "local", "depthwise conv, batch norm"),
        ("conv_1x1", "expand", "conv"),
        ("norm", "norm", "norm"),
        ("conv_proj", "project", "conv, batch norm"),
    ),
    unit=(
        ("norm1", "norm1", "norm"),
        ("attn.qkv_proj", "attention", "fused conv"),
        ("attn.out_proj", "attention/out", "conv with bias"),
        ("norm2", "norm2", "norm"),
        ("mlp.fc1", "fc1", "conv with bias"),
        ("mlp.fc2", "fc2", "conv with bias"),
    ),
)
CVNETS = cvnets_rows(
    stem="conv, batch norm",
    block=(
        ("local_rep.0", "local", "depthwise conv, batch norm"),
        ("local_rep.1.block.conv", "expand", "conv"),
        ("conv_proj", "project", "conv, batch norm"),
    ),
    unit=(
        ("pre_norm_attn.0", "norm1", "norm"),
        ("pre_norm_attn.1.qkv_proj.block.conv", "attention", "fused conv"),
        ("pre_norm_attn.1.out_proj.block.conv", "attention/out", "conv with bias"),
        ("pre_norm_ffn.0", "norm2", "norm"),
        ("pre_norm_ffn.1.block.conv", "fc1", "conv with bias"),
        ("pre_norm_ffn.3.block.conv", "fc2", "conv with bias"),
    ),
    classifier="classifier.1",
)
TRANSFORMERS = transformers_rows(
    "mobilevitv2",
    stem="conv, batch norm",
    local="depthwise conv, batch norm",
    unit=(
        ("layernorm_before", "norm1", "norm"),
        ("attention.qkv_proj.convolution", "attention", "fused conv"),
        ("attention.out_proj.convolution", "attention/out", "conv with bias"),
        ("layernorm_after", "norm2", "norm"),
        ("ffn.conv1.convolution", "fc1", "conv with bias"),
        ("ffn.conv2.convolution", "fc2", "conv with bias"),
    ),
)

LAYOUTS = (
    Layout("timm", TIMM),
    Layout("cvnets", CVNETS, first_layer=1, conv="block.conv", norm="block.norm"),
    Layout("transformers", TRANSFORMERS, conv="convolution", norm="normalization"),
)
