"""Where timm keeps the tensors of EfficientFormerV2: rows for the table in rules.py. {stage} counts from 0 there."""


def _attention(theirs, ours, query):
    """The rows of what an attention consists of in either place; `query` is the projection to queries."""
    bias = "conv with bias, batch norm"
    return (
        (f"{theirs}.{query}", f"{ours}_attention_query", bias),
        (f"{theirs}.k", f"{ours}_attention_key", bias),
        (f"{theirs}.v", f"{ours}_attention_value", bias),
        (f"{theirs}.v_local", f"{ours}_attention_local", "depthwise conv with bias, batch norm"),
        (f"{theirs}", f"{ours}_attention", "position biases"),
        (f"{theirs}.proj", f"{ours}_attention_project", bias),
    )


BLOCK, OUR_BLOCK = "stages.{stage}.blocks.{block}", "stage{stage}_block{block}"
EMBEDDING, OUR_EMBEDDING = "stages.{stage}.downsample", "stage{stage}_embed"
MIXER = f"{BLOCK}.token_mixer"

TIMM = (
    ("stem.conv1", "stem1", "conv with bias, batch norm"),
    ("stem.conv2", "stem2", "conv with bias, batch norm"),
    (f"{EMBEDDING}.conv", OUR_EMBEDDING, "conv with bias, batch norm"),
    (f"{EMBEDDING}.attn.q.local", f"{OUR_EMBEDDING}_mixer_halving", "depthwise conv with bias"),
    *_attention(f"{EMBEDDING}.attn", OUR_EMBEDDING, "q.proj"),
    (f"{MIXER}.stride_conv", f"{OUR_BLOCK}_mixer_halving", "depthwise conv with bias, batch norm"),
    *_attention(MIXER, OUR_BLOCK, "q"),
    (f"{MIXER}.talking_head1", f"{OUR_BLOCK}_attention/before", "talking heads"),
    (f"{MIXER}.talking_head2", f"{OUR_BLOCK}_attention/after", "talking heads"),
    (f"{BLOCK}.ls1", f"{OUR_BLOCK}_mixer_scale", "layer scale"),
    (f"{BLOCK}.mlp.fc1", f"{OUR_BLOCK}_expand", "conv with bias, batch norm"),
    (f"{BLOCK}.mlp.mid", f"{OUR_BLOCK}_depthwise", "depthwise conv with bias, batch norm"),
    (f"{BLOCK}.mlp.fc2", f"{OUR_BLOCK}_project", "conv with bias, batch norm"),
    (f"{BLOCK}.ls2", f"{OUR_BLOCK}_mlp_scale", "layer scale"),
    ("norm", "norm", "batch norm"),
    ("head", "predictions", "classifier"),
    ("head_dist", "predictions_dist", "classifier"),
)
