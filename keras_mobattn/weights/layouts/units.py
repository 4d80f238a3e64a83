"""Rows that the layouts of MobileViT and MobileViTv2 share: inverted residuals, and blocks of attention units.

Sources: apple/ml-cvnets (`mobilevit.py`, `mobilevit_v2.py` and their blocks), timm (`mobilevit.py`) and transformers
(`modeling_mobilevit.py`, `modeling_mobilevitv2.py`).
"""

BLOCK = "layer{late}_1"
UNIT = "layer{late}_1_unit{unit}"


def residual(theirs, ours, expand, depthwise, project):
    """The three rows of an inverted residual."""
    return (
        (f"{theirs}.{expand}", f"{ours}_expand", "conv, batch norm"),
        (f"{theirs}.{depthwise}", f"{ours}_depthwise", "depthwise conv, batch norm"),
        (f"{theirs}.{project}", f"{ours}_project", "conv, batch norm"),
    )


def timm_rows(block, unit):
    """timm's rows, given what differs between the two families: a block's own layers, and an attention unit."""
    names = ("conv1_1x1", "conv2_kxk", "conv3_1x1")
    return (
        ("stem", "stem", "conv, batch norm"),
        *residual("stages.{early}.{block}", "layer{early}_{block}", *names),
        *residual("stages.{late}.0", "layer{late}_0", *names),
        *((f"stages.{{late}}.1.{theirs}", f"{BLOCK}_{ours}", kind) for theirs, ours, kind in block),
        *((f"stages.{{late}}.1.transformer.{{unit}}.{theirs}", f"{UNIT}_{ours}", kind) for theirs, ours, kind in unit),
        ("head.fc", "predictions", "classifier"),
    )


def cvnets_rows(stem, block, unit, classifier):
    """apple/ml-cvnets' rows, given what differs between the two families."""
    names = ("block.exp_1x1", "block.conv_3x3", "block.red_1x1")
    return (
        ("conv_1", "stem", stem),
        *residual("layer_{early}.{block}", "layer{early}_{block}", *names),
        *residual("layer_{late}.0", "layer{late}_0", *names),
        *((f"layer_{{late}}.1.{theirs}", f"{BLOCK}_{ours}", kind) for theirs, ours, kind in block),
        # The last norm stands in one list with the units, hence its number is their count.
        ("layer_{late}.1.global_rep.{units}", f"{BLOCK}_norm", "norm"),
        *((f"layer_{{late}}.1.global_rep.{{unit}}.{theirs}", f"{UNIT}_{ours}", kind) for theirs, ours, kind in unit),
        (classifier, "predictions", "classifier"),
    )


def transformers_rows(prefix, stem, local, unit):
    """transformers' rows, given what differs between the two families."""
    names = ("expand_1x1", "conv_3x3", "reduce_1x1")
    early, late = f"{prefix}.encoder.layer.{{early}}", f"{prefix}.encoder.layer.{{late}}"
    return (
        (f"{prefix}.conv_stem", "stem", stem),
        *residual(f"{early}.layer.{{block}}", "layer{early}_{block}", *names),
        *residual(f"{late}.downsampling_layer", "layer{late}_0", *names),
        (f"{late}.conv_kxk", f"{BLOCK}_local", local),
        (f"{late}.conv_1x1.convolution", f"{BLOCK}_expand", "conv"),
        (f"{late}.layernorm", f"{BLOCK}_norm", "norm"),
        (f"{late}.conv_projection", f"{BLOCK}_project", "conv, batch norm"),
        *((f"{late}.transformer.layer.{{unit}}.{theirs}", f"{UNIT}_{ours}", kind) for theirs, ours, kind in unit),
        ("classifier", "predictions", "classifier"),
    )
