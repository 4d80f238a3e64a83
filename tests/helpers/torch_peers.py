"""The same models by other people, timm's and transformers', with random weights, and what they predict.

Nothing here but `random_tensors` and `random_images` needs torch, and these two give the same numbers everywhere.
"""

import importlib
import importlib.util

import numpy as np
import pytest

GAIN = 1.6  # about what keeps the signal alive behind a swish, whose output is smaller than its input
# What torchvision asks torch for when it is imported. Its build from PyPI is for CUDA and brings none of them beside a
# CPU build of torch; the models use none.
VISION_OPERATORS = (
    *("nms", "qnms", "roi_align", "qroi_align", "_roi_align_backward", "roi_pool", "_roi_pool_backward"),
    *("ps_roi_align", "_ps_roi_align_backward", "ps_roi_pool", "_ps_roi_pool_backward"),
    *("deform_conv2d", "_deform_conv2d_backward"),
)
V1_OF_TRANSFORMERS = {  # as in the configurations that apple publishes at the hub
    "xxs": {"hidden_sizes": [64, 80, 96], "neck_hidden_sizes": [16, 16, 24, 48, 64, 80, 320], "expand_ratio": 2.0},
    "xs": {"hidden_sizes": [96, 120, 144], "neck_hidden_sizes": [16, 32, 48, 64, 80, 96, 384], "expand_ratio": 4.0},
    "s": {"hidden_sizes": [144, 192, 240], "neck_hidden_sizes": [16, 32, 64, 96, 128, 160, 640], "expand_ratio": 4.0},
}


def missing(*packages):
    """Which of these are not installed, as a reason to skip; None if all are."""
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    return f"{', '.join(absent)} not installed: tests/helpers/peers.txt" if absent else None


def needs(*packages):
    """Mark a test that is skipped where one of these is missing."""
    return pytest.mark.skipif(missing(*packages) is not None, reason=str(missing(*packages)))


def import_peer(name):
    """timm or transformers, also where torchvision, which they import, is not built for the torch that is here."""
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:  # "operator torchvision::nms does not exist"
        for operator in VISION_OPERATORS:
            torch.library.define(f"torchvision::{operator}", "(Tensor a) -> Tensor")
    return importlib.import_module(name)


def random_tensors(shapes, seed):
    """Key to array for key to shape, as torch lays them out: nothing is zero, one or trained."""
    rng = np.random.RandomState(seed)  # its stream is frozen, unlike a Generator's: a stored sample stays true
    draws = {
        "running_var": lambda shape: rng.uniform(0.5, 2, shape),
        "running_mean": lambda shape: rng.normal(0, 0.1, shape),
        "bias": lambda shape: rng.normal(0, 0.1, shape),
        "gamma": lambda shape: rng.uniform(0.02, 0.08, shape),  # of a residual branch: with 1 they add up to 1e10
        "attention_biases": lambda shape: rng.normal(0, 1, shape),
        "weight": lambda shape: (
            rng.normal(0, GAIN * np.prod(shape[1:]) ** -0.5, shape) if len(shape) > 1 else rng.uniform(0.5, 1.5, shape)
        ),
    }
    draws |= dict.fromkeys(("cls_token", "dist_token", "pos_embed"), lambda shape: rng.normal(0, 0.5, shape))
    return {
        key: np.asarray(draws[key.split(".")[-1]](shape), "float32") if shape else np.asarray(0, "int64")
        for key, shape in shapes.items()
    }


def random_images(height, width, count=2):
    """[B, H, W, 3], RGB 0..1, with coarse structure, by which images differ, and fine structure, by which pixels do."""
    rng = np.random.RandomState(0)
    rows, columns = (np.arange(side) * 4 // side for side in (height, width))
    coarse = rng.uniform(0, 1, (count, 4, 4, 3))[:, rows][:, :, columns]
    return (0.7 * coarse + 0.3 * rng.uniform(0, 1, (count, height, width, 3))).astype("float32")


def timm_model(architecture, classes=1000, **options):
    return import_peer("timm").create_model(architecture, num_classes=classes, **options).eval()


def transformers_model(architecture, classes=1000):
    transformers = import_peer("transformers")
    family, size = architecture.split("_")
    if family == "mobilevit":
        config = transformers.MobileViTConfig(num_labels=classes, **V1_OF_TRANSFORMERS[size])
        return transformers.MobileViTForImageClassification(config).eval()
    config = transformers.MobileViTV2Config(num_labels=classes, width_multiplier=int(size) / 100)
    return transformers.MobileViTV2ForImageClassification(config).eval()


BUILDERS = {"timm": timm_model, "transformers": transformers_model}


def shapes_of(model):
    """Key to shape of a torch model's state dict."""
    return {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}


def fill(model, tensors):
    """Give a torch model these tensors, all of them."""
    import torch

    model.load_state_dict({key: torch.from_numpy(array.copy()) for key, array in tensors.items()}, strict=True)
    return model


def logits_of(model, images):
    """What a torch model makes of [B, H, W, 3]: [B, classes]."""
    import torch

    with torch.no_grad():
        output = model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    return (output if torch.is_tensor(output) else output.logits).numpy()
