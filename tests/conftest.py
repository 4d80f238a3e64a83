"""What the tests share: tiny models with random weights, made once per session."""

import functools

import pytest

import keras_mobattn
from keras_mobattn.gpu import gpu_problem

FAMILIES = {
    "MobileViTv2": functools.partial(keras_mobattn.MobileViTv2, variant="test"),
    "MobileViT": functools.partial(keras_mobattn.MobileViT, variant="test"),
}


@functools.cache
def tiny_model(family="MobileViTv2", attention="mobile", side=64, classes=10):
    """A test-size model of the family with random weights, side x side pixels, 0..255. Do not train it: it is
    shared."""
    model = FAMILIES[family](attention=attention, input_shape=(side, side, 3), classes=classes)
    return keras_mobattn.randomize_weights(model, seed=1)


@pytest.fixture(name="tiny_model")
def tiny_model_fixture():
    return tiny_model


@pytest.fixture(scope="session")
def needs_gpu():
    """Skip where the GPU accelerator can't run, not even over SwiftShader, and say why."""
    if problem := gpu_problem():
        pytest.skip(problem)


# What torchvision asks torch for when it is imported. Its build from PyPI is for CUDA and brings none of them beside a
# CPU build of torch; timm uses none.
VISION_OPERATORS = (
    *("nms", "qnms", "roi_align", "qroi_align", "_roi_align_backward", "roi_pool", "_roi_pool_backward"),
    *("ps_roi_align", "_ps_roi_align_backward", "ps_roi_pool", "_ps_roi_pool_backward"),
    *("deform_conv2d", "_deform_conv2d_backward"),
)


@pytest.fixture(scope="session")
def timm():
    """The package, whose models and image transform are the published ones. Skip where it can't be had."""
    torch = pytest.importorskip("torch", reason="torch is not installed: tests/peers.txt")
    try:
        pytest.importorskip("torchvision", reason="torchvision, which timm imports, is not installed: tests/peers.txt")
    except RuntimeError:  # "operator torchvision::nms does not exist"
        for name in VISION_OPERATORS:
            torch.library.define(f"torchvision::{name}", "(Tensor a) -> Tensor")
    return pytest.importorskip("timm", reason="timm is not installed: tests/peers.txt")
