"""Where apple/ml-cvnets and transformers keep the tensors of segmentation heads, beside those of the backbone.

Sources: cvnets' `deeplabv3.py`, `pspnet.py`, `aspp_block.py`, `pspnet_module.py`; transformers' `modeling_mobilevit.py`
and `modeling_mobilevitv2.py`, which have DeepLabv3 alone, and no auxiliary head.
"""

import dataclasses

CVNETS = (
    ("seg_head.aspp.aspp_layer.convs.{block}", "aspp_conv{block}", "conv, batch norm"),
    ("seg_head.aspp.aspp_layer.convs.4.aspp_pool.conv_1x1", "aspp_pool", "conv, batch norm"),
    ("seg_head.aspp.aspp_layer.project", "aspp_project", "conv, batch norm"),
    ("seg_head.psp_layer.psp_branches.{block}.1", "psp_branch{block}", "conv, batch norm"),
    ("seg_head.psp_layer.fusion.0", "psp_fusion", "conv, batch norm"),
    ("seg_head.classifier.block.conv", "pixel_classifier", "conv with bias"),
    ("seg_head.aux_head.0", "auxiliary_features", "conv, batch norm"),
    ("seg_head.aux_head.2.block.conv", "auxiliary_classifier", "conv with bias"),
)
TRANSFORMERS = (
    ("segmentation_head.aspp.convs.{block}", "aspp_conv{block}", "conv, batch norm"),
    ("segmentation_head.aspp.convs.4.conv_1x1", "aspp_pool", "conv, batch norm"),
    ("segmentation_head.aspp.project", "aspp_project", "conv, batch norm"),
    ("segmentation_head.classifier.convolution", "pixel_classifier", "conv with bias"),
)
SOURCES = {"cvnets": ("encoder.", CVNETS), "transformers": ("", TRANSFORMERS)}  # source -> what precedes the backbone's


def with_segmentation(layout):
    """The Layout of segmenters whose backbone has the Layout `layout`; None for a source that has no segmenters."""
    if layout.name not in SOURCES:
        return None
    prefix, rows = SOURCES[layout.name]
    backbone = tuple((f"{prefix}{theirs}", ours, kind) for theirs, ours, kind in layout.rows)
    return dataclasses.replace(layout, name=f"{layout.name}, segmentation", rows=(*backbone, *rows))
