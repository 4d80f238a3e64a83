"""Where timm keeps the tensors of EfficientFormerV2."""

from keras_mobattn.weights.layouts.layout import Layout


def _attention(theirs, ours, query):
    """The rows of an attention, in a block or in an embedding; `query` is their projection to queries."""
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

TIMM = (
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

LAYOUTS = (Layout("timm", TIMM),)
