"""The step of training/train.py: settings, model, learner. See benchmark_step.py."""

import itertools

from serve import ROOT, serve
from tensorflow_device import prepare, random_batch

CLASSES = 1000


def make_step(num_threads, **settings):
    device, memory = prepare(num_threads)
    from keras_mobattn.models import randomize_weights
    from keras_mobattn.training import TrainSettings
    from keras_mobattn.training.build import build_model, make_learner

    settings = TrainSettings(**settings)
    names = range(CLASSES)
    model = randomize_weights(build_model(settings, names))
    learner = make_learner(model, settings, names, steps_per_epoch=1000)
    batches = itertools.repeat(random_batch(settings.batch_size, settings.image_size, CLASSES, scale=255))
    train = learner.make_train_function()
    return lambda: float(train(batches)["loss"]), device, memory


if __name__ == "__main__":
    import sys

    sys.path.append(str(ROOT))  # where the package is not installed
    serve(make_step)
