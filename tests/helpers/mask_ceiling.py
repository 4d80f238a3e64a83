"""The mIoU that logits at a stride can reach at all: optimised freely for each image, without a model.

    cd tests && python -m helpers.mask_ceiling --dataset digit_scenes --image-size 128 --strides 8 16 32

What no model of that stride can do is no fault of a model: masks of thin things lose more than others.
"""

from typing import Annotated

import numpy as np
import rich.console
import rich.progress
import tensorflow as tf
import tf_keras as keras
import tyro

from keras_mobattn.data import batches, open_source
from keras_mobattn.tasks import TASKS
from keras_mobattn.tasks.segmentation.loss import pixel_losses

RATE = 0.3


def ceiling(learned, classes, image_size, stride, steps):
    """The mIoU of logits that `steps` steps of Adam fit to the masks of a batch."""
    side = image_size // stride
    logits = tf.Variable(tf.zeros([len(learned["mask"]), side, side, classes]))
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps))
    optimizer.build([logits])

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(pixel_losses(learned["mask"], logits))
        optimizer.apply_gradients([(tape.gradient(loss, logits), logits)])

    for _ in range(steps):
        step()
    tally = TASKS["segmentation"].tally([str(number) for number in range(classes)])
    tally.add(learned, logits)
    return tally.result()["miou"]


def main(
    dataset: str = "digit_scenes",
    data_dir: str | None = None,
    image_size: int = 128,
    strides: Annotated[tuple[int, ...], tyro.conf.arg(metavar="STRIDE...")] = (4, 8, 16, 32),
    images: int = 16,
    steps: int = 600,
) -> None:
    """Print the mIoU at each stride.

    Args:
        dataset: A set with masks, its test images.
        data_dir: Where tfds keeps it.
        image_size: Of the model's input.
        strides: Of the logits.
        images: How many.
        steps: Of Adam.
    """
    task = TASKS["segmentation"]
    source = open_source(dataset, data_dir, targets=task.targets).first("test", images)
    view = {"image_size": (image_size,) * 2, "crop": None, "interpolation": "bicubic", "task": task}
    _, learned = next(iter(batches(source, "test", batch_size=images, **view)))
    for stride in rich.progress.track(strides, "Optimising", console=rich.console.Console(stderr=True)):
        value = ceiling(learned, len(source.class_names), image_size, stride, steps)
        print(f"stride {stride:2d}: mIoU {100 * value:.1f} % of {np.size(learned['mask']) // image_size**2} images")


if __name__ == "__main__":
    tyro.cli(main)
