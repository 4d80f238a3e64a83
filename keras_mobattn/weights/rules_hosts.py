"""Where timm keeps the tensors of DeiT, PVTv2 and EfficientFormerV2: rows for the table in rules.py."""

DEIT = (
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
_PVT_BLOCK = (
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
PVT = (
    ("patch_embed.proj", "stem_embed", "conv with bias"),
    ("patch_embed.norm", "stem_embed_norm", "norm"),
    ("stages.{stage}.downsample.proj", "stage{stage}_embed", "conv with bias"),
    ("stages.{stage}.downsample.norm", "stage{stage}_embed_norm", "norm"),
    *(
        (f"stages.{{stage}}.blocks.{{block}}.{theirs}", f"stage{{stage}}_block{{block}}_{ours}", kind)
        for theirs, ours, kind in _PVT_BLOCK
    ),
    ("stages.{stage}.norm", "stage{stage}_norm", "norm"),
    ("head", "predictions", "classifier"),
)


def _attention(theirs, ours, query):
    """The rows of what an attention consists of in either place; `query` is the projection to queries."""
    bias = "conv with bias, batch norm"
    return (
        (f"{theirs}.{query}", f"{ours}_attention_query", bias),
        (f"{theirs}.k", f"{ours}_attention_key", bias),
        (f"{theirs}.v", f"{ours}_attention_value", bias),
        (f"{theirs}.v_local", f"{ours}_attention_local", "depthwise conv with bias, batch norm"),
        (f"{theirs}", f"{ours}_attention", "attention biases"),
        (f"{theirs}.proj", f"{ours}_attention_project", bias),
    )


_BLOCK, _OUR_BLOCK = "stages.{stage}.blocks.{block}", "stage{stage}_block{block}"
_EMBEDDING, _OUR_EMBEDDING = "stages.{stage}.downsample", "stage{stage}_embed"
_MIXER = f"{_BLOCK}.token_mixer"

EFFICIENTFORMERV2 = (
    ("stem.conv1", "stem1", "conv with bias, batch norm"),
    ("stem.conv2", "stem2", "conv with bias, batch norm"),
    (f"{_EMBEDDING}.conv", _OUR_EMBEDDING, "conv with bias, batch norm"),
    (f"{_EMBEDDING}.attn.q.local", f"{_OUR_EMBEDDING}_mixer_halving", "depthwise conv with bias"),
    *_attention(f"{_EMBEDDING}.attn", _OUR_EMBEDDING, "q.proj"),
    (f"{_MIXER}.stride_conv", f"{_OUR_BLOCK}_mixer_halving", "depthwise conv with bias, batch norm"),
    *_attention(_MIXER, _OUR_BLOCK, "q"),
    (f"{_MIXER}.talking_head1", f"{_OUR_BLOCK}_attention/before", "talking heads"),
    (f"{_MIXER}.talking_head2", f"{_OUR_BLOCK}_attention/after", "talking heads"),
    (f"{_BLOCK}.ls1", f"{_OUR_BLOCK}_mixer_scale", "layer scale"),
    (f"{_BLOCK}.mlp.fc1", f"{_OUR_BLOCK}_expand", "conv with bias, batch norm"),
    (f"{_BLOCK}.mlp.mid", f"{_OUR_BLOCK}_depthwise", "depthwise conv with bias, batch norm"),
    (f"{_BLOCK}.mlp.fc2", f"{_OUR_BLOCK}_project", "conv with bias, batch norm"),
    (f"{_BLOCK}.ls2", f"{_OUR_BLOCK}_mlp_scale", "layer scale"),
    ("norm", "norm", "batch norm"),
    ("head", "predictions", "classifier"),
    ("head_dist", "predictions_dist", "classifier"),
)
