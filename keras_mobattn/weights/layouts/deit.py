"""Where timm keeps the tensors of DeiT."""

from keras_mobattn.weights.layouts.layout import Layout

TIMM = (
    ("cls_token", "embedding", "class token"),
    ("dist_token", "embedding", "distillation token"),
    ("pos_embed", "embedding", "positions"),
    ("patch_embed.proj", "patch_embed", "conv with bias"),
    ("blocks.{block}.norm1", "block{block}_norm1", "norm"),
    ("blocks.{block}.attn.qkv", "block{block}_attention", "fused linear"),
    ("blocks.{block}.attn.proj", "block{block}_attention/out", "linear"),
    ("blocks.{block}.norm2", "block{block}_norm2", "norm"),
    ("blocks.{block}.mlp.fc1", "block{block}_fc1", "linear"),
    ("blocks.{block}.mlp.fc2", "block{block}_fc2", "linear"),
    ("norm", "norm", "norm"),
    ("head", "predictions", "classifier"),
    ("head_dist", "predictions_dist", "classifier"),
)

LAYOUTS = (Layout("timm", TIMM),)
