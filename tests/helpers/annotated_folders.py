"""Small folders of images with boxes, the same in each format: three splits, four classes, an image without objects."""

import json

import numpy as np
from PIL import Image

NAMES = ("ant", "bee", "cat", "dog")
SIZE = (40, 60)  # height, width
SPLITS = {"train": 6, "val": 3, "test": 3}
WORDS = {"train": "train", "val": "validation", "test": "test"}


def objects(split):
    """{image name: [(class, (ymin, xmin, ymax, xmax) in whole pixels)]}."""
    rng = np.random.default_rng(list(SPLITS).index(split))
    found = {}
    for number in range(SPLITS[split]):
        rows = []
        for _ in range(0 if number == 1 else rng.integers(1, 4)):
            top, left = rng.integers(0, 20), rng.integers(0, 30)
            rows.append((NAMES[rng.integers(0, 4)], (top, left, top + rng.integers(5, 20), left + rng.integers(5, 30))))
        found[f"{split}{number}.png"] = rows
    found[f"{split}0.png"] += [(name, (1, 2, 9, 12)) for name in NAMES]  # VOC knows what it has seen alone
    return {name: [(label, tuple(map(int, box))) for label, box in rows] for name, rows in found.items()}


def shares(rows):
    """What reading gives: (labels, boxes [n, 4])."""
    boxes = np.array([box for _, box in rows], np.float64).reshape(-1, 4) / np.tile(SIZE, 2)
    return [NAMES.index(label) for label, _ in rows], boxes


def _image(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*SIZE, 3), np.uint8)).save(path)


def write_coco(folder, change=lambda record, split: None):
    """annotations/instances_train.json and train/; `change(record, split)` alters what is written."""
    for split in SPLITS:
        record = {"images": [], "annotations": [], "categories": []}
        record["categories"] = [{"id": 10 + 3 * number, "name": name} for number, name in enumerate(NAMES)]
        for number, (name, rows) in enumerate(objects(split).items()):
            _image(folder / split / name, hash_of(name))
            height, width = SIZE
            record["images"].append({"id": 100 + number, "file_name": name, "height": height, "width": width})
            for label, (top, left, bottom, right) in rows:
                record["annotations"].append(
                    {
                        "id": len(record["annotations"]),
                        "image_id": 100 + number,
                        "category_id": 10 + 3 * NAMES.index(label),
                        "bbox": [left, top, right - left, bottom - top],
                        "iscrowd": 0,
                    }
                )
        change(record, split)
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(record))
    return folder


def voc_xml(name, rows):
    height, width = SIZE
    boxes = "".join(
        f"<object><name>{label}</name><bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax>"
        f"<ymax>{bottom}</ymax></bndbox></object>"
        for label, (top, left, bottom, right) in rows
    )
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}</filename>{size}{boxes}</annotation>"


def write_voc(folder, change=lambda text, name: text):
    """JPEGImages/, Annotations/ and ImageSets/Main/; `change(text, name)` gives what is written."""
    for part in ("Annotations", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    for split in SPLITS:
        names = objects(split)
        for name, rows in names.items():
            _image(folder / "JPEGImages" / name, hash_of(name))
            stem = name.removesuffix(".png")
            (folder / "Annotations" / f"{stem}.xml").write_text(change(voc_xml(name, rows), name))
        stems = "\n".join(name.removesuffix(".png") for name in names)
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text(stems + "\n")
    return folder


def yolo_lines(rows):
    height, width = SIZE
    return "".join(
        f"{NAMES.index(label)} {(left + right) / 2 / width} {(top + bottom) / 2 / height} {(right - left) / width} "
        f"{(bottom - top) / height}\n"
        for label, (top, left, bottom, right) in rows
    )


def write_yolo(folder, change=lambda text, name: text):
    """images/train and labels/train with data.yaml; the text file of an image without objects is empty."""
    for split in SPLITS:
        for name, rows in objects(split).items():
            _image(folder / "images" / split / name, hash_of(name))
            path = folder / "labels" / split / f"{name.removesuffix('.png')}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(change(yolo_lines(rows), name))
    names = "\n".join(f"  {number}: {name}" for number, name in enumerate(NAMES))
    splits = "\n".join(f"{split}: images/{split}" for split in SPLITS)
    (folder / "data.yaml").write_text(f"path: ../datasets/elsewhere\n{splits}\nnames:\n{names}\n")
    return folder


def hash_of(name):
    """A seed of its own for each image."""
    return sum(map(ord, name))


WRITERS = {"COCO": write_coco, "Pascal VOC": write_voc, "YOLO": write_yolo}
