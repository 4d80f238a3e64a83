"""Report the accuracy of a trained model, or of a file converted from it.

python training/evaluate.py runs/digits
python training/evaluate.py runs/digits/model_int8.tflite
python training/evaluate.py model.keras --dataset photos/
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import rich.table
import tyro

from keras_mobattn import cli
from keras_mobattn.data import open_source
from keras_mobattn.export import TFLiteModel
from keras_mobattn.models import RUN_SETTINGS, load_model, model_file
from keras_mobattn.training import evaluate, load_settings


def main(
    model: Annotated[Path, tyro.conf.Positional],
    dataset: str | None = None,
    data_dir: str | None = None,
    split: str = "test",
    batch_size: int = 64,
) -> None:
    """Print top-1 and top-5 accuracy, and the accuracy of each class.

    Args:
        model: The folder of a run, or a .keras, .h5 or .tflite file.
        dataset: A tfds name or a folder of images; default that of the run that the file lies in.
        data_dir: Where tfds keeps its sets.
        split: "train" or "test".
        batch_size: Images per step.
    """
    file = model_file(model)
    if dataset is None:
        settings = load_settings(file.parent / RUN_SETTINGS)
        source = dataclasses.replace(settings, data_dir=data_dir or settings.data_dir).open_source()
    else:
        source = open_source(dataset, data_dir)
    loaded = TFLiteModel(file) if file.suffix == ".tflite" else load_model(file)
    result = evaluate(loaded, source, split, batch_size)
    table = rich.table.Table(title=f"{file} on {source.name}, {split}: {result['num_images']} images")
    for column in ("class", "images", "top-1 %"):
        table.add_column(column, justify="left" if column == "class" else "right")
    for name, row, right in zip(source.class_names, result["confusion"], result["confusion"].diagonal(), strict=True):
        table.add_row(name, str(row.sum()), f"{100 * right / max(1, row.sum()):.2f}")
    table.add_section()
    table.add_row("all", str(result["num_images"]), f"{100 * result['accuracy']:.2f}")
    cli.console.print(table, f"Top-5 {100 * result['top5_accuracy']:.2f} %")


if __name__ == "__main__":
    cli.run(main)
