"""Files that threads share compute what one thread alone computes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from helpers.cases import tiny_model
from keras_mobattn import export
from keras_mobattn.data import sample_photos
from keras_mobattn.formats.kinds import COREML, TFLITE

SIDE = 64
MAKE = {TFLITE.suffix: export.to_tflite, COREML.suffix: export.to_coreml}


@pytest.mark.sampled
@pytest.mark.parametrize("suffix", export.FILE_MODELS)
def test_threads_share_a_file(suffix, tmp_path):
    images = sample_photos(48, (SIDE, SIDE), seed=2)
    path = tmp_path / f"model{suffix}"
    MAKE[suffix](tiny_model(side=SIDE), path, "fp32")
    model = export.FILE_MODELS[suffix](path)
    expected = [model.predict_on_batch(image[None]) for image in images]
    with ThreadPoolExecutor(4) as pool:
        received = list(pool.map(lambda image: model.predict_on_batch(image[None]), images))
    np.testing.assert_array_equal(received, expected)


def test_threads_share_an_exportable():
    source, images = export.load(tiny_model(side=SIDE)), np.float32(sample_photos(32, (SIDE, SIDE), seed=2))
    expected = [source.predict(image[None])["probabilities"] for image in images]
    with ThreadPoolExecutor(4) as pool:
        received = list(pool.map(lambda image: source.predict(image[None])["probabilities"], images))
    np.testing.assert_array_equal(received, expected)
