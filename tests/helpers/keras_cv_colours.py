"""Print what SSD's light and colours take by keras-cv's layers and by `data.photometric`, on one core.

    cd tests && python -m helpers.keras_cv_colours

Photographs of 320 pixels in batches of 32. Both take turns; medians of the processor's time, in ms an image.
"""

import statistics
import time

import numpy as np
import tensorflow as tf

from keras_mobattn.data import sample_photos
from keras_mobattn.data.photometric import photometric

ROUNDS = 9


def main():
    """Print a line for each."""
    from keras_cv import layers

    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    images = tf.constant(sample_photos(32, (320, 320)))
    within = {"value_range": (0, 255)}
    chain = [
        layers.RandomBrightness(0.125, **within),
        layers.RandomContrast(factor=0.5, **within),
        layers.RandomSaturation((0.25, 0.75)),
        layers.RandomHue(0.05, **within),
    ]
    numbers = tf.range(32, dtype=tf.int64)

    @tf.function
    def by_keras_cv():
        x = tf.cast(images, tf.float32)
        for layer in chain:
            x = layer(x, training=True)
        return tf.cast(x, tf.uint8)

    @tf.function
    def by_ours(first):
        seeds = tf.stack([tf.fill([32], first), numbers], 1)
        return tf.map_fn(lambda each: photometric(*each), (images, seeds), fn_output_signature=tf.uint8)

    ways = {
        "keras-cv": by_keras_cv,
        "data.photometric": lambda: by_ours(tf.constant(np.random.randint(2**31), tf.int64)),
    }
    seconds = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, way in ways.items():
            started = time.process_time()
            way()
            if number:  # the first traces
                seconds[name].append(time.process_time() - started)
    for name, taken in seconds.items():
        print(f"{name}: {1000 * statistics.median(taken) / 32:.2f} ms an image")


if __name__ == "__main__":
    main()
