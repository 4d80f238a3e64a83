"""One run of the comparison: a host with a style and a seed, trained through the stages of the plan."""

import dataclasses
import shutil
from pathlib import Path

from keras_mobattn.files import read_json
from keras_mobattn.models import RUN_MODEL
from keras_mobattn.training import train
from keras_mobattn.training.run import CHECKPOINTS, RESULT


def train_stages(stages, folder):
    """Train each of [(name, TrainSettings)] in folder/NAME, from the weights of the one before.

    Where an earlier call was interrupted, it goes on after the newest checkpoint; stages that ended are kept.
    Returns {stage: accuracy on its test images after the last epoch, in 0..1}.

    Raises:
        InputError, Stopped, Diverged, OSError, tf.errors.OpError: as `train`.
    """
    weights, accuracies = None, {}
    for name, settings in stages:
        part = Path(folder) / name
        if not (part / RESULT).exists():
            train(dataclasses.replace(settings, weights=weights), part, resume=True, progress=False)
        shutil.rmtree(part / CHECKPOINTS, ignore_errors=True)  # of all runs they would fill a GB
        weights = str(part / RUN_MODEL)
        accuracies[name] = read_json(part / RESULT, None)["test_accuracy"]
    return accuracies
