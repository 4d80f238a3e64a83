"""Learning from a teacher: losses against their formulas, a teacher that nothing moves, runs that go on the same."""

import dataclasses
import json
import signal

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from keras_mobattn import InputError
from keras_mobattn.catalog import DISTILLATIONS
from keras_mobattn.layers import InputRange, global_policy
from keras_mobattn.models import DeiT, MobileViTv2, load_model
from keras_mobattn.tasks.classification import CLASSIFICATION, distillation
from keras_mobattn.tasks.classification.distillation import Distillation, Teacher, open_teacher
from keras_mobattn.training import Stopped, TrainSettings, run, train
from keras_mobattn.training.build import copy_model
from keras_mobattn.training.learner import Learner
from keras_mobattn.training.optimizer import make_optimizer
from keras_mobattn.weights import imagenet_classes

SETTINGS = TrainSettings(epochs=2, batch_size=8, learning_rate=0.1, warmup_epochs=0.0, ema_decay=0.5)
CLASSES = 3
NAMES = ("a", "b", "c")
RNG = np.random.default_rng(0)
IMAGES = (RNG.uniform(0, 205, (8, 1, 1, 3)) + RNG.uniform(0, 50, (8, 8, 8, 3))).astype("float32")  # each its colour
LABELS = np.eye(CLASSES, dtype="float32")[[0, 1, 2, 2, 1, 0, 0, 1]]


LARGE = keras.initializers.RandomNormal(stddev=3.0, seed=0)


def network(heads=2, norm=True, seed=0, size=None, classes=CLASSES, activation="softmax"):
    """A convolution, and one head or two whose logits are averaged, by the names that the models have."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((size, size, 3))
    x = keras.layers.Rescaling(1 / 128, -1)(image)
    x = keras.layers.Conv2D(4, 3, activation="tanh")(x)
    x = keras.layers.BatchNormalization()(x) if norm else x
    x = keras.layers.GlobalAveragePooling2D()(x)
    names = ("predictions", "predictions_dist")[:heads]
    scores = [keras.layers.Dense(classes, kernel_initializer=LARGE, name=name, dtype="float32")(x) for name in names]
    x = keras.layers.Average(name="predictions_mean")(scores) if heads == 2 else scores[0]
    return keras.Model(
        image, keras.layers.Activation(activation, name="probabilities", dtype="float32")(x), name="small"
    )


def teacher_of(model=None):
    return Teacher(model or network(1, seed=5), CLASSES, (8, 8))


def learner_of(loss, heads=2, norm=True, settings=SETTINGS, **options):
    model = network(heads, norm)
    student = copy_model(model)
    optimizer, _ = make_optimizer(settings, 10, student.trainable_weights)
    return Learner(student, model, optimizer, task=CLASSIFICATION, loss=loss, **options)


def step(learner, images=IMAGES):
    return learner.make_train_function()(iter([(tf.constant(images), tf.constant(LABELS))]))


def values(variables):
    return [variable.numpy() for variable in variables]


def log_softmax(x):
    x = np.asarray(x, np.float64)
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def expected_losses(kind, by_label, by_teacher, taught, alpha, temperature, smoothing):
    """The paper's formulas in float64."""
    targets = LABELS.astype(np.float64) * (1 - smoothing) + smoothing / CLASSES
    from_labels = -np.sum(targets * log_softmax(by_label), -1)
    p, q = (log_softmax(np.asarray(each, np.float64) / temperature) for each in (taught, by_teacher))
    distance = {
        "hard": -log_softmax(by_teacher)[np.arange(len(taught)), np.argmax(taught, -1)],
        "soft": temperature**2 * np.sum(np.exp(p) * (p - q), -1),
    }
    return (1 - alpha) * from_labels + alpha * distance[kind]


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize(("alpha", "temperature", "smoothing"), [(0.5, 1.0, 0.0), (0.3, 3.0, 0.1), (1.0, 0.5, 0.1)])
@pytest.mark.parametrize("kind", DISTILLATIONS)
def test_losses_are_the_papers(kind, alpha, temperature, smoothing, heads):
    teacher, student = teacher_of(), network(heads)
    loss = Distillation(teacher, kind, alpha, temperature, smoothing)
    outputs = loss.student(student)(IMAGES)
    names = ("predictions", "predictions_dist" if heads == 2 else "predictions")
    by_label, by_teacher = keras.Model(student.inputs, [student.get_layer(name).output for name in names])(IMAGES)
    taught = keras.Model(teacher._model.inputs, teacher._model.get_layer("predictions").output)(IMAGES)
    assert len(set(np.argmax(taught, -1))) > 1  # else it would not matter which image a class is for
    expected = expected_losses(kind, by_label, by_teacher, taught, alpha, temperature, smoothing)
    np.testing.assert_allclose(loss(IMAGES, LABELS, outputs), expected, rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(outputs["outputs"], student(IMAGES), atol=1e-7)


def test_soft_is_torchs_divergence():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    teacher, student = RNG.normal(0, 3, (2, 8, CLASSES))
    logs = (torch.log_softmax(torch.tensor(each) / 2.5, 1) for each in (student, teacher))
    expected = 2.5**2 * torch.nn.functional.kl_div(*logs, reduction="batchmean", log_target=True)
    assert float(tf.reduce_mean(DISTILLATIONS["soft"](teacher, student, 2.5))) == pytest.approx(float(expected))


@pytest.mark.parametrize("kind", DISTILLATIONS)
def test_a_step_moves_both_heads_and_nothing_of_the_teacher(kind):
    model = network(1, seed=5)
    teacher = teacher_of(model)
    before = values(model.weights)
    learner = learner_of(Distillation(teacher, kind))
    started = values(learner.network.trainable_weights)
    for _ in range(3):
        step(learner)
    for one, other in zip(values(model.weights), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.trainable_weights == []
    for weight, was in zip(learner.network.trainable_weights, started, strict=True):
        assert not np.array_equal(weight, was), weight.name
    with tf.GradientTape() as tape:
        tape.watch(model.weights)
        loss = tf.reduce_mean(learner._loss(IMAGES, LABELS, learner._student(IMAGES)))
    assert tape.gradient(loss, model.weights) == [None] * len(model.weights)


def test_the_teacher_is_in_inference_mode_whatever_the_student_is():
    model = network(1, seed=5)
    by_training = model(IMAGES, training=True)
    expected = model(IMAGES)
    assert np.abs(by_training - expected).max() > 1e-2
    taught = teacher_of(model)
    model.trainable = True  # a frozen batch norm would infer anyway
    outputs = Distillation(taught).student(network())(IMAGES, training=True)
    assert np.isfinite(Distillation(taught)(IMAGES, LABELS, outputs)).all()
    np.testing.assert_allclose(tf.exp(taught(tf.constant(IMAGES))), expected, atol=1e-6)
    np.testing.assert_allclose(model(IMAGES), expected, atol=0)  # no statistics moved


def test_the_teacher_sees_its_own_size_and_its_scores_are_logits_or_probabilities():
    sized = network(1, seed=5, size=12)
    expected = sized(tf.image.resize(IMAGES, (12, 12)))
    np.testing.assert_allclose(tf.exp(teacher_of(sized)(tf.constant(IMAGES))), expected, atol=1e-6)
    logits = network(1, seed=5, size=12, activation="linear")
    np.testing.assert_allclose(tf.nn.softmax(teacher_of(logits)(tf.constant(IMAGES))), expected, atol=1e-6)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_accumulated_and_compiled_steps_are_the_whole_batchs(jit_compile):
    teacher = teacher_of(network(1, seed=5, size=12))
    whole = learner_of(Distillation(teacher, "soft"), norm=False)
    parts = learner_of(Distillation(teacher, "soft"), norm=False, grad_accum_steps=4, jit_compile=jit_compile)
    logs = [step(learner) for learner in (whole, parts)]
    for one, other in zip(values(whole.network.weights), values(parts.network.weights), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)
    assert float(logs[0]["loss"]) == pytest.approx(float(logs[1]["loss"]), rel=1e-5)


def test_half_precision():
    with global_policy("mixed_float16"):
        learner = learner_of(
            Distillation(teacher_of(), "hard"), settings=dataclasses.replace(SETTINGS, precision="mixed_float16")
        )
    learner.optimizer._loss_scale.current_loss_scale.assign(2.0**10)
    before = values(learner.network.trainable_weights)
    assert 0.1 < float(step(learner)["loss"]) < 10
    assert not any(np.array_equal(a, b) for a, b in zip(values(learner.network.trainable_weights), before, strict=True))


def test_a_mirrored_step_is_the_same():
    plain = learner_of(Distillation(teacher_of(), "hard"))
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        mirrored = learner_of(Distillation(teacher_of(), "hard"))
    for learner in (plain, mirrored):
        step(learner)
    for one, other in zip(values(plain.network.weights), values(mirrored.network.weights), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("kind", DISTILLATIONS)
def test_a_teacher_that_is_not_finite_leaves_no_trace(kind):
    """For one image of a batch; its class, the first, would be finite."""
    model = network(1, seed=5)
    learner = learner_of(Distillation(teacher_of(model), kind), on_nan="skip")
    step(learner)
    before = values([*learner.network.weights, *learner.optimizer.variables, *learner.state.averages])
    bias = model.get_layer("predictions").bias
    good = bias.numpy()
    bias.assign(good + [0, 0, np.nan])
    step(learner)
    after = values([*learner.network.weights, *learner.optimizer.variables, *learner.state.averages])
    for one, other in zip(after, before, strict=True):
        np.testing.assert_array_equal(one, other)
    bias.assign(good)
    step(learner)
    assert (int(learner.state.step), int(learner.state.skipped), int(learner.state.halted)) == (3, 1, -1)
    assert not np.array_equal(values(learner.network.weights)[0], before[0])


FORMATS = {"model.keras": {}, "model.h5": {}, "saved_model": {"save_format": "tf"}}


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_of_each_kind_is_a_teacher(name, tmp_path):
    model = network(2, seed=5)
    model.save(tmp_path / name, **FORMATS[name])
    with pytest.warns(UserWarning, match=f"{name} does not name its classes: they are taken to be "):
        taught = open_teacher(str(tmp_path / name), NAMES, (8, 8))(tf.constant(IMAGES))
    np.testing.assert_allclose(tf.exp(taught), model(IMAGES), atol=1e-6)


def test_a_published_checkpoint_is_a_teacher(monkeypatch):
    """In the precision of the run; what pretrained_model itself does is weights/test_tags.py's matter."""
    asked = []

    def pretrained_model(name):
        asked.append((name, keras.mixed_precision.global_policy().name))
        return network(1, classes=1000)

    monkeypatch.setattr(distillation, "pretrained_model", pretrained_model)
    settings = dataclasses.replace(
        SETTINGS, teacher="timm/mobilevitv2_100.cvnets_in1k", distillation="hard", precision="mixed_bfloat16"
    )
    wnids = tuple(wnid for wnid, _ in imagenet_classes())
    assert isinstance(CLASSIFICATION.objective(settings, wnids), Distillation)
    with pytest.raises(InputError, match="a teacher of the data's classes.*does not know goldfish"):
        CLASSIFICATION.objective(settings, ("goldfish", *wnids[1:]))
    assert asked == [("timm/mobilevitv2_100.cvnets_in1k", "mixed_bfloat16")]


def wrong(path, **options):
    network(1, **options).save(path)


def not_finite(path):
    model = network(1)
    model.get_layer("predictions").bias.assign([0, np.nan, 0])
    model.save(path)


def not_a_classifier(path):
    model = network(1)
    keras.Model(model.inputs, model.layers[2].output).save(path)


def two_outputs(path):
    model = network(2)
    keras.Model(model.inputs, [model.get_layer(name).output for name in ("predictions", "predictions_dist")]).save(path)


def grey(path):
    image = keras.Input((None, None, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(CLASSES, 3)(InputRange()(image)))
    keras.Model(image, pooled).save(path)


def too_large(path):
    """Its kernel is larger than the images."""
    image = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(CLASSES, 11)(InputRange()(image)))
    keras.Model(image, pooled).save(path)


def of_an_unknown_range(path):
    image = keras.Input((8, 8, 3))
    keras.Model(image, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(CLASSES, 3)(image))).save(path)


BAD_TEACHERS = {  # what is written to the path, and what is said of it
    "missing": (
        lambda path: None,
        "a name that keras_mobattn.list_weights.. prints. Received: .*which is none of them",
    ),
    "classes": (lambda path: wrong(path, classes=7), "the 3 classes of the data.*has 7"),
    "binary": (lambda path: wrong(path, classes=1), "a score for each of the 3 classes.*gives one probability"),
    "not finite": (not_finite, "a teacher with finite scores"),
    "a map": (not_a_classifier, r"gives scores \[B, classes\]. Received: .*\(None, None, None, 4\)"),
    "two outputs": (two_outputs, r"gives scores \[B, classes\]"),
    "grey": (grey, "RGB images of 8 x 8 pixels. Received: .*(None, None, None, 1)"),
    "too large": (too_large, "RGB images of 8 x 8 pixels"),
    "unknown range": (of_an_unknown_range, "a teacher that says which numbers it takes.*InputRange"),
    "no model": (lambda path: path.write_bytes(b"no model"), "unreadable"),
}


@pytest.mark.parametrize("case", BAD_TEACHERS)
def test_bad_teachers(case, tmp_path):
    write, message = BAD_TEACHERS[case]
    write(tmp_path / "teacher.keras")
    with pytest.raises(InputError, match=message):
        open_teacher(str(tmp_path / "teacher.keras"), NAMES, (8, 8))


def test_the_heads_of_a_model():
    """The second learns from the teacher, the first from the labels."""
    options = {"variant": "test", "input_shape": (32, 32, 3), "classes": CLASSES}
    models = [DeiT(distilled=True, **options), DeiT(**options), MobileViTv2(**options)]
    seconds = ["predictions_dist", "predictions", "predictions"]
    for model, second in zip(models, seconds, strict=True):
        outputs = Distillation(None).student(model).output
        assert outputs["class_logits"] is model.get_layer("predictions").output
        assert outputs["distilled_logits"] is model.get_layer(second).output
        assert outputs["outputs"] is model.output


def test_a_student_without_logits():
    model = network(1)
    renamed = keras.models.clone_model(
        model, clone_function=lambda x: type(x).from_config({**x.get_config(), "name": f"a_{x.name}"})
    )
    with pytest.raises(InputError, match="a layer 'predictions'"):
        Distillation(None).student(renamed)


BAD_SETTINGS = {
    "teacher alone": ({"teacher": "x.keras"}, "Expected distillation='hard' or 'soft' beside teacher"),
    "no teacher": ({"distillation": "hard"}, "Expected a teacher beside distillation"),
    "share of none": ({"distillation_alpha": 0.7}, "Expected a teacher beside distillation_alpha"),
    "temperature of a class": (
        {"teacher": "x.keras", "distillation": "hard", "distillation_temperature": 2.0},
        "Expected distillation='soft' beside distillation_temperature",
    ),
    "share": (
        {"teacher": "x.keras", "distillation": "hard", "distillation_alpha": 1.5},
        "Expected distillation_alpha to be a number from 0 to 1. Received: 1.5",
    ),
    "temperature": (
        {"teacher": "x.keras", "distillation": "soft", "distillation_temperature": 0.0},
        "Expected distillation_temperature to be a number above 0",
    ),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_bad_settings(case):
    settings, message = BAD_SETTINGS[case]
    with pytest.raises(InputError, match=message):
        TrainSettings(**settings)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """Settings with a teacher in a run's folder, and the folder of a run that nothing interrupted. The student, small
    and with two heads, is in the place of the model of the settings."""
    folder = tmp_path_factory.mktemp("taught")
    (folder / "teacher").mkdir()
    network(1, seed=5, size=32, classes=10).save(folder / "teacher" / "model.keras")
    (folder / "teacher" / "settings.json").write_text("{}")
    settings = TrainSettings(
        data_dir=str(folder / "tfds"), augment="none", epochs=1, warmup_epochs=0.0, batch_size=64,
        teacher=str(folder / "teacher"), distillation="soft",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "build_model", lambda settings, names, task: network(2, size=32, classes=len(names)))
        result = train(settings, folder / "whole", progress=False)
        assert result["teacher"] == settings.teacher
        yield settings, folder / "whole"


@pytest.mark.sampled
def test_stopped_and_resumed_is_the_same(taught, tmp_path):
    settings, whole = taught
    stop = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: signal.raise_signal(signal.SIGTERM) if batch == 7 else None
    )
    with pytest.raises(Stopped, match="step-00000008"):
        train(settings, tmp_path / "run", progress=False, callbacks=[stop])
    train(settings, tmp_path / "run", resume=True, progress=False)
    models = [load_model(folder / "model.keras") for folder in (tmp_path / "run", whole)]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)
    results = [json.loads((folder / "result.json").read_text()) for folder in (tmp_path / "run", whole)]
    assert {**results[0], "seconds": 0} == {**results[1], "seconds": 0}
    assert json.loads((whole / "settings.json").read_text())["teacher"] == settings.teacher


def test_a_checkpoint_has_no_teacher(taught):
    """Its variables are those of the student, its averages, the optimizer's two slots each, and a few numbers."""
    settings, whole = taught
    (checkpoint,) = (whole / "checkpoints").iterdir()
    stored = tf.train.list_variables(str(checkpoint / "state"))
    model = load_model(whole / "model.keras")
    numbers = sum(np.prod(shape, dtype=int) for _, shape in stored)
    weights, trained = (sum(np.prod(w.shape) for w in each) for each in (model.weights, model.trainable_weights))
    assert 0 <= numbers - 2 * weights - 2 * trained < 50


def test_a_resumed_run_misses_its_teacher(taught, tmp_path):
    settings, _ = taught
    gone = dataclasses.replace(settings, teacher=str(tmp_path / "gone.keras"))
    with pytest.raises(InputError, match="Received: .*gone.keras"):
        train(gone, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
