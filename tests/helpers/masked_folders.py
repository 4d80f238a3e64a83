"""Small folders of images with masks, the same in each layout: two splits, three classes and ignored pixels."""

import csv
import json

import numpy as np
from PIL import Image

from keras_mobattn.data.masks.downloads import CITYSCAPES_CLASSES, VOC_CLASSES

NAMES = ("road", "sidewalk", "building")  # Cityscapes' first, so that one set of masks fits all
SIZE = (40, 60)  # height, width
COUNT = {"train": 5, "val": 3}
TEXT = "\n".join(NAMES)
COLOURS = ((128, 64, 128), (244, 35, 232), (70, 70, 70))  # of the classes
IGNORED = 255


def masks(split):
    """{stem: uint8 [h, w] of 0 to 2 or 255}: blocks of 10 pixels."""
    rng = np.random.default_rng(len(split))
    drawn = [rng.choice([0, 1, 2, IGNORED], (4, 6)).astype(np.uint8) for _ in range(COUNT[split])]
    for blocks in drawn:
        blocks[0, :3] = 0, 1, 2
    return {f"{split}_{number}": np.kron(blocks, np.ones((10, 10), np.uint8)) for number, blocks in enumerate(drawn)}


def save(path, pixels, palette=None):
    """Write pixels as an image; with a palette's colours as numbers of these."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette(np.array(palette, np.uint8).ravel().tolist())
    image.save(path)


def save_image(path, mask):
    """An image whose grey is 50 times its mask's class, by which it is told again."""
    save(path, np.repeat(50 * np.where(mask == IGNORED, 3, mask).astype(np.uint8)[..., None], 3, -1))


def coloured(mask):
    """The mask in COLOURS, black where nothing counts."""
    return np.array([*COLOURS, (0, 0, 0)], np.uint8)[np.where(mask == IGNORED, 3, mask)]


def write_pairs(folder, change=lambda mask, stem: mask, names=TEXT, file="classes.txt"):
    """images/train/, masks/train/ and classes.txt; `change(mask, stem)` gives what is written."""
    for split in COUNT:
        for stem, mask in masks(split).items():
            save_image(folder / "images" / split / f"{stem}.png", mask)
            if (changed := change(mask, stem)) is not None:
                save(folder / "masks" / split / f"{stem}.png", changed)
    if names is not None:
        (folder / file).write_text(names)
    return folder


def write_splits_above(folder):
    """train/Images, train/Labels, as 16-bit numbers."""
    for split in COUNT:
        for stem, mask in masks(split).items():
            save_image(folder / split / "Images" / f"{stem}.png", mask)
            save(folder / split / "Labels" / f"{stem}.png", mask.astype(np.uint16))
        (folder / split / "classes.txt").write_text("\n".join(NAMES) + "\n")
    return folder


def write_roboflow(folder):
    """train/a.png, train/a_mask.png, and train/_classes.csv."""
    for split in COUNT:
        for stem, mask in masks(split).items():
            save_image(folder / split / f"{stem}.png", mask)
            save(folder / split / f"{stem}_mask.png", mask)
        with (folder / split / "_classes.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("Pixel Value", " Class"), *((i, f" {name}") for i, name in enumerate(NAMES))])
    return folder


def write_cvat(folder):
    """CVAT's "Segmentation mask": VOC's folders, masks in colours, and labelmap.txt."""
    for split in COUNT:
        found = masks(split)
        for stem, mask in found.items():
            save_image(folder / "JPEGImages" / f"{stem}.png", mask)
            save(folder / "SegmentationClass" / f"{stem}.png", coloured(mask))
            save(folder / "SegmentationObject" / f"{stem}.png", coloured(mask))
        path = folder / "ImageSets" / "Segmentation" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(found))
    rows = [f"{name}:{','.join(map(str, colour))}::" for name, colour in zip(NAMES, COLOURS, strict=True)]
    (folder / "labelmap.txt").write_text("\n".join(["# label:color_rgb:parts:actions", *rows]))
    return folder


def voc_palette():
    """VOC's first colours by its published table, the others black; 255 is its border's."""
    table = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128)]
    return [*table, *[(0, 0, 0)] * (255 - len(table)), (224, 224, 192)]


def write_voc(folder):
    """VOCdevkit/VOC2012, with images of no list and a trainval.txt; its masks have VOC's palette."""
    root = folder / "VOC2012"
    lists = {split: masks(split) for split in COUNT}
    for stem, mask in [each for found in lists.values() for each in found.items()]:
        save_image(root / "JPEGImages" / f"{stem}.png", mask)
        save(root / "SegmentationClass" / f"{stem}.png", mask, voc_palette())
    lists["trainval"] = lists["train"] | lists["val"]
    for name, found in lists.items():
        path = root / "ImageSets" / "Segmentation" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(found) + "\n")
    return folder


def write_cityscapes(folder, end="labelIds", numbers=(7, 8, 11, 0)):
    """leftImg8bit/ and gtFine/, with other files of gtFine beside, and a test without labels."""
    for split in (*COUNT, "test"):
        for stem, mask in masks("val" if split == "test" else split).items():
            name = f"ulm_{stem}_gtFine"
            save_image(folder / "leftImg8bit" / split / "ulm" / f"ulm_{stem}_leftImg8bit.png", mask)
            there = np.zeros_like(mask) if split == "test" else mask
            written = np.array(numbers, np.uint8)[np.where(there == IGNORED, 3, there)]
            save(folder / "gtFine" / split / "ulm" / f"{name}_{end}.png", written)
            save(folder / "gtFine" / split / "ulm" / f"{name}_color.png", coloured(mask))
    return folder


def write_ade20k(folder):
    """images/training, annotations/training and objectInfo150.txt; its 0 is no class."""
    for split, word in (("train", "training"), ("val", "validation")):
        for stem, mask in masks(split).items():
            save_image(folder / "images" / word / f"ADE_{stem}.png", mask)
            save(folder / "annotations" / word / f"ADE_{stem}.png", np.where(mask == IGNORED, 0, mask + 1).astype("u1"))
    rows = [("Idx", "Ratio", "Train", "Val", "Name")]
    rows += [(i, 0.1, 5, 5, f"{name}, other") for i, name in enumerate(NAMES, 1)]
    (folder / "objectInfo150.txt").write_text("\n".join("\t".join(map(str, row)) for row in rows))
    return folder


def runs(inside):
    """COCO's uncompressed run lengths of bool [h, w]: columns first, beginning with zeros."""
    flat = np.concatenate([[False], inside.ravel("F"), [not inside.ravel("F")[-1]]])
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    return {"size": list(inside.shape), "counts": np.diff([0, *(ends - 1)]).tolist()}


def write_coco(folder, change=lambda record: None):
    """instances_train.json: "sidewalk" as run lengths, "building" as a polygon for each block, crowds as what counts
    nowhere; the background takes the place of "road"."""
    for split in COUNT:
        record = {"images": [], "annotations": [], "categories": [{"id": 9, "name": "building"}]}
        record["categories"].append({"id": 4, "name": "sidewalk"})
        for number, (stem, mask) in enumerate(masks(split).items()):
            save_image(folder / split / f"{stem}.png", mask)
            record["images"].append({"id": number, "file_name": f"{stem}.png", "height": SIZE[0], "width": SIZE[1]})
            drawn = [(4, 0, runs(mask == 1)), (4, 1, runs(mask == IGNORED))]
            blocks = np.argwhere(mask[::10, ::10] == 2) * 10
            drawn += [(9, 0, [[x, y, x + 10, y, x + 10, y + 10, x, y + 10]]) for y, x in blocks.tolist()]
            for category, crowd, outline in drawn:
                one = {"image_id": number, "category_id": category, "iscrowd": crowd, "bbox": [0, 0, 9, 9]}
                record["annotations"].append({**one, "segmentation": outline})
        change(record)
        (folder / f"instances_{split}.json").write_text(json.dumps(record))
    return folder


def expected_names(layout):
    """The classes of a layout's set, of which the first three are `masks`'."""
    named = {"Pascal VOC": VOC_CLASSES, "Cityscapes": tuple(CITYSCAPES_CLASSES), "train ids": tuple(CITYSCAPES_CLASSES)}
    return named.get(layout, ("background", *NAMES[1:]) if layout == "COCO" else NAMES)


def write_train_ids(folder):
    """Cityscapes with *_labelTrainIds.png."""
    return write_cityscapes(folder, "labelTrainIds", (0, 1, 2, 255))


def write_colours(folder):
    """images/ and masks/ in colours, with these in classes.txt; a class of its own for black."""
    rows = [f"{name} {' '.join(map(str, colour))}" for name, colour in zip(NAMES, COLOURS, strict=True)]
    return write_pairs(folder, lambda mask, stem: coloured(np.where(mask == IGNORED, 0, mask)), "\n".join(rows))


WRITERS = {
    "images/": write_pairs,
    "train/": write_splits_above,
    "Roboflow": write_roboflow,
    "Pascal VOC": write_voc,
    "Cityscapes": write_cityscapes,
    "train ids": write_train_ids,
    "ADE20k": write_ade20k,
    "COCO": write_coco,
}
