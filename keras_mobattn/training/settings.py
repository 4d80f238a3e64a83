"""The settings of a training run. The flags of training/train.py are made from this dataclass."""

import dataclasses
import json
from pathlib import Path
from typing import Literal

from keras_mobattn.attention import ATTENTIONS
from keras_mobattn.data import AUGMENTATIONS, open_source
from keras_mobattn.errors import InputError
from keras_mobattn.models import MODELS


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """How to train. The defaults are for the embedded handwritten digits on two CPU cores."""

    dataset: str = "digits"
    """A tfds name, "digits", "digit_scenes", or a folder of images with one sub-folder a class."""
    data_dir: str | None = None
    """Where tfds keeps its sets; its own default when left out."""
    on_corrupt: Literal["error", "skip"] = "error"
    """What to do with images in a folder that can't be decoded."""
    model: Literal[tuple(MODELS)] = "MobileViTv2"
    """The family of the backbone."""
    width: float = 0.5
    """MobileViTv2's width multiplier, > 0."""
    variant: str | None = None
    """MobileViT's size: xxs, xs or s; "test" is a tiny one of either family."""
    attention: Literal[tuple(ATTENTIONS)] = "mobile"
    """The attention style."""
    head_dim: int | None = None
    """Width of a head, for styles with heads; the style's default when left out."""
    image_size: int = 32
    """Height and width of the input in pixels."""
    weights: str | None = None
    """What to start from: "imagenet", a name that keras_mobattn.list_weights() prints, or a file."""
    weights_skip: Literal["attention"] | None = None
    """"attention": start all but the attention layers from `weights`, which another attention was trained with."""
    epochs: int = 16
    """How often the whole training set is seen."""
    batch_size: int = 32
    """Images per step."""
    learning_rate: float = 4e-3
    """The peak of the schedule; it ends at a tenth of it."""
    warmup_epochs: float = 2.0
    """Linear warm-up from 0, in epochs; a cosine follows."""
    weight_decay: float = 0.05
    """AdamW's; biases, norms and other 1-D weights are not decayed."""
    label_smoothing: float = 0.1
    """Share of the target that is spread over all classes."""
    clip_norm: float = 10.0
    """Gradients of a larger global norm are scaled down to it."""
    ema_decay: float = 0.99
    """Decay of the averaged weights, which are evaluated and saved; 0 for none."""
    augment: str = "digits"
    """The augmentation by name."""
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    """The dtype policy of the model."""
    seed: int = 0
    """Seeds the weights, the order of the images and the augmentation."""

    def __post_init__(self):
        """Raise InputError for values that no run can use."""
        limits = {
            "image_size": (32, float("inf")),
            "epochs": (1, float("inf")),
            "batch_size": (1, float("inf")),
            "learning_rate": (1e-12, float("inf")),
            "warmup_epochs": (0, self.epochs),
            "weight_decay": (0, float("inf")),
            "label_smoothing": (0, 0.999),
            "clip_norm": (1e-12, float("inf")),
            "ema_decay": (0, 0.999999),
            "width": (1e-12, float("inf")),
        }
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} expects a value from {low} to {high}. Received: {getattr(self, name)}.")
        if self.augment not in AUGMENTATIONS:
            raise InputError(f"augment expects one of {', '.join(AUGMENTATIONS)}. Received: {self.augment!r}.")

    def open_source(self):
        """The images that these settings train and test on."""
        return open_source(self.dataset, self.data_dir, self.on_corrupt)


def load_settings(path):
    """Read the settings.json of a run.

    Raises:
        InputError: no such file, or one that was not written by this package.
    """
    path = Path(path)
    try:
        return TrainSettings(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InputError(
            f"Expected the folder of a training run, with settings.json in it. Received: {path}."
        ) from error
    except (TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} does not hold the settings of a run: {error}.") from error
