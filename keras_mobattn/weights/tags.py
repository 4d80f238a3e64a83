"""The published checkpoints of all families, by name: TAGS of classification, SEGMENTERS of segmentation."""

import difflib

from keras_mobattn.errors import InputError, expect_kind
from keras_mobattn.families import FAMILIES, DerivedMapping
from keras_mobattn.families.family import Checkpoint as Tag, SegmenterCheckpoint, written_call

__all__ = [
    "SEGMENTERS",
    "TAGS",
    "Tag",
    "find_segmenter",
    "find_tag",
    "imagenet_tag",
    "list_weights",
    "written_call",
]

TAGS = DerivedMapping(lambda: {tag.name: tag for family in FAMILIES.values() for tag in family.checkpoints})
SEGMENTERS = DerivedMapping(lambda: {tag.name: tag for family in FAMILIES.values() for tag in family.segmenters})


def find_tag(name: str) -> Tag:
    """Return the Tag called "mobilevitv2_100.cvnets_in1k" or "timm/mobilevitv2_100.cvnets_in1k".

    Raises:
        InputError: there is none of that name; the message lists similar ones.
    """
    return _find(TAGS, name, "timm/mobilevitv2_100.cvnets_in1k")


def find_segmenter(name: str) -> SegmenterCheckpoint:
    """Return the SegmenterCheckpoint called "deeplabv3-mobilevit-small" or "apple/deeplabv3-mobilevit-small".

    Raises:
        InputError: there is none of that name; the message lists similar ones.
    """
    return _find(SEGMENTERS, name, "apple/deeplabv3-mobilevit-small")


def published_segmenter(name: object) -> SegmenterCheckpoint | None:
    """The SegmenterCheckpoint of this name, with its owner's before it or not; None for what is none."""
    return SEGMENTERS.get(str(name).removeprefix(f"{SegmenterCheckpoint.owner}/"))


def _find(tags, name, example):
    wanted = str(name).removeprefix(f"{example.split('/')[0]}/")
    if wanted in tags:
        return tags[wanted]
    close = difflib.get_close_matches(wanted, tags, 4, cutoff=0.4)
    hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    raise InputError(
        f"Expected the name of a published checkpoint, such as {example!r}. Received: {name!r}. "
        f"{hint}keras_mobattn.list_weights() prints them all; weights=None gives random ones."
    )


def imagenet_tag(architecture: str) -> Tag:
    """Return the Tag with the best top-1 of an architecture at its default size: "mobilevitv2_100", "pvt_v2_b0".

    Raises:
        InputError: none was published for it; the message lists the models that have one.
    """
    expect_kind("architecture", architecture, str, "a text")
    fitting = [
        tag for tag in TAGS.values() if tag.architecture == architecture and tag.input_size == tag.family.input_size
    ]
    if not fitting:
        calls = dict.fromkeys(tag.call for tag in TAGS.values())
        raise InputError(
            f"Expected a model that a checkpoint was published for, for weights='imagenet': {', '.join(calls)}. "
            f"Received: {architecture!r}."
        )
    return max(fitting, key=lambda tag: tag.top1)


def list_weights() -> None:
    """Print the published checkpoints that weights= takes: figures, preparation of images, sources and licences.

    One table has those of classification, another those of segmentation.
    """
    import rich.console

    console = rich.console.Console()
    _print_tags(console)
    console.print()
    _print_segmenters(console)


def _print_tags(console):
    tags = TAGS.values()
    table = _table("px", "crop", "top-1", "params", "GMACs")
    for tag in tags:
        figures = f"{tag.top1:.2f}", f"{tag.params / 1e6:.2f} M", f"{tag.gmacs:.2f}"
        table.add_row(tag.name, str(tag.input_size), f"{tag.crop:.3f}", *figures)
    console.print(table)
    for interpolation, mean, std in dict.fromkeys((tag.interpolation, tag.mean, tag.std) for tag in tags):
        console.print(f"Images: {interpolation} resize, centre crop, RGB 0..1 with mean {mean} and std {std}.")
    example = find_tag("mobilevitv2_125.cvnets_in1k")
    _print_sources(console, tags, f'{example.call[:-1]}, weights="{example.repository}")')


def _print_segmenters(console):
    tags = SEGMENTERS.values()
    table = _table("px", "VOC mIoU", "params")
    for tag in tags:
        miou = "-" if tag.miou is None else f"{tag.miou:.1f}"
        table.add_row(tag.repository, str(tag.input_size), miou, f"{tag.params / 1e6:.2f} M")
    console.print(table)
    _print_sources(console, tags, find_segmenter("deeplabv3-mobilevit-small").call)


def _table(*headings):
    import rich.table

    table = rich.table.Table(box=None, pad_edge=False)  # the longest name still fits into 80 columns
    table.add_column("weights", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _print_sources(console, tags, example):
    for source, licence in dict.fromkeys((tag.source, tag.licence) for tag in tags):
        console.print(f"Source: {source}. Licence: {licence}.")
    console.print(f"For example: {example}", highlight=False)
