"""The same model of keras-cv-attention-models, in its own environment, with tf_keras's AdamW. See benchmark_step.py."""

import os
import runpy

from serve import ROOT, serve

CLASSES = 1000


def make_step(num_threads, model, batch_size, image_size, label_smoothing):
    from tensorflow_device import prepare, random_batch

    device, memory = prepare(num_threads)
    import tensorflow as tf
    import tf_keras as keras

    peers = runpy.run_path(str(ROOT / "tflite" / "peers" / "keras_peers.py"))
    peers["SHAPE"]["input_shape"] = (image_size, image_size, 3)
    network = peers["build"]("kecam", model)
    optimizer = keras.optimizers.AdamW(1e-6, weight_decay=0.05)
    optimizer.build(network.trainable_variables)
    images, labels = random_batch(batch_size, image_size, CLASSES, scale=1)
    cross_entropy = keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing)

    @tf.function
    def train():
        with tf.GradientTape() as tape:
            loss = cross_entropy(labels, network(images, training=True))
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return loss

    return lambda: float(train()), device, memory


if __name__ == "__main__":
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # before TensorFlow is imported
    serve(make_step)
