"""Everything that is chosen by name. Names are read without TensorFlow: a thing is imported when it is asked for.

Model families have a registry of their own, `families.FAMILIES`.
"""

import collections
import pkgutil
from pathlib import Path
from typing import Any

from keras_mobattn.formats.kinds import COREML, TFLITE


class Registry(collections.UserDict[str, Any]):
    """{name: thing}, where a thing may be given as the text "module:attribute" or "module".

    Such a thing is imported when it is asked for; names, length and `in` import nothing. Entries can be added:
    `AUGMENTATIONS["mine"] = Augmentation(...)`.
    """

    def __getitem__(self, name: str) -> Any:
        thing = super().__getitem__(name)
        return pkgutil.resolve_name(thing) if isinstance(thing, str) else thing


OWN = "own"  # the `attention` that a model was published with
ATTENTIONS = Registry(
    {
        "softmax": "keras_mobattn.attention.softmax:SoftmaxAttention",
        "separable": "keras_mobattn.attention.separable:SeparableAttention",
        "mobile": "keras_mobattn.attention.information_flow:MobileAttention",
        "flow": "keras_mobattn.attention.information_flow:FlowAttention",
        "linear": "keras_mobattn.attention.kernel:LinearAttention",
        "relu_linear": "keras_mobattn.attention.kernel:ReluLinearAttention",
        "efficient": "keras_mobattn.attention.kernel:EfficientAttention",
        "additive": "keras_mobattn.attention.map_wise:AdditiveAttention",
        "hydra": "keras_mobattn.attention.map_wise:HydraAttention",
        "xca": "keras_mobattn.attention.xca:CrossCovarianceAttention",
        "focused": "keras_mobattn.attention.focused:FocusedAttention",
    }
)
# Other forms of these styles, by name wherever a style is named; tables and tests of all styles leave them out.
ATTENTION_FORMS = Registry({"mobile_published": "keras_mobattn.attention.information_flow:published_mobile_attention"})

# Sets of images that need no download
EMBEDDED = {name: f"keras_mobattn.data.{name}" for name in ("digits", "digit_crops", "digit_scenes")}
TASKS = Registry(
    {
        "classification": "keras_mobattn.tasks.classification:CLASSIFICATION",
        "binary_classification": "keras_mobattn.tasks.classification:BINARY_CLASSIFICATION",
        "detection": "keras_mobattn.tasks.detection:DETECTION",
        "segmentation": "keras_mobattn.tasks.segmentation:SEGMENTATION",
    }
)

AUGMENTATIONS = Registry(
    {
        "none": "keras_mobattn.data.augment:NONE",
        "digits": "keras_mobattn.data.augment:DIGITS",
        "imagenet": "keras_mobattn.data.augment:IMAGENET",
        "imagenet-bicubic": "keras_mobattn.data.augment:IMAGENET_BICUBIC",
        "mobilevitv2": "keras_mobattn.data.augment:MOBILEVITV2",
        "deit": "keras_mobattn.data.augment:DEIT",
        "flowformer": "keras_mobattn.data.augment:FLOWFORMER",
        "photos": "keras_mobattn.data.augment:PHOTOS",
        "zoom": "keras_mobattn.data.augment:ZOOM",
        "ssd": "keras_mobattn.data.augment:SSD",
        "ssd-upright": "keras_mobattn.data.augment:SSD_UPRIGHT",
        "segmentation": "keras_mobattn.data.augment:SEGMENTATION",
        "segmentation-upright": "keras_mobattn.data.augment:SEGMENTATION_UPRIGHT",
    }
)

STRATEGIES = Registry(  # functions without arguments that return a tf.distribute strategy
    {
        "auto": "keras_mobattn.training.cluster:auto",
        "one": "keras_mobattn.training.cluster:one",
        "mirrored": "keras_mobattn.training.cluster:mirrored",
        "multi-worker": "keras_mobattn.training.cluster:multi_worker",
        "tpu": "keras_mobattn.training.cluster:tpu",
    }
)
OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "constant")
POLICIES = ("float32", "mixed_float16", "mixed_bfloat16")  # Keras's dtype policies to train with
CLIPS = Registry(
    {"norm": "keras_mobattn.training.clip:by_norm", "agc": "keras_mobattn.training.clip:by_unit"}
)  # timm's
DISTILLATIONS = Registry({kind: f"keras_mobattn.tasks.classification.distillation:{kind}" for kind in ("hard", "soft")})
# A recipe is a file in this folder, by the file's name. Sorted by name, so that recipes of one model stand together.
_RECIPES = Path(__file__).with_name("recipes")
RECIPES = Registry(
    {
        module.name: f"keras_mobattn.recipes.{module.name}"
        for module in sorted(pkgutil.iter_modules([str(_RECIPES)]))
        if not module.name.startswith("_")
    }
)

TFLITE_PRECISIONS = Registry(
    {
        "fp32": "keras_mobattn.export.tflite.convert:FP32",
        "fp16": "keras_mobattn.export.tflite.convert:FP16",
        "dynamic": "keras_mobattn.export.tflite.convert:DYNAMIC",
        "int8": "keras_mobattn.export.tflite.convert:INT8",
    }
)
IO_DTYPES = {"float32": None, "uint8": 0, "int8": -128}  # of a .tflite file -> the zero point: what stands for 0

COREML_PRECISIONS = Registry(
    {"fp32": "keras_mobattn.export.coreml.convert:FP32", "fp16": "keras_mobattn.export.coreml.convert:FP16"}
)
DEFAULT_WEIGHTS = "mobilevitv2_100.cvnets_in1k"  # for predictions where no model is named
COREML_COMPRESSIONS = Registry(
    {
        "int8": "keras_mobattn.export.coreml.compress:INT8",
        "int4": "keras_mobattn.export.coreml.compress:INT4",
        "w8a8": "keras_mobattn.export.coreml.compress:W8A8",
        "palettized8": "keras_mobattn.export.coreml.compress:PALETTIZED8",
        "palettized6": "keras_mobattn.export.coreml.compress:PALETTIZED6",
        "palettized4": "keras_mobattn.export.coreml.compress:PALETTIZED4",
        "palettized6_a8": "keras_mobattn.export.coreml.compress:PALETTIZED6_A8",
        "pruned50": "keras_mobattn.export.coreml.compress:PRUNED50",
        "pruned50_int8": "keras_mobattn.export.coreml.compress:PRUNED50_INT8",
        "pruned50_palettized6": "keras_mobattn.export.coreml.compress:PRUNED50_PALETTIZED6",
    }
)
# Formats of `mobattn export` -> (kind of file, precision): those made by default, and fp16 packages that are compressed
FORMATS = {f"tflite-{name}": (TFLITE, name) for name in TFLITE_PRECISIONS}
FORMATS |= {f"coreml-{name}": (COREML, name) for name in ("fp16", "fp32")}
ALL_FORMATS = FORMATS | {f"coreml-{name}": (COREML, name) for name in COREML_COMPRESSIONS}
COREML_TARGETS = {  # -> version of the Core ML specification
    "iOS15": 6, "iOS16": 7, "iOS17": 8, "iOS18": 9, "iOS26": 10,
    "macOS12": 6, "macOS13": 7, "macOS14": 8, "macOS15": 9, "macOS26": 10,
}  # fmt: skip
_MAPS = ("logits", "probabilities", "full_size")
FORMS = {  # of detectors and of segmenters, each task's default first: see `forms` in tasks/detection and /segmentation
    TFLITE.name: ("nms", "anchors", "raw", *_MAPS),
    COREML.name: ("vision", "raw", "class_map", *_MAPS),
}
ALL_FORMS = tuple(dict.fromkeys(name for names in FORMS.values() for name in names))
INPUT_TYPES = {  # of an .mlpackage
    "tensor": "float32 [1, H, W, C]",
    "image": "RGB pixels",
    "channels_first": "float32 [1, C, H, W]",
}
COREML_OUTPUT_DTYPES = ("float32", "float16")

# Backends of a benchmark -> their names in its rows (Measurement.backend).
BACKENDS = {"xnnpack": "xnnpack", "builtin": "builtin", "gpu": "gpu fp32", "gpu-fp16": "gpu fp16"}  # of this machine
COREML_UNITS = {  # and coremltools' ComputeUnit
    "all": ("coreml all", "ALL"),
    "cpu": ("coreml cpu", "CPU_ONLY"),
    "cpu-gpu": ("coreml cpu-gpu", "CPU_AND_GPU"),
    "cpu-ane": ("coreml cpu-ane", "CPU_AND_NE"),
}
COREML_DEVICES = ("mac", "iphone")
ANDROID_FOLDER = "/data/local/tmp"  # where adb's user may write and run programs

# `mobattn NAME` -> its module, whose docstring says in a line what it does. In the order of a project.
COMMANDS = {
    "demo": "keras_mobattn.commands.demo",
    "predict": "keras_mobattn.commands.predict",
    "train": "keras_mobattn.commands.train",
    "evaluate": "keras_mobattn.commands.evaluate",
    "export": "keras_mobattn.commands.export",
    "describe": "keras_mobattn.commands.describe",
    "benchmark": "keras_mobattn.commands.benchmark",
    "serve": "keras_mobattn.commands.serve",
    "report": "keras_mobattn.commands.benchmark_report",
    "show-batch": "keras_mobattn.commands.show_batch",
    "models": "keras_mobattn.commands.list_models",
    "weights": "keras_mobattn.commands.list_weights",
    "doctor": "keras_mobattn.commands.doctor",
    "completion": "keras_mobattn.commands.completion",
}
