"""Where apple/ml-cvnets keeps the tensors of SSDLite (`ssd.py`), beside those of its backbone."""

import dataclasses

ROWS = (
    *(
        row
        for stride in (64, 128, 256)
        for row in (
            (f"extra_layers.os_{stride}.dw_conv", f"extra{stride}_depthwise", "depthwise conv, batch norm"),
            (f"extra_layers.os_{stride}.pw_conv", f"extra{stride}_project", "conv, batch norm"),
        )
    ),
    ("extra_layers.os_-1.1.block.conv", "extra", "conv"),
    ("ssd_heads.{level}.proj_layer", "head{level}_project", "conv, batch norm"),
    ("ssd_heads.{level}.loc_cls_layer.dw_conv", "head{level}_depthwise", "depthwise conv, batch norm"),
    ("ssd_heads.{level}.loc_cls_layer.pw_conv.block.conv", "head{level}", "conv by anchor"),
    ("ssd_heads.{level}.loc_cls_layer.block.conv", "head{level}", "conv by anchor"),  # of the whole map's mean
)


def with_ssd(layout):
    """The Layout of a detector whose backbone has the Layout `layout`, of apple/ml-cvnets."""
    encoder = tuple((f"encoder.{theirs}", ours, kind) for theirs, ours, kind in layout.rows)
    return dataclasses.replace(layout, name=f"{layout.name}, SSD", rows=(*encoder, *ROWS))
