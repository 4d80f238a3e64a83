"""Where each tensor of a published checkpoint goes: one table per source and family, and nothing else.

A row is (their module, our layer, kind); KINDS says which tensors a module of that kind has. In both names {early} is
layer 1 or 2, {late} layer 3, 4 or 5, {stage} any, each counted from `first_layer` by the source and from 1 by us;
{block} and {unit} count from 0.

Sources: apple/ml-cvnets (`mobilevit.py`, `mobilevit_v2.py` and their blocks), timm (`mobilevit.py`) and transformers
(`modeling_mobilevit.py`, `modeling_mobilevitv2.py`).
"""

import dataclasses
import functools
import math
import re
import string
from typing import NamedTuple

import numpy as np

from keras_mobattn.layers import resample_to


class Transform(NamedTuple):
    """Two functions over arrays, each the other's inverse: torch's layout to Keras's, and back."""

    to_keras: callable
    to_torch: callable
    # (their tensor, the shapes of ours) -> theirs, resampled for the model's input size, where it hangs on that
    fit: callable = lambda tensor, shapes: tensor

    def split(self, tensor, shapes):
        """Their tensor as ours of these shapes: its rows, in their order."""
        ends = np.cumsum([shape[-1] for shape in shapes[:-1]], dtype=int)
        return [self.to_keras(rows) for rows in np.split(tensor, ends)]

    def join(self, arrays):
        """Our arrays as their tensor."""
        return np.concatenate([self.to_torch(array) for array in arrays])


SAME = Transform(lambda tensor: tensor, lambda kernel: kernel)
GRID = SAME._replace(fit=lambda tensor, shapes: resample_to(tensor, shapes[0]))  # [h, w, C], for another image size
DENSE = Transform(lambda tensor: tensor.T, lambda kernel: kernel.T)  # [O, I] <-> [I, O]
LINEAR = Transform(lambda tensor: tensor.T[None, None], lambda kernel: kernel[0, 0].T)  # [O, I] <-> [1, 1, I, O]
CONV = Transform(  # [O, I, h, w] <-> [h, w, I, O]
    lambda tensor: tensor.transpose(2, 3, 1, 0), lambda kernel: kernel.transpose(3, 2, 0, 1)
)
DEPTHWISE = Transform(  # [C, 1, h, w] <-> [h, w, C, 1]
    lambda tensor: tensor.transpose(2, 3, 0, 1), lambda kernel: kernel.transpose(2, 3, 0, 1)
)
# MobileViT (v1) was trained on BGR: its stem's input channels are turned round, and the model takes RGB as ours do.
# v2 was trained on RGB. transformers' documentation says BGR of its v2 too, but its weights are Apple's as they are.
BGR_CONV = Transform(
    lambda tensor: tensor[:, ::-1].transpose(2, 3, 1, 0), lambda kernel: kernel.transpose(3, 2, 0, 1)[:, ::-1]
)


TOKEN = Transform(lambda tensor: tensor[0, 0], lambda token: token[None, None])  # [1, 1, C] <-> [C]


class Positions(Transform):
    """[1, P + h * w, C] <-> [P, C] and [h, w, C]: the positions of the tokens before the patches, and the patches'."""

    def fit(self, tensor, shapes):
        """Resample the patches' positions from a square to the model's grid."""
        prefix, channels = shapes[0]
        side = math.isqrt(max(tensor.shape[1] - prefix, 0)) if tensor.ndim == 3 else 0
        if tensor.shape != (1, prefix + side**2, channels):
            return tensor
        patches = resample_to(tensor[0, prefix:].reshape(side, side, channels), shapes[1])
        return np.concatenate([tensor[0, :prefix], patches.reshape(-1, channels)])[None]

    def split(self, tensor, shapes):
        """The first P rows, and the others as a map."""
        prefix = shapes[0][0]
        return [tensor[0, :prefix], tensor[0, prefix:].reshape(shapes[1])]

    def join(self, arrays):
        """Both, one after the other."""
        return np.concatenate([arrays[0], arrays[1].reshape(-1, arrays[1].shape[-1])])[None]


class Part(NamedTuple):
    """One tensor of a module. More than one of ours: theirs is fused, ours are its rows in this order. None of ours: a
    buffer that inference doesn't need."""

    theirs: str  # what follows the module's name, if anything; {conv} and {norm} are the source's own words
    ours: tuple[str, ...]  # what follows the layer's name
    transform: Transform = SAME


def _conv_norm(kernel, transform):
    return (
        Part("{conv}.weight", (f"_conv/{kernel}",), transform),
        Part("{norm}.weight", ("_bn/gamma",)),
        Part("{norm}.bias", ("_bn/beta",)),
        Part("{norm}.running_mean", ("_bn/moving_mean",)),
        Part("{norm}.running_var", ("_bn/moving_variance",)),
        Part("{norm}.num_batches_tracked", ()),  # torch's count of training steps
    )


def _with_bias(transform, *parts, kernel="kernel"):
    return (
        Part("weight", tuple(f"{part}/{kernel}" for part in parts), transform),
        Part("bias", tuple(f"{part}/bias" for part in parts)),
    )


KINDS = {
    "conv, batch norm": _conv_norm("kernel", CONV),
    "BGR conv, batch norm": _conv_norm("kernel", BGR_CONV),
    "depthwise conv, batch norm": _conv_norm("depthwise_kernel", DEPTHWISE),
    "conv": (Part("weight", ("_conv/kernel",), CONV),),
    "conv with bias": _with_bias(CONV, ""),
    "depthwise conv with bias": _with_bias(DEPTHWISE, "", kernel="depthwise_kernel"),
    "linear": _with_bias(LINEAR, ""),
    "fused conv": _with_bias(CONV, "/query", "/key", "/value"),
    "fused linear": _with_bias(LINEAR, "/query", "/key", "/value"),
    "fused key and value": _with_bias(LINEAR, "/key", "/value"),
    "class token": (Part("", ("/class_token",), TOKEN),),
    "distillation token": (Part("", ("/dist_token",), TOKEN),),
    "positions": (Part("", ("/prefix_position", "/position"), Positions(None, None)),),
    "norm": (Part("weight", ("/gamma",)), Part("bias", ("/beta",))),
    "classifier": _with_bias(DENSE, ""),
}


@dataclasses.dataclass(frozen=True)
class Family:
    """What published checkpoints were trained as: the model function here, its attention layer, and its images."""

    function: str
    paper: str
    attention: str  # as the function's argument
    attention_class: str
    attention_config: tuple[tuple[str, object], ...] = ()  # what no tensor's shape tells
    input_size: int = 256
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of RGB 0..1
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


IMAGENET = {"input_size": 224, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
FAMILIES = {  # the first word of an architecture's name ->
    "mobilevit": Family("MobileViT", "arXiv:2110.02178", "softmax", "SoftmaxAttention", (("num_heads", 4),)),
    "mobilevitv2": Family("MobileViTv2", "arXiv:2206.02680", "separable", "SeparableAttention"),
    "deit": Family("DeiT", "arXiv:2012.12877", "softmax", "SoftmaxAttention", (("head_dim", 64),), **IMAGENET),
    "pvt": Family("PVTv2", "arXiv:2106.13797", "own", "SpatialReductionAttention", **IMAGENET),
    "efficientformerv2": Family("EfficientFormerV2", "arXiv:2212.08059", "own", "TalkingHeadAttention", **IMAGENET),
}


def family_of(architecture):
    """The Family of "mobilevitv2_100", "pvt_v2_b0" and so on."""
    return FAMILIES[architecture.split("_")[0]]


@dataclasses.dataclass(frozen=True)
class Source:
    """The layout of one source's checkpoints of one family."""

    name: str
    family: str  # of FAMILIES
    first_layer: int  # the number that it gives to our layer 1
    conv: str
    norm: str
    rows: tuple[tuple[str, str, str], ...]

    @functools.cached_property
    def parts(self):
        """Every row's every part, as (their template, our templates, transform)."""
        words = {"conv": self.conv, "norm": self.norm}
        return [
            (
                f"{theirs}.{words_in(part.theirs, words)}".removesuffix("."),
                tuple(f"{ours}{suffix}" for suffix in part.ours),
                part.transform,
            )
            for theirs, ours, kind in self.rows
            for part in KINDS[kind]
        ]

    @functools.cached_property
    def patterns(self):
        return [(pattern(theirs, self.first_layer), ours, transform) for theirs, ours, transform in self.parts]

    def find(self, key):
        """The (our names, transform) of their tensor `key`; None if no rule knows it."""
        for theirs, ours, transform in self.patterns:
            if match := theirs.fullmatch(key):
                return tuple(fill(name, match, 1 - self.first_layer) for name in ours), transform
        return None

    def name_all(self, names):
        """The mirror of `find`: (their key, our names, transform) for every variable among `names` that a rule knows.

        A row with {units}, which our names don't tell, has no mirror: timm's have none.
        """
        found = []
        for theirs, ours, transform in self.parts:
            for match in filter(None, map(pattern(ours[0], 1).fullmatch, names) if ours else ()):
                key = fill(theirs, match, self.first_layer - 1)
                found.append((key, tuple(fill(each, match, 0) for each in ours), transform))
        return found


def words_in(template, words):
    return re.sub(r"\{(\w+)\}", lambda match: words[match[1]], template)


def pattern(template, first_layer):
    """The regular expression of a template, with a named group per field."""
    fields = {
        "early": f"[{first_layer}-{first_layer + 1}]",
        "late": f"[{first_layer + 2}-{first_layer + 4}]",
        "stage": r"\d+",
        "block": r"\d+",
        "unit": r"\d+",
        "units": r"\d+",
    }
    pieces = string.Formatter().parse(template)
    return re.compile(
        "".join(re.escape(text) + (f"(?P<{name}>{fields[name]})" if name else "") for text, name, *_ in pieces)
    )


def fill(template, match, shift):
    """`template` with the numbers that `match` found, those of layers moved by `shift`."""
    numbers = {name: int(value) for name, value in match.groupdict().items()}
    return template.format(**{name: n + shift * (name in ("early", "late", "stage")) for name, n in numbers.items()})


def _residual(theirs, ours, expand, depthwise, project):
    """The three rows of an inverted residual."""
    return (
        (f"{theirs}.{expand}", f"{ours}_expand", "conv, batch norm"),
        (f"{theirs}.{depthwise}", f"{ours}_depthwise", "depthwise conv, batch norm"),
        (f"{theirs}.{project}", f"{ours}_project", "conv, batch norm"),
    )


BLOCK = "layer{late}_1"
UNIT = "layer{late}_1_unit{unit}"


def _timm(block, unit):
    names = ("conv1_1x1", "conv2_kxk", "conv3_1x1")
    return (
        ("stem", "stem", "conv, batch norm"),
        *_residual("stages.{early}.{block}", "layer{early}_{block}", *names),
        *_residual("stages.{late}.0", "layer{late}_0", *names),
        *((f"stages.{{late}}.1.{theirs}", f"{BLOCK}_{ours}", kind) for theirs, ours, kind in block),
        *((f"stages.{{late}}.1.transformer.{{unit}}.{theirs}", f"{UNIT}_{ours}", kind) for theirs, ours, kind in unit),
        ("head.fc", "predictions", "classifier"),
    )


TIMM_V1 = (
    *_timm(
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
TIMM_V2 = _timm(
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


def _cvnets(stem, block, unit, classifier):
    names = ("block.exp_1x1", "block.conv_3x3", "block.red_1x1")
    return (
        ("conv_1", "stem", stem),
        *_residual("layer_{early}.{block}", "layer{early}_{block}", *names),
        *_residual("layer_{late}.0", "layer{late}_0", *names),
        *((f"layer_{{late}}.1.{theirs}", f"{BLOCK}_{ours}", kind) for theirs, ours, kind in block),
        # The last norm stands in one list with the units, hence its number is their count.
        ("layer_{late}.1.global_rep.{units}", f"{BLOCK}_norm", "norm"),
        *((f"layer_{{late}}.1.global_rep.{{unit}}.{theirs}", f"{UNIT}_{ours}", kind) for theirs, ours, kind in unit),
        (classifier, "predictions", "classifier"),
    )


CVNETS_V1 = (
    *_cvnets(
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
CVNETS_V2 = _cvnets(
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


def _transformers(prefix, stem, local, unit):
    names = ("expand_1x1", "conv_3x3", "reduce_1x1")
    early, late = f"{prefix}.encoder.layer.{{early}}", f"{prefix}.encoder.layer.{{late}}"
    return (
        (f"{prefix}.conv_stem", "stem", stem),
        *_residual(f"{early}.layer.{{block}}", "layer{early}_{block}", *names),
        *_residual(f"{late}.downsampling_layer", "layer{late}_0", *names),
        (f"{late}.conv_kxk", f"{BLOCK}_local", local),
        (f"{late}.conv_1x1.convolution", f"{BLOCK}_expand", "conv"),
        (f"{late}.layernorm", f"{BLOCK}_norm", "norm"),
        (f"{late}.conv_projection", f"{BLOCK}_project", "conv, batch norm"),
        *((f"{late}.transformer.layer.{{unit}}.{theirs}", f"{UNIT}_{ours}", kind) for theirs, ours, kind in unit),
        ("classifier", "predictions", "classifier"),
    )


TRANSFORMERS_V1 = (
    *_transformers(
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
TRANSFORMERS_V2 = _transformers(
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

TIMM_DEIT = (
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
TIMM_PVT = (
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

SOURCES = (
    Source("timm", "deit", 0, "conv", "bn", TIMM_DEIT),
    Source("timm", "pvt", 0, "conv", "bn", TIMM_PVT),
    Source("timm", "mobilevit", 0, "conv", "bn", TIMM_V1),
    Source("timm", "mobilevitv2", 0, "conv", "bn", TIMM_V2),
    Source("cvnets", "mobilevit", 1, "block.conv", "block.norm", CVNETS_V1),
    Source("cvnets", "mobilevitv2", 1, "block.conv", "block.norm", CVNETS_V2),
    Source("transformers", "mobilevit", 0, "convolution", "normalization", TRANSFORMERS_V1),
    Source("transformers", "mobilevitv2", 0, "convolution", "normalization", TRANSFORMERS_V2),
)
