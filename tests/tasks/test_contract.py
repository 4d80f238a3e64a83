"""What tasks answer: which models are theirs, what outputs are called, how results are told."""

import numpy as np
import pytest
import rich.console
import tf_keras as keras

from keras_mobattn import InputError, export
from keras_mobattn.data import AUGMENTATIONS
from keras_mobattn.data.targets import MOVES, SIDES, WHOLE_MASK
from keras_mobattn.layers import InputRange
from keras_mobattn.tasks import FEATURES, TASKS, MetricTally, Objective, Task, task_of
from keras_mobattn.tasks.classification import BINARY_CLASSIFICATION, CLASSIFICATION
from keras_mobattn.training import TrainSettings


def model(*layers, several=False):
    image = x = keras.Input((8, 8, 3))
    for layer in (InputRange(), keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), *layers):
        x = layer(x)
    return keras.Model(image, {"b": x, "a": keras.layers.Dense(2)(x)} if several else x)


ENDINGS = {  # the last layers -> (the task, the outputs' names)
    "softmax": ([keras.layers.Dense(3, activation="softmax")], CLASSIFICATION, ("probabilities",)),
    "softmax layer": ([keras.layers.Dense(3), keras.layers.Softmax()], CLASSIFICATION, ("probabilities",)),
    "sigmoid": ([keras.layers.Dense(3, activation="sigmoid")], CLASSIFICATION, ("probabilities",)),
    "one sigmoid": ([keras.layers.Dense(1, activation="sigmoid")], BINARY_CLASSIFICATION, ("probabilities",)),
    "one number": ([keras.layers.Dense(1)], FEATURES, ("features",)),
    "one softmax": ([keras.layers.Dense(1, activation="softmax")], FEATURES, ("features",)),
    "logits": ([keras.layers.Dense(3)], CLASSIFICATION, ("logits",)),
    "relu": ([keras.layers.Dense(3, activation="relu")], FEATURES, ("features",)),
    "pooled": ([], FEATURES, ("features",)),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_a_model_is_told_by_its_last_layers(name):
    layers, task, names = ENDINGS[name]
    given = model(*layers)
    assert task_of(given) is task
    source = export.load(given)
    assert (source.task, source.output_names) == (task, names)
    assert source.scores_classes == (task is not FEATURES)
    assert source.gives_probabilities == (names == ("probabilities",))


class Subclassed(keras.Model):
    """A classifier whose layers nobody sees from outside."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3, activation="softmax")

    def call(self, pooled):
        return self.dense(pooled)


def two_outputs():
    """A model of pooled features [B, 4] whose outputs are a number and, of a Dense layer, logits."""
    pooled = keras.Input((4,))
    return keras.Model(pooled, [keras.layers.Dense(1, activation="sigmoid")(pooled), keras.layers.Dense(3)(pooled)])


INSIDE = {  # the last layers, some within a model -> (the task, the output's name)
    "functional": (lambda x: model(keras.layers.Dense(3))(x), CLASSIFICATION, "logits"),
    "two deep": (lambda x: keras.Sequential([model(keras.layers.Dense(3))])(x), CLASSIFICATION, "logits"),
    "without an input": (
        lambda x: keras.Sequential([model(), keras.layers.Softmax()])(x),
        CLASSIFICATION,
        "probabilities",
    ),
    "features": (lambda x: model()(x), FEATURES, "features"),
    "the second of two": (lambda x: two_outputs()(model()(x))[1], CLASSIFICATION, "logits"),
    "the first of two": (lambda x: two_outputs()(model()(x))[0], BINARY_CLASSIFICATION, "probabilities"),
    "called again": (lambda x: twice(keras.Sequential([keras.layers.Dense(4)]), model()(x)), CLASSIFICATION, "logits"),
    "subclassed": (lambda x: Subclassed()(model()(x)), FEATURES, "features"),
    "a layer of a subclassed one": (
        lambda x: keras.layers.Softmax()(Subclassed()(model()(x))),
        CLASSIFICATION,
        "probabilities",
    ),
}


def twice(layer, x):
    return layer(layer(x))


def test_a_map_of_scores_is_no_classifier_of_images():
    """Its pixels are classes, and nobody knows that it segments."""
    image = keras.Input((8, 8, 3))
    given = keras.Model(image, keras.layers.Softmax()(keras.layers.Conv2D(3, 3)(InputRange()(image))))
    assert task_of(given) is FEATURES


@pytest.mark.parametrize("name", INSIDE)
def test_a_model_within_a_model(name):
    build, task, output = INSIDE[name]
    image = keras.Input((8, 8, 3))
    given = keras.Model(image, build(image))
    assert task_of(given) is task
    assert export.load(given).output_names == (output,)


def test_several_outputs_keep_their_names():
    given = model(keras.layers.Dense(3, activation="softmax"), several=True)
    assert task_of(given) is FEATURES
    source = export.load(given)
    assert source.output_names == ("a", "b")
    images = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    assert set(source.predict(images)) == {"a", "b"}
    with pytest.raises(InputError, match="Expected no labels for a model that isn't a classifier"):
        export.load(given, ("x", "y"))


@pytest.mark.parametrize("name", [*TASKS, "none"])
def test_every_task_keeps_the_contract(name):
    task = TASKS.get(name, FEATURES)
    assert isinstance(task, Task)
    assert task.title
    assert task.evaluates_whole or task.best in {metric.name for metric in task.metrics()} | {"loss"}
    assert set(task.truth) <= {*task.targets, SIDES, WHOLE_MASK}
    assert task.augment in AUGMENTATIONS
    task.expect_settings(TrainSettings(task=name if name in TASKS else "classification", label_smoothing=0.0))
    assert set(task.probabilities) <= set(task.class_scores) or not task.class_scores
    assert set(task.targets) <= {"label", "box_labels", *MOVES}
    better, worse = (1.0, 0.5) if task.higher_is_better else (0.5, 1.0)
    assert task.is_better(better, worse)
    assert not task.is_better(worse, better)
    assert not task.is_better(better, better)  # the first of equals stays
    assert task.is_better(worse, None)
    assert not task.is_better(float("nan"), worse)


def test_a_classifiers_results():
    labels = np.eye(3)[[0, 1, 2, 2]]
    scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
    tally = CLASSIFICATION.tally("abc")
    for part in (slice(0, 3), slice(3, 4)):
        tally.add(labels[part], scores[part])
    result = tally.result()
    assert (result["accuracy"], result["top5_accuracy"], result["num_images"]) == (0.75, 1.0, 4)
    np.testing.assert_array_equal(result["confusion"], [[1, 0, 0], [0, 1, 0], [1, 0, 1]])
    console = rich.console.Console(width=60, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for part in CLASSIFICATION.report("title", result, "abc", {"accuracy": 78.1, "top5_accuracy": 94.2}):
        console.print(part)
    text = console.export_text()
    assert "Top-1 75.00 %, published 78.10 %" in text
    assert "Top-5" not in text  # of three classes
    assert CLASSIFICATION.last_words({"test_accuracy": 0.98765}) == "Test accuracy 98.77 %"
    assert CLASSIFICATION.agreement({"logits": scores}, {"logits": scores}) == 1
    assert CLASSIFICATION.agreement({"logits": scores}, {"logits": scores[[1, 0, 2, 3]]}) == 0.5


def test_the_base_class_counts_by_metrics():
    tally = MetricTally([keras.metrics.MeanAbsoluteError("off")])
    tally.add(np.zeros((3, 1)), np.ones((3, 1)))
    tally.add(np.zeros((1, 1)), 5 * np.ones((1, 1)))
    assert tally.result() == {"off": 2.0, "num_images": 4}
    assert Task().report("here", tally.result(), ()) == ["here", "off 2", "num images 4"]
    with pytest.raises(NotImplementedError, match="Objective must define losses"):
        Objective()(None, None, {"outputs": None})
