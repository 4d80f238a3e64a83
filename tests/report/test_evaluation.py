"""The page on an evaluation: figures, classes, a plot, and the worst images, of any task."""

import numpy as np
import tensorflow as tf

from keras_mobattn.data import Source
from keras_mobattn.report.evaluation import write_page
from keras_mobattn.tasks import TASKS, Task

NAMES = ("red", "green <b>", "blue")


def source():
    images = np.zeros((5, 20, 30, 3), np.uint8) + 50 * np.arange(5, dtype=np.uint8)[:, None, None, None]
    dataset = tf.data.Dataset.from_tensor_slices({"image": images, "label": np.array([0, 1, 2, 2, 1])})
    return Source("colours", NAMES, {"test": 5}, {"test": lambda: dataset})


def test_a_classifiers_page(tmp_path):
    task = TASKS["classification"]
    tally = task.tally(NAMES)
    scores = np.array([[0.9, 0.1, 0], [0.1, 0.8, 0.1], [0.55, 0.4, 0.05], [0.05, 0.9, 0.05], [0.1, 0.8, 0.1]])
    tally.add(np.eye(3)[[0, 1, 2, 2, 1]], scores)
    result = tally.result()
    assert [(index, caption) for index, caption, _ in task.worst(result, NAMES)] == [
        (3, "green <b> 0.90,\nis blue"),
        (2, "red 0.55,\nis blue"),
    ]
    write_page(tmp_path / "page.html", "mine on colours", task, result, source(), "test", NAMES)
    page = (tmp_path / "page.html").read_text()
    for text in ("mine on colours", "top-1", "60.0 %", "What was taken for what", "2 of the 2 images with a mistake"):
        assert text in page
    assert "green &lt;b&gt;" in page
    assert "<b>" not in page


def test_a_task_without_classes_or_mistakes(tmp_path):
    write_page(tmp_path / "page.html", "numbers", Task(), {"off": 0.25, "num_images": 3}, source(), "test", ())
    page = (tmp_path / "page.html").read_text()
    assert "0.25" in page
    assert "By class" not in page
    assert "The worst" not in page
