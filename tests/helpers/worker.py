"""One worker of tests/training/test_cluster.py: trains as its arguments say and writes the loss after each step.

python tests/helpers/worker.py OUTPUT_DIR LOSSES.json '{"epochs": 1, ...}' '{"checkpoint_steps": 5}'
"""

import json
import sys

import tf_keras as keras

from keras_mobattn.training import Execution, TrainSettings, train


def train_flags(settings):
    """The flags of training/train.py for what differs from the defaults."""
    changed = {name: value for name, value in vars(settings).items() if value != getattr(TrainSettings(), name)}
    return [text for name, value in changed.items() for text in (f"--{name.replace('_', '-')}", str(value))]


def main(folder, losses, settings, execution):
    seen = []
    record = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: seen.append(float(logs["loss"])))
    train(TrainSettings(**json.loads(settings)), folder, False, Execution(**json.loads(execution)), callbacks=[record])
    with open(losses, "w", encoding="utf-8") as file:
        json.dump(seen, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
