"""What quantization costs a model that has learnt something. Random weights can't tell."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_mobattn import export
from keras_mobattn.data import take_images
from keras_mobattn.models import load_model
from keras_mobattn.training import TrainSettings, train

# Precision -> (SNR of the probabilities in dB, loss of accuracy) that must hold. Measured: fp16 67 to 77 dB, dynamic 42
# to 51, int8 29 to 46.
MUST_HOLD = {"fp16": (55, 0.0), "dynamic": (35, 0.005), "int8": (25, 0.005)}
DEVIATIONS = 2  # of the images that change sides by chance


def expect_no_loss(before, after, share, what):
    """Fail if more answers were lost than `share` of the images and chance explain.

    An image at the border of two classes falls on either side, and on another one with another processor's rounding:
    of n images that change sides by chance, the lost ones outnumber the won ones by sqrt(n) in one deviation (McNemar's
    test). `before` and `after`: whether each image was right.
    """
    lost, won = (before & ~after).sum(), (after & ~before).sum()
    assert lost - won <= share * len(before) + DEVIATIONS * np.sqrt(lost + won), f"{what}: {lost} lost, {won} won"


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["separable", "mobile"])
def test_quantized_models_keep_their_accuracy(attention, tmp_path):
    settings = TrainSettings(
        data_dir=str(tmp_path / "tfds"), variant="test", attention=attention, epochs=20, learning_rate=1e-2
    )
    train(settings, tmp_path / "run", progress=False)
    source, size = settings.open_source(), (settings.image_size, settings.image_size)
    representative, _ = take_images(source, "train", 200, size)
    images, labels = take_images(source, "test", 359, size)
    model = load_model(tmp_path / "run" / "model.keras")
    expected = model.predict(images, verbose=0)
    assert np.mean(expected.argmax(-1) == labels) > 0.9
    for precision, (snr_db, loss) in MUST_HOLD.items():
        path = tmp_path / f"{precision}.tflite"
        export.to_tflite(model, path, precision, representative)
        run = Interpreter(str(path)).get_signature_runner()
        received = np.concatenate([run(image=image[None])["probabilities"] for image in images.astype(np.float32)])
        noise = np.mean(np.square(received - expected))
        assert 10 * np.log10(expected.var() / noise) >= snr_db, precision
        expect_no_loss(expected.argmax(-1) == labels, received.argmax(-1) == labels, loss, precision)


def test_what_is_a_loss():
    before = np.arange(359) < 350
    for lost, won, fails in ((0, 0, False), (2, 0, False), (9, 9, False), (7, 0, False), (9, 0, True), (40, 9, True)):
        after = before.copy()
        after[:lost], after[350 : 350 + won] = False, True
        if fails:
            with pytest.raises(AssertionError, match=f"int8: {lost} lost, {won} won"):
                expect_no_loss(before, after, 0.005, "int8")
        else:
            expect_no_loss(before, after, 0.005, "int8")
