"""What quantization costs a segmenter that has learnt something. Random weights can't tell."""

import pytest

from keras_mobattn import export
from keras_mobattn.data import take_images
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.training import TrainSettings, evaluate, train

LOSS = 0.01  # of the mIoU, at most
TRAINED, TEST_IMAGES = 100, 300
SETTINGS = {
    "dataset": "digit_scenes", "task": "segmentation", "head": "lraspp", "variant": "test", "width": 1.0,
    "image_size": 96, "augment": "none", "label_smoothing": 0.0, "epochs": 3, "batch_size": 16, "learning_rate": 3e-3,
    "ema_decay": 0.99,
}  # fmt: skip


@pytest.mark.slow
def test_quantized_segmenters_keep_their_miou(tmp_path):
    train(TrainSettings(data_dir=str(tmp_path / "tfds"), **SETTINGS), tmp_path / "run", progress=False)
    run = RunFolder(tmp_path / "run")
    source, images = export.load_trained(run.path), run.open_source()
    test, from_pixels = images.first("test", TEST_IMAGES), source.input_range.from_pixels
    check, _ = take_images(images, "test", 16, source.input_shape[:2], **run.view)
    representative, _ = take_images(images, "train", TRAINED, source.input_shape[:2], **run.view)

    def miou(model):
        return evaluate(model, test, task=source.task, **run.view)["miou"]

    whole = miou(source.model)
    assert whole > 0.2
    for precision in export.TFLITE_PRECISIONS:
        path = tmp_path / f"{precision}.tflite"
        options = {"representative_images": from_pixels(representative)} if precision == "int8" else {}
        report = export.to_tflite(source, path, precision, check_images=from_pixels(check), **options)
        assert report.agreement >= 0.98, precision
        assert miou(export.TFLiteModel(path)) >= whole - LOSS, precision
