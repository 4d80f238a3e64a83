"""The same models by other people: timm's and transformers', with random weights, and what they predict.

Nothing here but `random_tensors` and `random_images` needs torch, and these two give the same numbers everywhere.
"""

import importlib.util
import sys

import numpy as np
import pytest

GAIN = 1.6  # about what keeps the signal alive behind a swish, whose output is smaller than its input
# The operators of torchvision's that it looks for when it is imported; PyPI's build for CUDA brings none for a CPU torch.
OPERATORS = ("nms", "qnms", "roi_align", "qroi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d")
OPERATORS += tuple(f"_{name}_backward" for name in OPERATORS if name not in ("nms", "qnms", "qroi_align"))
V1_OF_TRANSFORMERS = {  # as in the configurations that apple publishes at the hub
    "xxs": {"hidden_sizes": [64, 80, 96], "neck_hidden_sizes": [16, 16, 24, 48, 64, 80, 320], "expand_ratio": 2.0},
    "xs": {"hidden_sizes": [96, 120, 144], "neck_hidden_sizes": [16, 32, 48, 64, 80, 96, 384], "expand_ratio": 4.0},
    "s": {"hidden_sizes": [144, 192, 240], "neck_hidden_sizes": [16, 32, 64, 96, 128, 160, 640], "expand_ratio": 4.0},
}


def needs(*packages):
    """Mark a test that is skipped where one of these is missing."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed: see tests/peers.txt")


def random_tensors(shapes, seed):
    """Key to array for key to shape, as torch lays them out: nothing is zero, one or trained."""
    rng = np.random.RandomState(seed)  # its stream is frozen, unlike a Generator's: a stored sample stays true
    draws = {
        "running_var": lambda shape: rng.uniform(0.5, 2, shape),
        "running_mean": lambda shape: rng.normal(0, 0.1, shape),
        "bias": lambda shape: rng.normal(0, 0.1, shape),
        "weight": lambda shape: (
            rng.normal(0, GAIN * np.prod(shape[1:]) ** -0.5, shape) if len(shape) > 1 else rng.uniform(0.5, 1.5, shape)
        ),
    }
    return {
        key: np.asarray(draws[key.split(".")[-1]](shape), "float32") if shape else np.asarray(0, "int64")
        for key, shape in shapes.items()
    }


def random_images(height, width, count=2):
    """[B, H, W, 3], RGB 0..1, with coarse structure that tells them apart and fine structure that tells pixels apart."""
    rng = np.random.RandomState(0)
    rows, columns = (np.arange(side) * 4 // side for side in (height, width))
    coarse = rng.uniform(0, 1, (count, 4, 4, 3))[:, rows][:, :, columns]
    return (0.7 * coarse + 0.3 * rng.uniform(0, 1, (count, height, width, 3))).astype("float32")


def timm_model(architecture, classes=1000):
    try:
        import torchvision
    except RuntimeError:  # "operator torchvision::nms does not exist"
        import torch

        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for name in OPERATORS:
            library.define(f"{name}(Tensor a) -> Tensor")
        import torchvision

        torchvision.schemas = library  # they last as long as this object
    import timm

    return timm.create_model(architecture, num_classes=classes).eval()


def transformers_model(architecture, classes=1000):
    import transformers

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
