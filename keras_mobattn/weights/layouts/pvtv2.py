"""Where timm keeps the tensors of PVT v2."""

from keras_mobattn.weights.layouts.layout import Layout

_BLOCK = (
    ("norm1", "norm1", "norm"),
    ("attn.q", "attention/query", "linear"),
    ("attn.kv", "attention", "fused key and value"),
    ("attn.proj", "attention/out", "linear"),
    ("attn.sr", "attention/sr", "conv with bias"),
    ("attn.norm", "attention/norm", "norm"),
    ("norm2", "norm2", "norm"),
    ("mlp.fc1", "fc1", "linear"),
    ("mlp.dwconv", "depthwise", "depthwise conv with bias"),
    ("mlp.fc2", "fc2", "linear"),
)
TIMM = (
    ("patch_embed.proj", "stem_embed", "conv with bias"),
    ("patch_embed.norm", "stem_embed_norm", "norm"),
    ("stages.{stage}.downsample.proj", "stage{stage}_embed", "conv with bias"),
    ("stages.{stage}.downsample.norm", "stage{stage}_embed_norm", "norm"),
    *(
        (f"stages.{{stage}}.blocks.{{block}}.{theirs}", f"stage{{stage}}_block{{block}}_{ours}", kind)
        for theirs, ours, kind in _BLOCK
    ),
    ("stages.{stage}.norm", "stage{stage}_norm", "norm"),
    ("head", "predictions", "classifier"),
)

LAYOUTS = (Layout("timm", TIMM),)
