"""Small models that have learnt something, and what is no loss of theirs."""

import numpy as np
import pytest

from helpers.made_once import made_once
from keras_mobattn.data import fashion_mnist_quarter, take_images
from keras_mobattn.models import load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.training import TrainSettings, train

DEVIATIONS = 2  # of the images that change sides by chance
CLOSE = 0.02  # images whose two best probabilities are closer fall on either side by any rounding
LEAST_DECIDED = 20  # images


def expect_no_loss(before, after, share, what):
    """Fail if more answers were lost than `share` of the images and chance explain.

    An image at the border of two classes falls on either side, and on another one with another processor's rounding:
    of n images that change sides by chance, the lost ones outnumber the won ones by sqrt(n) in one deviation (McNemar's
    test). `before` and `after`: whether each image was right.
    """
    lost, won = (before & ~after).sum(), (after & ~before).sum()
    assert lost - won <= share * len(before) + DEVIATIONS * np.sqrt(lost + won), f"{what}: {lost} lost, {won} won"


def decided(probabilities):
    """Which images of [n, classes] are not between two classes. After one epoch of scenes few are."""
    second, best = np.sort(probabilities)[:, -2:].T
    return best - second > CLOSE


def expect_same_answers(received, expected, share, what):
    """Fail if the best class of fewer than `share` of the decided images is the same. Probabilities [n, classes]."""
    counted = decided(expected)
    assert counted.sum() >= LEAST_DECIDED, what
    assert np.mean(received.argmax(-1) == expected.argmax(-1), where=counted) >= share, what


# Name -> the settings of runs one after another, each from the weights of the one before. Scenes alone teach little.
RUNS = {
    "digits, separable": [{"attention": "separable", "epochs": 20, "learning_rate": 1e-2}],
    "digits, mobile": [{"epochs": 20, "learning_rate": 1e-2}],
    "scenes": [
        {"dataset": "digit_crops", "augment": "none", "batch_size": 128, "epochs": 1, "warmup_epochs": 0.5},
        {"dataset": "digit_scenes", "augment": "none", "image_size": 96, "epochs": 1, "learning_rate": 1.5e-3},
    ],
    "fashion": [{"dataset": "fashion_mnist_quarter", "augment": "zoom", "image_size": 64, "epochs": 1}],
}


def train_small(name, tmp_path_factory, variant="test", **shape):
    """A model of RUNS, trained once in a run of tests, 200 images of the training set, and 359 of the test set with
    their labels."""
    if name == "fashion" and not fashion_mnist_quarter.DEBIAN.exists():
        pytest.skip("Fashion-MNIST is not here: apt-get install dataset-fashion-mnist")

    def make(folder):
        weights = None
        for number, options in enumerate(RUNS[name]):
            settings = TrainSettings(
                data_dir=str(folder / "tfds"), variant=variant, weights=weights, **shape, **options
            )
            train(settings, folder / f"run{number}", progress=False)
            weights = str(folder / f"run{number}" / "model.keras")

    of_what = "_".join(map(str, (name.replace(", ", "_"), variant, *shape.values())))
    run = RunFolder(made_once(tmp_path_factory, of_what, make) / f"run{len(RUNS[name]) - 1}")
    settings = run.settings
    source, size = settings.open_source(), (settings.image_size, settings.image_size)
    representative, _ = take_images(source, "train", 200, size)
    return load_model(run.path / "model.keras"), representative, *take_images(source, "test", 359, size)
