"""Binary classifiers from training to evaluation: one sigmoid, both classes everywhere."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_mobattn import export
from keras_mobattn.commands import evaluate as evaluate_command, predict
from keras_mobattn.data import open_source
from keras_mobattn.errors import InputError
from keras_mobattn.models import load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.settings import TrainSettings
from keras_mobattn.tasks.classification import BINARY_CLASSIFICATION, CLASSIFICATION
from keras_mobattn.tasks.classification.objective import CrossEntropy
from keras_mobattn.training import evaluate, train
from keras_mobattn.training.heads import match_heads

SETTINGS = {
    "task": "binary_classification", "variant": "test", "epochs": 16, "batch_size": 8, "augment": "none",
    "label_smoothing": 0.0, "learning_rate": 1e-2,
}  # fmt: skip


def paint(folder, names=("dark", "light")):
    """Two classes that brightness tells apart."""
    rng = np.random.default_rng(0)
    for level, name in zip((40, 200), names, strict=True):
        (folder / name).mkdir(parents=True)
        for i in range(20):
            pixels = np.clip(rng.normal(level, 30, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("binary")
    train(TrainSettings(dataset=str(paint(folder / "photos")), **SETTINGS), folder / "run", progress=False)
    return RunFolder(folder / "run")


def test_a_run_learns_by_one_output(run):
    model = load_model(run.model_file)
    assert model.output_shape == (None, 1)
    assert json.loads(run.result_file.read_text())["test_accuracy"] == 1.0
    result = evaluate(model, run.open_source(), task=run.task)
    assert result["probabilities"].shape == (8, 2)
    np.testing.assert_array_equal(result["confusion"], [[4, 0], [0, 4]])


@pytest.mark.sampled
def test_its_files_name_both_classes(run, tmp_path, capsys):
    for path in (tmp_path / "model.tflite", tmp_path / "model.mlpackage"):
        convert = export.to_tflite if path.suffix == ".tflite" else export.to_coreml
        report = convert(export.load_trained(run.path), path, "fp32", tolerance=export.Tolerance(1e-3))
        file = export.FILE_MODELS[path.suffix](path)
        assert file.labels == ("dark", "light")
        assert file.output_shape == (None, 2)
        assert evaluate(file, run.open_source())["accuracy"] == 1.0
        assert report.agreement == 1.0
    evaluate_command.main(tmp_path / "model.tflite", dataset=run.settings.dataset)
    assert "Top-1 100.00 %" in capsys.readouterr().out


@pytest.mark.sampled
@pytest.mark.parametrize("file", ["model.keras", "model.tflite"])
def test_prediction_names_the_better_one(file, run, tmp_path, capsys):
    path = run.path
    if file == "model.tflite":
        path = tmp_path / file
        export.to_tflite(export.load_trained(run.path), path, tolerance=export.Tolerance(1e-3))
    for name in ("dark", "light"):
        image = f"{run.settings.dataset}/{name}/0.png"
        assert predict.main((image,), model=path, json_lines=True) == 0
        (best, other) = json.loads(capsys.readouterr().out)["classes"]
        assert best["class"] == name
        assert best["score"] + other["score"] == pytest.approx(1, abs=1e-5)


def test_its_loss_is_that_of_two_outputs():
    """Binary cross-entropy -y log p - (1 - y) log(1 - p), in float64, with smoothed and with mixed labels."""
    rng = np.random.default_rng(0)
    p, y = rng.uniform(0.01, 0.99, (16, 1)), rng.uniform(0, 1, (16, 1))
    for smoothing in (0.0, 0.1):
        target = y * (1 - smoothing) + smoothing / 2
        expected = -(target * np.log(p) + (1 - target) * np.log(1 - p))[:, 0]
        received = CrossEntropy(smoothing).losses(np.concatenate([1 - y, y], -1), p)
        np.testing.assert_allclose(received, expected, rtol=1e-6)


def test_weights_of_a_run_with_the_classes_in_the_other_order(run):
    model, swapped = load_model(run.model_file), load_model(run.model_file)
    match_heads(swapped, run.model_file, ("light", "dark"))
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(swapped(images), 1 - model(images).numpy(), atol=1e-6)


@pytest.mark.sampled
def test_what_can_not_be(run, tmp_path):
    photos = paint(tmp_path / "three", ("a", "b"))
    (photos / "c").mkdir()
    for i in range(5):
        (photos / "c" / f"{i}.png").write_bytes((photos / "a" / f"{i}.png").read_bytes())
    with (
        pytest.warns(UserWarning, match="in two classes"),
        pytest.raises(InputError, match="images of two classes for a binary classifier. Received: 3, a, b, c"),
    ):
        train(TrainSettings(dataset=str(photos), **SETTINGS), tmp_path / "run", progress=False)
    with pytest.raises(InputError, match="Expected no teacher for a binary classifier"):
        BINARY_CLASSIFICATION.objective(TrainSettings(teacher="x", distillation="hard"), ("a", "b"))
    with pytest.raises(InputError, match="a classifier of the 10 classes"):
        evaluate(load_model(run.model_file), open_source("digits"))
    one, other = ({"probabilities": np.array(scores)} for scores in ([[0.2], [0.7]], [[0.4], [0.3]]))
    assert CLASSIFICATION.agreement(one, other) == 0.5
