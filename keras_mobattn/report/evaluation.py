"""A page on one evaluation: its figures, by class, a plot, and the images on which the model is worst."""

import numpy as np

from keras_mobattn.report.page import Figure, Report, Section, Table, write_report
from keras_mobattn.report.pictures import framed, sized
from keras_mobattn.report.plots import bars_by_class, confusion_matrix, image_grid, precision_by_recall

WORST = 18  # images
SIDE = 320  # pixels of each
COLUMNS = 3


def _confusion(result, class_names):
    drawn = confusion_matrix(result["confusion"], class_names)
    return "What was taken for what", Figure(drawn, "True classes by predicted ones"), ""


def _precision(result, class_names):
    drawn = precision_by_recall(result["precision"])
    text = "At an overlap (IoU) of .5, the mean over classes: a lower threshold finds more, and more that are none."
    return "Precision and recall", Figure(drawn, "Precision by recall"), text


def _iou(result, class_names):
    drawn = bars_by_class(result["class_iou"], class_names)
    text = "Intersection over union: the pixels of a class that were found, of all that are or were taken for it."
    return "IoU of each class", Figure(drawn, "IoU by class"), text


# Key of a tally's result -> its section
PLOTS = {"confusion": _confusion, "precision": _precision, "class_iou": _iou}


def write_page(path, title, task, result, source, split, class_names):
    """Write the page of a tally's result on a split of the source to an .html file.

    Raises:
        OSError: it can't be written.
    """
    figures = {name: value for name, value in result.items() if isinstance(value, float)}
    summary = tuple(_shown(task, name, value) for name, value in figures.items())
    sections = tuple(_sections(task, result, source, split, class_names))
    write_report(path, Report(title, task.title, summary, sections))


def _shown(task, name, value):
    """(what a figure is, the figure): those that the task has titles for are shares."""
    if name in task.titles:
        return task.titles[name], f"{100 * value:.1f} %"
    return name.replace("_", " "), f"{value:.4g}"


def _sections(task, result, source, split, class_names):
    columns, rows = task.class_table(result, class_names)
    if rows:
        yield Section("By class", table=Table(columns, tuple(map(tuple, rows))))
    for key, section in PLOTS.items():
        if key in result:
            heading, figure, text = section(result, class_names)
            yield Section(heading, text, figures=(figure,))
    worst = task.worst(result, class_names)
    if worst:
        yield _worst(worst, result.get("mistaken", len(worst)), source, split, task)


def _worst(worst, mistaken, source, split, task):
    """The pictures of the worst of `mistaken` images; those with panels have a row each."""
    shown = {index: (place, caption, draw) for place, (index, caption, draw) in enumerate(worst[:WORST])}
    pictures = [None] * len(shown)
    examples = source.open(split).take(max(shown) + 1).as_numpy_iterator()
    for index, example in enumerate(examples):
        if index in shown:
            place, _, draw = shown[index]
            image = sized(example["image"], SIDE)  # before anything is drawn, so that letters are as large in all
            drawn = draw(image) if draw else image
            pictures[place] = [framed(each, SIDE) for each in (drawn if task.panels else [drawn])]
    captions = [text for _, caption, _ in shown.values() for text in (caption, *task.panels)]
    columns = 1 + len(task.panels) if task.panels else COLUMNS
    grid = image_grid(np.concatenate(pictures), captions, columns=columns, format="png")
    text = f"{len(shown)} of the {mistaken:,} images with a mistake, the worst first. {task.legend}"
    return Section("The worst", text, figures=(Figure(grid, "Images with mistakes"),))
