"""A folder in which the lines of README and docs run: small sets of images, and runs trained on them in seconds."""

import shutil

import numpy as np
from PIL import Image

from helpers import ROOT, annotated_folders, masked_folders
from helpers.made_once import made_once
from keras_mobattn import data
from keras_mobattn.training import TrainSettings, train

SCRIPTS = ("training", "tflite", "coreml", "tests", "docs")
QUICK = {"variant": "test", "width": 0.25, "warmup_epochs": 0.5, "learning_rate": 4e-3, "label_smoothing": 0.0}
RUNS = {  # name of a run -> its settings beyond QUICK
    "digits": {"image_size": 64, "epochs": 4, "batch_size": 64},
    "photos": {"dataset": "photos/", "image_size": 64, "epochs": 8, "batch_size": 16},
    "boxes": {"dataset": "boxes/", "task": "detection", "image_size": 64, "augment": "ssd", "epochs": 2,
              "batch_size": 2},
    "pets": {"dataset": "pets/", "task": "segmentation", "head": "lraspp", "image_size": 64, "augment": "zoom",
             "epochs": 2, "batch_size": 2},
}  # fmt: skip


def make_sets(folder):
    """photos/ and holidays/ (digits of three classes), boxes/ (COCO), pets/ (masks), single photos, and the scripts."""
    images, labels = data.take_images(data.open_source("digits"), "train", 240, (64, 64))
    for name, chosen in (("photos", range(180)), ("holidays", range(180, 240))):
        for index in chosen:
            if labels[index] < 3:
                path = folder / name / str(labels[index]) / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(images[index].astype(np.uint8)).save(path)
    annotated_folders.write_coco(folder / "boxes")
    masked_folders.write_pairs(folder / "pets")
    for name, photo in zip(("cat", "dog", "street"), data.sample_photos(3, (240, 320)), strict=True):
        Image.fromarray(photo.astype(np.uint8)).save(folder / f"{name}.jpg")
    shutil.copyfile(folder / "cat.jpg", folder / "photo.png")
    for script in SCRIPTS:
        (folder / script).symlink_to(ROOT / script)


def make_run(name, tmp_path_factory):
    """runs/NAME in this folder, and what is beside it where pages speak of it: model.keras, labels.txt. Every page's
    folder has the same sets, so that one training serves all."""

    def make(folder):
        train(TrainSettings(**QUICK, **RUNS[name]), folder / "run", progress=False)

    shutil.copytree(made_once(tmp_path_factory, f"docs_{name}", make) / "run", f"runs/{name}")
    if name == "digits":
        for file in ("model.keras", "labels.txt"):
            shutil.copyfile(f"runs/digits/{file}", file)
