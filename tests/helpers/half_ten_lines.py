"""Print how far Core ML's half precision moves the probabilities of README's ten lines, for docs/measurements.md.

    cd tests && python -m helpers.half_ten_lines [--epochs 3 6 10] [--seeds 0 1 2 3] [--label-smoothing 0.1]

The largest difference from Keras on 64 test images: with the weights rounded to float16 alone, and with stored values
rounded as well.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import tf_keras as keras

import keras_mobattn
from keras_mobattn import data, export
from keras_mobattn.half import evaluate_half

MODES = ("float32", "stored")  # of a package whose weights are float16


def main():
    """Print a row for each seed and number of epochs as it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", nargs="*", type=int, default=[3])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2, 3])
    parser.add_argument("--label-smoothing", type=float, default=0.0)
    given = parser.parse_args()
    source = data.open_source("digits")
    images = data.take_images(source, "test", 64, (32, 32))[0].astype(np.float32)
    print("| seed | epochs | weights | and stored values |\n|---|---|---|---|")
    for seed in given.seeds:
        keras.utils.set_random_seed(seed)
        train = data.batches(source, "train", image_size=(32, 32), batch_size=32, shuffle=True)
        model = keras_mobattn.MobileViTv2(width=0.5, attention="mobile", input_shape=(32, 32, 3), classes=10)
        model.compile("adam", keras.losses.CategoricalCrossentropy(label_smoothing=given.label_smoothing))
        done = 0
        for epochs in sorted(given.epochs):
            model.fit(train, initial_epoch=done, epochs=epochs, verbose=0)
            done = epochs
            print(
                f"| {seed} | {epochs} | {' | '.join(f'{error:.1e}' for error in errors(model, images))} |", flush=True
            )


def errors(model, images):
    """The largest difference from Keras in each of MODES."""
    expected = model.predict(images, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.mlpackage"
        export.to_coreml(model, path, "fp16", check_images=images[:1], tolerance=export.Tolerance(10))
        package = export.CoreMLModel(path)
        for mode in MODES:
            reports = [evaluate_half(path, package.given(image[None]), mode) for image in images]
            received = np.concatenate([report.outputs[model.output_names[0]].reshape(1, -1) for report in reports])
            yield np.abs(received - expected).max()


if __name__ == "__main__":
    main()
