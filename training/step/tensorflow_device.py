"""What steps of TensorFlow share: threads, the device, random images."""

import numpy as np
import tensorflow as tf


def prepare(num_threads):
    """Set the threads; (the GPU's name or "CPU", a function of its peak memory or None)."""
    tf.config.threading.set_intra_op_parallelism_threads(num_threads)
    tf.config.threading.set_inter_op_parallelism_threads(num_threads)
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU", None
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name)
    return name, lambda: tf.config.experimental.get_memory_info("GPU:0")["peak"]


def random_batch(batch_size, image_size, classes, scale):
    """Images [B, size, size, 3] from 0 to `scale` and one-hot labels [B, classes]."""
    rng = np.random.default_rng(0)
    images = tf.constant(rng.uniform(0, scale, (batch_size, image_size, image_size, 3)).astype("float32"))
    return images, tf.one_hot(rng.integers(0, classes, batch_size), classes)
