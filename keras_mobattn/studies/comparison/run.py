"""One run of the comparison: a host with a style and a seed, trained through the stages of the plan."""

import dataclasses
import shutil
from pathlib import Path

from keras_mobattn.run_folder import RunFolder
from keras_mobattn.training import train


def train_stages(stages, folder):
    """Train each of [(name, TrainSettings)] in folder/NAME, from the weights of the one before.

    Where an earlier call was interrupted, it goes on after the newest checkpoint; stages that ended are kept.
    Returns {stage: accuracy on its test images after the last epoch, in 0..1}.

    Raises:
        InputError, Stopped, Diverged, OSError, tf.errors.OpError: as `train`.
    """
    weights, accuracies = None, {}
    for name, settings in stages:
        run = RunFolder(Path(folder) / name)
        if not run.result_file.exists():
            train(dataclasses.replace(settings, weights=weights), run.path, resume=True, progress=False)
        shutil.rmtree(run.checkpoints, ignore_errors=True)  # of all runs they would fill a GB
        weights = str(run.model_file)
        accuracies[name] = run.result["test_accuracy"]
    return accuracies
