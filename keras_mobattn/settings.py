"""The settings of a training run, without TensorFlow.

The flags of training/train.py are made from these two dataclasses.
"""

import dataclasses
import json
from typing import TYPE_CHECKING, Literal, Self, get_args

from keras_mobattn.catalog import (
    ATTENTION_FORMS,
    ATTENTIONS,
    AUGMENTATIONS,
    CLIPS,
    DISTILLATIONS,
    OPTIMIZERS,
    OWN,
    POLICIES,
    SCHEDULES,
    STRATEGIES,
    TASKS,
)
from keras_mobattn.errors import InputError, expect_kind, expect_name, expect_path, expect_range
from keras_mobattn.families import FAMILIES
from keras_mobattn.files import write_json

if TYPE_CHECKING:
    from keras_mobattn._types import PathLike
    from keras_mobattn.data import Source


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """How to train. The defaults are for the embedded handwritten digits on two CPU cores."""

    dataset: str = "digits"
    """A tfds name, "digits", "digit_crops", "digit_scenes", or a folder of images with one sub-folder a class."""
    data_dir: str | None = None
    """Where tfds keeps its sets; its own default when left out."""
    on_corrupt: Literal["error", "skip"] = "error"
    """What to do with images in a folder that can't be decoded."""
    task: Literal[tuple(TASKS)] = "classification"
    """What the model is for."""
    model: Literal[tuple(FAMILIES)] = "MobileViTv2"
    """The family of the backbone."""
    width: float = 0.5
    """MobileViTv2's width multiplier, > 0."""
    variant: str | None = None
    """The size, by the family's word for it: mobattn models prints them. "test" is a tiny one of every family,
    "nano" a small one of some, both ours; the family's default when left out."""
    anchors: Literal["fit", "ssd"] = "fit"
    """A detector's anchors: fitted to the boxes of the training images, or SSD's."""
    finest_stride: Literal[8, 16] = 16
    """The stride of a detector's finest map: 8 for objects of less than a tenth of the image, at twice the cost."""
    head: Literal["deeplabv3", "pspnet", "lraspp"] = "deeplabv3"
    """A segmenter's head; lraspp is the light one, for phones."""
    head_width: int | None = None
    """Channels of a segmenter's head; 512, or 128 of lraspp, when left out."""
    output_stride: Literal[8, 16, 32] = 16
    """How many times smaller the last map is than the image, of a segmenter on MobileViT or MobileViTv2."""
    auxiliary_weight: float = 0.4
    """The share of a segmenter's auxiliary head in its loss, in training alone; 0 for no such head."""
    distilled: bool = False
    """DeiT with a second token and head, which learn from a teacher. EfficientFormerV2 always has two heads."""
    attention: Literal[(OWN, *ATTENTIONS, *ATTENTION_FORMS)] = "mobile"
    """The attention style; "own" is the one that the model was published with, "mobile_published" Mobile-Attention by
    the formula of its paper's code."""
    head_dim: int | None = None
    """Width of a head, for styles with heads; the style's default when left out."""
    image_size: int | tuple[int, int] = 32
    """Height and width of the input in pixels; one number for both."""
    weights: str | None = None
    """What to start from: "imagenet", a name that keras_mobattn.list_weights() prints, or a file."""
    weights_skip: Literal["attention"] | None = None
    """"attention": start all but the attention layers from `weights`, which another attention was trained with."""
    trainable: Literal["all", "head"] = "all"
    """What learns: everything, or the head alone, on features that stay as they are."""
    head_epochs: int = 0
    """Epochs before the others in which the head alone learns: fine-tuning then doesn't begin with the gradients of a
    head that knows nothing. They are a run of their own, in the folder head/ of the run."""
    head_learning_rate: float | None = None
    """The peak of these epochs; ten times `learning_rate` when left out."""
    epochs: int = 16
    """How often the whole training set is seen."""
    batch_size: int = 32
    """Images per step, on all devices and machines together."""
    grad_accum_steps: int = 1
    """The batch is computed in this many parts, one after the other, and their gradients are averaged: it needs the
    memory of one part and equals one step of the whole batch but for batch norm, which sees the parts."""
    optimizer: Literal[OPTIMIZERS] = "adamw"
    """AdamW (betas .9 and .999, epsilon 1e-8), or SGD with momentum .9 and torch's weight decay, a part of the
    gradient."""
    learning_rate: float = 4e-3
    """The peak of the schedule, for `base_batch_size` images a step."""
    min_learning_rate: float | None = None
    """Where the schedule ends; a tenth of the peak when left out."""
    base_batch_size: int | None = None
    """The batch that the learning rates are for; `batch_size` when left out. With another batch they are scaled, by
    the ratio's root for AdamW and by the ratio for SGD (timm's rule), and `warmup_steps` by its inverse."""
    layer_decay: float = 1.0
    """Each block learns with so many times the learning rate of the one above it, whose features are less general; 1
    for the same rate throughout. AdamW's alone."""
    schedule: Literal[SCHEDULES] = "cosine"
    """From the peak down half a cosine, step by step; or the peak throughout."""
    warmup_epochs: float | None = None
    """Linear warm-up from `warmup_learning_rate` to the peak, in epochs; an eighth of `epochs`, at most 2, when left
    out."""
    warmup_steps: int | None = None
    """Warm-up in steps, in place of `warmup_epochs`."""
    warmup_learning_rate: float = 0.0
    """Where the warm-up starts; scaled as the peak is."""
    weight_decay: float = 0.05
    """The optimizer's."""
    decay_1d: bool = False
    """Decay biases, norms and other 1-D weights too, and positions and position biases."""
    label_smoothing: float = 0.1
    """Share of the target that is spread over all classes."""
    class_weights: bool = False
    """Weigh the images of a class by all images / (classes x images of the class): rare classes count as much as
    frequent ones."""
    teacher: str | None = None
    """A model to learn from beside the labels: a .keras or .h5 file, a SavedModel, the folder of a run, or a name that
    keras_mobattn.list_weights() prints. It takes RGB 0..255 and knows the same classes."""
    distillation: Literal[tuple(DISTILLATIONS)] | None = None
    """How to learn from the teacher: the class that it picks (hard), or its probabilities (soft)."""
    distillation_alpha: float = 0.5
    """The teacher's share of the loss; the labels have the rest."""
    distillation_temperature: float = 1.0
    """Divides the logits of teacher and student, for soft distillation."""
    clip_norm: float | None = 10.0
    """Gradients of a larger norm are scaled down to it; with None they stay."""
    clip_mode: Literal[tuple(CLIPS)] = "norm"
    """The norm of all gradients together; or each unit's, as a share of its weights' norm: adaptive gradient clipping
    (agc)."""
    ema_decay: float = 0.99
    """Decay of the averaged weights, which are evaluated and saved; 0 for none."""
    drop_path_rate: float = 0.0
    """Stochastic depth of the last residual branch; linear from 0 at the first."""
    augment: str = "digits"
    """The augmentation by name."""
    aug_repeats: int = 1
    """Repeated augmentation: a step has each of its images so many times, augmented in other ways, and an epoch as
    many times fewer different images."""
    sizes: tuple[int, ...] = ()
    """The multi-scale sampler's sizes in pixels: one of them is drawn for each step, with as many images as give the
    pixels of `batch_size` images of `image_size`. Left out: `image_size` throughout."""
    test_crop: float = 1.0
    """Test images are resized to `image_size` / `test_crop` and cropped in the centre."""
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """How test images are resized; training images as the augmentation says."""
    precision: Literal[POLICIES] = "float32"
    """The dtype policy of the model; with mixed_float16 the loss is scaled."""
    jit_compile: bool = False
    """Compile the step with XLA."""
    rematerialize: bool = False
    """Compute the attention layers' activations once more in the backward pass rather than keep them."""
    seed: int = 0
    """Seeds the weights, the order of the images, the augmentation and dropout."""

    def __post_init__(self):
        """Raise InputError for values that no run can use."""
        expect_name(FAMILIES, self.model, "model")
        expect_name(AUGMENTATIONS, self.augment, "augmentation")
        expect_name(TASKS, self.task, "task")
        above_0 = {"low": 0, "above": True}
        limits = {
            "epochs": {"low": 1},
            "head_epochs": {"low": 0},
            "head_learning_rate": above_0,
            "layer_decay": {"low": 0, "high": 1, "above": True},
            "batch_size": {"low": 1},
            "grad_accum_steps": {"low": 1, "high": self.batch_size},
            "learning_rate": above_0,
            "min_learning_rate": {"low": 0, "high": self.learning_rate},
            "base_batch_size": {"low": 1},
            "warmup_epochs": {"low": 0, "high": self.epochs},
            "warmup_steps": {"low": 0},
            "warmup_learning_rate": {"low": 0, "high": self.learning_rate},
            "weight_decay": {"low": 0},
            "label_smoothing": {"low": 0, "high": 0.999},
            "distillation_alpha": {"low": 0, "high": 1},
            "distillation_temperature": above_0,
            "clip_norm": above_0,
            "aug_repeats": {"low": 1, "high": self.batch_size},
            "ema_decay": {"low": 0, "high": 0.999999},
            "drop_path_rate": {"low": 0, "high": 0.999},
            "head_width": {"low": 1},
            "auxiliary_weight": {"low": 0},
            "test_crop": {"low": 0.01, "high": 1},
            "width": above_0,
        }
        _expect_ranges(self, limits)
        self._check_sizes()
        self._check_distillation()
        if self.layer_decay < 1 and self.optimizer != "adamw":
            raise InputError(
                f"Expected optimizer='adamw' for layer_decay. Received: {self.optimizer!r} with {self.layer_decay}."
            )
        if self.head_epochs and self.trainable == "head":
            raise InputError(
                f"Expected head_epochs=0 with trainable='head', whose epochs are all the head's. Received: "
                f"{self.head_epochs}."
            )
        if self.batch_size % self.grad_accum_steps:
            raise InputError(
                f"Expected grad_accum_steps to be a divisor of batch_size={self.batch_size}. "
                f"Received: {self.grad_accum_steps}."
            )

    @property
    def warmup(self) -> float:
        """`warmup_epochs`, or their default."""
        return min(2.0, self.epochs / 8) if self.warmup_epochs is None else self.warmup_epochs

    @property
    def image_shape(self) -> tuple[int, int]:
        """(height, width) of `image_size`."""
        return self.image_size if isinstance(self.image_size, tuple) else (self.image_size,) * 2

    def _check_sizes(self):
        if isinstance(self.image_size, list):  # as JSON has it
            object.__setattr__(self, "image_size", tuple(self.image_size))
        if len(self.image_shape) != 2:
            raise InputError(f"Expected image_size to be one number, or two. Received: {self.image_size!r}.")
        for side in self.image_shape:
            expect_range("image_size", side, 32, whole=True)
        expect_kind("sizes", self.sizes, (tuple, list), "pixels, such as (160, 192, 256)")
        if self.sizes and isinstance(self.image_size, tuple):
            raise InputError(
                f"Expected one number for image_size beside sizes, which are squares'. Received: {self.image_size} "
                f"with sizes {self.sizes}. Leave sizes out."
            )
        if self.sizes and self.aug_repeats > 1:
            raise InputError(
                f"Expected one image size throughout for aug_repeats. Received: {self.aug_repeats} with sizes "
                f"{self.sizes}. Leave sizes out."
            )
        for size in self.sizes:
            expect_range("each of sizes", size, 32, whole=True)

    def _check_distillation(self):
        needs = {  # a setting -> (whether the setting that it needs is there, that in words)
            "teacher": (self.distillation is not None, "distillation='hard' or 'soft'"),
            "distillation": (self.teacher is not None, "a teacher"),
            "distillation_alpha": (self.teacher is not None, "a teacher"),
            "distillation_temperature": (self.distillation == "soft", "distillation='soft'"),
        }
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name, (given, what) in needs.items():
            if getattr(self, name) != defaults[name] and not given:
                raise InputError(f"Expected {what} beside {name}. Received: {getattr(self, name)!r} alone.")

    def for_head(self) -> Self:
        """The settings of the run before this one, in which the head alone learns for `head_epochs` epochs."""
        return dataclasses.replace(
            self,
            trainable="head",
            epochs=self.head_epochs,
            head_epochs=0,
            learning_rate=self.head_learning_rate or 10 * self.learning_rate,
            head_learning_rate=None,
            min_learning_rate=None,
            layer_decay=1.0,
            warmup_epochs=0.0,
            warmup_steps=None,
            warmup_learning_rate=0.0,
        )

    def open_source(self) -> "Source":
        """The Source that these settings train and test on."""
        from keras_mobattn.data import open_source  # which imports TensorFlow

        return open_source(self.dataset, self.data_dir, self.on_corrupt, targets=TASKS[self.task].targets)


@dataclasses.dataclass(frozen=True)
class Execution:
    """Where a run computes and what it keeps; may change when the run is resumed."""

    strategy: Literal[tuple(STRATEGIES)] = "auto"
    """The devices: one; all of this machine (mirrored); those of the machines in TF_CONFIG or of the Slurm job
    (multi-worker); a TPU. auto takes what is there."""
    data_service: str | None = None
    """A tf.data service's dispatcher that prepares the images, e.g. grpc://10.0.0.2:5000; order is then not
    repeatable."""
    checkpoint_steps: int | None = None
    """Also save after so many steps; each epoch's end is saved anyway."""
    checkpoint_minutes: float | None = 10.0
    """Also save after so many minutes."""
    keep_checkpoints: int = 2
    """How many of the newest are kept, besides best.keras."""
    on_nan: Literal["stop", "skip"] = "stop"
    """What a loss or gradient that is not finite does: stop the run, or skip the batch and count it."""
    histograms: bool = False
    """Write a histogram of each weight to TensorBoard after each epoch."""

    def __post_init__(self):
        """Raise InputError for values that no run can use."""
        lowest = {"checkpoint_steps": 1, "checkpoint_minutes": 0, "keep_checkpoints": 1}
        _expect_ranges(self, {name: {"low": low} for name, low in lowest.items()})


def _expect_ranges(settings, limits):
    """Check fields of a dataclass, whole numbers where the field is an int: {name: arguments of expect_range}."""
    types = {field.name: field.type for field in dataclasses.fields(settings)}
    for name, limit in limits.items():
        value, kinds = getattr(settings, name), get_args(types[name]) or (types[name],)  # (int, NoneType), or (int,)
        if not isinstance(value, kinds[1:]):
            expect_range(name, value, whole=kinds[0] is int, **limit)


def settings_to_resume(settings, earlier):
    """`settings` for a run that was begun with the settings `earlier`.

    "mobile" means the run's form of Mobile-Attention, which is the published one in a run from before there were two,
    or from such weights. A warm-up that is left out is the run's, since it once was two epochs.
    """
    if settings.warmup_epochs is None:
        settings = dataclasses.replace(settings, warmup_epochs=earlier.warmup_epochs)
    both = (settings.attention, earlier.attention)
    return dataclasses.replace(settings, attention=both[1]) if both == ("mobile", "mobile_published") else settings


FORMAT = 2  # of settings.json. Format 1, without this field, calls Mobile-Attention as published "mobile"


def save_settings(path: "PathLike", settings: TrainSettings) -> None:
    """Write the settings.json of a run."""
    write_json(path, {"format": FORMAT, **dataclasses.asdict(settings)})


def load_settings(path: "PathLike") -> TrainSettings:
    """The TrainSettings in a run's settings.json, with the meaning that names had when it was written.

    Raises:
        InputError: no such file, or one that was not written by this package.
    """
    path = expect_path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values.pop("format", 1)
        expect_range("format", version, 1, FORMAT, whole=True, advice="A newer keras_mobattn reads others.")
        if version == 1 and values.setdefault("attention", "mobile") == "mobile":
            values["attention"] = "mobile_published"
        return TrainSettings(**{**values, "sizes": tuple(values.get("sizes", ()))})
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise InputError(
            f"Expected the folder of a training run, with settings.json in it. Received: {path}."
        ) from error
    except (TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"Expected the settings of a run in {path}. Received: a file without ({error}). Take another folder."
        ) from error
    except InputError as error:  # values that this version doesn't write
        raise InputError(f"{error} That is in {path}.") from error
