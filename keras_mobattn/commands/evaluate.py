"""Report the accuracy of a trained model, of a file converted from it, or of a published checkpoint.

python training/evaluate.py runs/digits
python training/evaluate.py runs/digits/model_int8.tflite
python training/evaluate.py model.keras --dataset photos/
python training/evaluate.py --weights mobilevitv2_100.cvnets_in1k --dataset imagenet2012 --data-dir tfds/
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import rich.table
import tyro

from keras_mobattn import cli
from keras_mobattn.commands.classifier import open_classifier
from keras_mobattn.data import open_source
from keras_mobattn.errors import InputError
from keras_mobattn.models import RUN_SETTINGS, model_file
from keras_mobattn.training import evaluate, load_settings
from keras_mobattn.weights import imagenet_classes


def main(
    model: Annotated[Path | None, tyro.conf.Positional] = None,
    weights: str | None = None,
    dataset: str | None = None,
    data_dir: str | None = None,
    split: str = "test",
    batch_size: int = 64,
) -> None:
    """Print top-1 and top-5 accuracy, and the accuracy of each class.

    Args:
        model: The folder of a run, or a .keras, .h5 or .tflite file.
        weights: A published checkpoint, e.g. timm/mobilevitv2_100.cvnets_in1k, in place of the model; with both, the
            model is taken for one that was made from it. Images are resized and cropped as the checkpoint asks.
        dataset: A tfds name or a folder of images; default that of the run that the file lies in.
        data_dir: Where tfds keeps its sets.
        split: "train" or "test"; the test of imagenet2012 is its validation split.
        batch_size: Images per step.
    """
    source = _open_source(model, dataset, data_dir)
    if weights is not None:
        _expect_imagenet(source)
    classifier = open_classifier(model, weights)
    result = evaluate(classifier.model, source, split, batch_size, **classifier.view)
    names = classifier.class_names if classifier.tag else source.class_names
    title = f"{classifier.title} on {source.name}, {split}: {result['num_images']} images"
    cli.console.print(_table(title, names, result))
    for top, key in ((1, "accuracy"), (5, "top5_accuracy")):
        published = f", published {getattr(classifier.tag, f'top{top}'):.2f} %" if classifier.tag else ""
        cli.console.print(f"Top-{top} {100 * result[key]:.2f} %{published}")


def _open_source(model, dataset, data_dir):
    if dataset is not None:
        return open_source(dataset, data_dir)
    if model is None:
        raise InputError("Expected --dataset, a tfds name such as imagenet2012 or a folder of images. Received: none.")
    settings = load_settings(model_file(model).parent / RUN_SETTINGS)
    return dataclasses.replace(settings, data_dir=data_dir or settings.data_dir).open_source()


def _expect_imagenet(source):
    if source.class_names != tuple(wnid for wnid, _ in imagenet_classes()):
        raise InputError(
            "Expected ImageNet's 1000 classes, named by WordNet ids, for --weights: imagenet2012, or a folder with "
            f"n01440764/ to n15075141/. Received: {source.name!r} with {len(source.class_names)} classes, "
            f"{', '.join(source.class_names[:3])} ..."
        )


def _table(title, class_names, result):
    table = rich.table.Table(title=title)
    for column in ("class", "images", "top-1 %"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for name, row, right in zip(class_names, result["confusion"], result["confusion"].diagonal(), strict=True):
        table.add_row(name, str(row.sum()), f"{100 * right / max(1, row.sum()):.2f}")
    table.add_section()
    table.add_row("all", str(result["num_images"]), f"{100 * result['accuracy']:.2f}")
    return table


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
