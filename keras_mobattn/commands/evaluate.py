"""Report the accuracy of a trained model, of a file converted from it, or of a published checkpoint.

python training/evaluate.py runs/digits
python training/evaluate.py runs/digits/model_int8.tflite
python training/evaluate.py model.keras --dataset photos/
python training/evaluate.py --weights mobilevitv2_100.cvnets_in1k --dataset imagenet2012 --data-dir tfds/
"""

from pathlib import Path
from typing import Annotated

import tyro

from keras_mobattn import cli
from keras_mobattn.commands.opened import open_model
from keras_mobattn.data import open_source
from keras_mobattn.errors import InputError
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.training import evaluate
from keras_mobattn.weights import imagenet_classes


def main(
    model: Annotated[Path | None, tyro.conf.Positional] = None,
    weights: str | None = None,
    dataset: str | None = None,
    data_dir: str | None = None,
    split: str = "test",
    batch_size: int = 64,
) -> None:
    """Print how well a model does; for a classifier top-1 and top-5 accuracy, and the accuracy of each class.

    Args:
        model: The folder of a run, or a .keras, .h5 or .tflite file.
        weights: A published checkpoint, e.g. timm/mobilevitv2_100.cvnets_in1k, in place of the model; with both, the
            model is taken for one that was made from it. Images are resized and cropped as the checkpoint asks; without
            one as in the run that the model lies in.
        dataset: A tfds name or a folder of images; default that of the run that the file lies in.
        data_dir: Where tfds keeps its sets.
        split: "train" or "test"; the test of imagenet2012 is its validation split.
        batch_size: Images per step.
    """
    run = None if model is None else RunFolder.of(model)
    if dataset is None and run is None:
        raise InputError(
            "Expected --dataset, a tfds name such as imagenet2012 or a folder of images, or a model in the folder of a "
            f"run, whose data are then taken. Received: {'no model' if model is None else model}."
        )
    source = _open_source(run, dataset, data_dir)
    if weights is not None:
        _expect_imagenet(source)  # before anything is downloaded
    opened = open_model(model, weights)
    result = evaluate(opened.model, source, split, batch_size, task=opened.task, **opened.view)
    names = opened.class_names if opened.tag else source.class_names
    title = f"{opened.title} on {source.name}, {split}: {result['num_images']} images"
    published = opened.tag and {"accuracy": opened.tag.top1, "top5_accuracy": opened.tag.top5}
    for part in opened.task.report(title, result, names, published):
        cli.console.print(part)


def _open_source(run, dataset, data_dir):
    if dataset is None:
        return run.open_source(data_dir)
    return open_source(dataset, data_dir, targets=run.task.targets if run else ("label",))


def _expect_imagenet(source):
    if source.class_names != tuple(wnid for wnid, _ in imagenet_classes()):
        raise InputError(
            "Expected ImageNet's 1000 classes, named by WordNet ids, for --weights: imagenet2012, or a folder with "
            f"n01440764/ to n15075141/. Received: {source.name!r} with {len(source.class_names)} classes, "
            f"{', '.join(source.class_names[:3])} ..."
        )


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
