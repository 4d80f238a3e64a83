"""Report the accuracy of a model: a trained one, a file converted from it, or a published checkpoint.

mobattn evaluate runs/digits
mobattn evaluate runs/boxes --report boxes.html
mobattn evaluate runs/digits/model_int8.tflite
mobattn evaluate model.keras --dataset photos/
mobattn evaluate --weights mobilevitv2_100.cvnets_in1k --dataset imagenet2012 --data-dir tfds/
mobattn evaluate --weights apple/deeplabv3-mobilevit-small --dataset VOCdevkit/VOC2012/
"""

import warnings
from pathlib import Path
from typing import Annotated, Literal

import tyro

from keras_mobattn import cli
from keras_mobattn.errors import InputError
from keras_mobattn.files import read_json
from keras_mobattn.run_folder import RunFolder


def main(
    model: Annotated[Path | None, tyro.conf.Positional] = None,
    weights: str | None = None,
    dataset: str | None = None,
    data_dir: str | None = None,
    split: str = "test",
    on_corrupt: Literal["error", "skip"] = "error",
    batch_size: int = 64,
    report: Path | None = None,
    input_scale: tuple[float, ...] | None = None,
    input_bias: tuple[float, ...] | None = None,
) -> None:
    """Print how well a model does; for a classifier top-1 and top-5 accuracy, and the accuracy of each class.

    Classes go by their names: the images may have them in another order than the model, and some may be missing.

    Args:
        model: The folder of a run, or a .keras, .h5, .tflite or .mlpackage file.
        weights: A published checkpoint, e.g. timm/mobilevitv2_100.cvnets_in1k, in place of the model; with both, the
            model is taken for one that was made from it. Images are resized and cropped as the checkpoint asks; without
            one as in the run that the model lies in.
        dataset: A tfds name or a folder of images; default the images of the run that the file lies in. Of another
            folder without train/ and test/ inside, all images are evaluated; a moved or copied folder of the run's own
            images is no other one.
        data_dir: Where tfds keeps its sets.
        split: "train", "test", or "validation" where there is one beside the test; the test of imagenet2012 is its
            validation split.
        on_corrupt: What to do with images in a folder that can't be decoded.
        batch_size: Images per step.
        report: Write a page to this .html, with the images on which the model is worst.
        input_scale: What RGB 0..255 is multiplied by to be what the model takes, a number or one for each channel: for
            a Keras file that doesn't say it itself. 0.00784314 with --input-bias -1 for -1..1.
        input_bias: What is added then.
    """
    from keras_mobattn.commands.opened import open_model
    from keras_mobattn.training import evaluate
    from keras_mobattn.weights.tags import published_segmenter

    if report is not None and report.suffix.lower() != ".html":
        raise InputError(f"Expected an .html file as --report. Received: {str(report)!r}.")
    run = None if model is None else RunFolder.of(model)
    if dataset is None and run is None:
        raise InputError(
            "Expected --dataset, a tfds name such as imagenet2012 or a folder of images, or a model in the folder of a "
            f"run, whose data are then taken. Received: {'no model' if model is None else model}."
        )
    opened = None
    if weights is None or published_segmenter(weights):  # others are for ImageNet, which is looked for first
        opened = open_model(model, weights, input_scale, input_bias)
    source = _open_source(run, opened, dataset, data_dir, on_corrupt)
    if opened is None:
        _expect_imagenet(source)  # before anything is downloaded
        opened = open_model(model, weights, input_scale, input_bias)
    names = opened.class_names
    if opened.named and not opened.tag:
        source = source.with_classes(names)
    elif not opened.named:
        names = source.class_names
        warnings.warn(
            f"{opened.title} does not name its classes: they are taken to be those of {source.name}, in that order.",
            stacklevel=1,
        )
    told = {"input_scale": input_scale, "input_bias": input_bias}
    with cli.progress() as bar:
        step = bar.add_task("Evaluating", total=None)
        result = evaluate(
            opened.model,
            source,
            split,
            batch_size,
            task=opened.task,
            progress=lambda done, total: bar.update(step, **_shown(done, total)),
            **opened.view,
            **told,
        )
    title = f"{opened.title} on {source.name}, {split}: {result['num_images']} images"
    published = opened.tag and {"accuracy": opened.tag.top1, "top5_accuracy": opened.tag.top5}
    for part in opened.task.report(title, result, names, published):
        cli.console.print(part, markup=False)
    if report is not None:
        from keras_mobattn.report.evaluation import write_page

        write_page(report, title, opened.task, result, source, split, names)
        cli.say(f"Written: {report}.")


def _shown(done, total):
    """What the bar shows; figures of all images at once, as COCO's, come at the end, and nobody knows when."""
    if done < total:
        return {"completed": done, "total": total}
    return {"description": f"Figures of {total:,} images", "total": None}


def _open_source(run, opened, dataset, data_dir, on_corrupt):
    if run and (dataset is None or _is_same(dataset, run.settings.dataset)):
        source = run.open_source(data_dir, on_corrupt)
        if changes := run.changes_in(source):
            warnings.warn(
                f"{source.name} is not what it was when {run.path} began: {changes}. Where it has no test images of "
                "its own, those that are held out now may be among those that the run was trained on.",
                stacklevel=1,
            )
        return source
    from keras_mobattn.data import is_folder, open_source

    targets = run.task.targets if run else opened.task.targets if opened else ("label",)
    source = open_source(dataset, data_dir, on_corrupt, targets=targets, for_test=True)
    learned = _as_in_training(run, dataset, on_corrupt, source) if run and is_folder(dataset) else None
    return learned or source


def _as_in_training(run, dataset, on_corrupt, whole):
    """The Source of a folder with the run's own images, moved or copied, split as the run did; None of another one."""
    began = read_json(run.data_file, None)
    if began is None or sum(began.get("num_examples", {}).values()) != sum(whole.num_examples.values()):
        return None
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            source = run.open_source(on_corrupt=on_corrupt, dataset=dataset)
        except InputError:  # a folder to test with may have one class, say
            return None
    if run.changes_in(source):
        return None
    for each in told:
        if " in two splits" in str(each.message) and len(whole.num_examples) == 1:  # `whole` has told the others
            warnings.warn(each.message, stacklevel=2)
    return source


def _is_same(dataset, other):
    """Whether both mean one set, or one folder, as photos, photos/ and ./photos do."""
    return dataset == other or (Path(dataset).is_dir() and Path(dataset).resolve() == Path(other).resolve())


def _expect_imagenet(source):
    from keras_mobattn.weights import imagenet_classes

    if source.class_names != tuple(wnid for wnid, _ in imagenet_classes()):
        raise InputError(
            "Expected ImageNet's 1000 classes, named by WordNet ids, for --weights: imagenet2012, or a folder with "
            f"n01440764/ to n15075141/. Received: {source.name!r} with {len(source.class_names)} classes, "
            f"{', '.join(source.class_names[:3])} ..."
        )


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
