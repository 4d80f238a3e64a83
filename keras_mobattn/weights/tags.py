"""The published checkpoints: where each comes from, and how its images are prepared."""

import dataclasses
import difflib
import json
import re

from keras_mobattn.errors import InputError
from keras_mobattn.weights.rules import family_of

# Model function -> its arguments for what follows the family in an architecture's name; the others have a variant
ARGUMENTS = {
    "MobileViTv2": lambda size: {"width": int(size) / 100},
    "DeiT": lambda size: {"variant": size.split("_")[0]} | ({"distilled": True} if "distilled" in size else {}),
    "PVTv2": lambda size: {"variant": size.removeprefix("v2_")},
}


def written_call(function, arguments):
    """A call as a user writes it: MobileViT(variant="s")."""
    values = {name: json.dumps(value) if isinstance(value, str) else repr(value) for name, value in arguments.items()}
    return f"{function}({', '.join(f'{name}={value}' for name, value in values.items())})"


@dataclasses.dataclass(frozen=True)
class Tag:
    """One checkpoint of timm's, with the preparation of images that its figures were measured with.

    The short side is resized to input_size / crop pixels, the centre of input_size x input_size is cut out, and RGB
    0..1 has `mean` subtracted and is divided by `std`. top1 and top5 are in percent on ImageNet-1k's validation images,
    as timm's results-imagenet.csv gives them. `params` counts what is trained, with 1000 classes. `gmacs` at input_size
    are timm's benchmark's, which count normalisations and products inside the attention too.
    """

    name: str
    top1: float
    top5: float
    params: int
    gmacs: float
    input_size: int = 256
    crop: float = 0.888
    interpolation: str = "bicubic"
    origin: str = "apple/ml-cvnets"  # who trained it; timm renamed the tensors, and put MobileViT's stem in RGB order
    licence: str = "Apple's, in LICENSE of apple/ml-cvnets"  # what timm's model card refers to; the hub lists "other"

    @property
    def repository(self):
        """Its name at the hub."""
        return f"timm/{self.name}"

    @property
    def architecture(self):
        """The default name of our model: timm's, but that patch and image size are not in DeiT's."""
        return re.sub(r"_patch16_\d+$", "", self.name.split(".")[0])

    @property
    def family(self):
        """Its Family, which has the normalisation of its images."""
        return family_of(self.architecture)

    @property
    def mean(self):
        """Of RGB 0..1."""
        return self.family.mean

    @property
    def std(self):
        """Of RGB 0..1."""
        return self.family.std

    @property
    def source(self):
        """Who trained it, and the paper."""
        return f"{self.origin}, {self.family.paper}"

    @property
    def function(self):
        """The name of the model function that it fits."""
        return self.family.function

    @property
    def arguments(self):
        """That function's arguments for it."""
        size = self.architecture.split("_", 1)[1]
        return ARGUMENTS.get(self.function, lambda size: {"variant": size})(size)

    @property
    def call(self):
        """What to write for the model that it fits."""
        return written_call(self.function, self.arguments)


_APACHE = {"input_size": 224, "crop": 0.9, "licence": "Apache-2.0"}
_DEIT = _APACHE | {"origin": "facebookresearch/deit"}
_DEIT_384 = _DEIT | {"input_size": 384, "crop": 1.0}
_PVT = _APACHE | {"origin": "whai362/PVT"}
TAGS = {
    tag.name: tag
    for tag in (
        Tag("mobilevit_xxs.cvnets_in1k", 68.936, 88.942, 1_272_024, 0.42, crop=0.9),
        Tag("mobilevit_xs.cvnets_in1k", 74.618, 92.350, 2_317_848, 1.05, crop=0.9),
        Tag("mobilevit_s.cvnets_in1k", 78.298, 94.168, 5_578_632, 2.03, crop=0.9),
        Tag("mobilevitv2_050.cvnets_in1k", 70.156, 89.930, 1_370_593, 0.48),
        Tag("mobilevitv2_075.cvnets_in1k", 75.612, 92.754, 2_866_009, 1.05),
        Tag("mobilevitv2_100.cvnets_in1k", 78.088, 94.170, 4_901_841, 1.84),
        Tag("mobilevitv2_125.cvnets_in1k", 79.682, 94.844, 7_478_089, 2.86),
        Tag("mobilevitv2_150.cvnets_in1k", 80.380, 95.050, 10_594_753, 4.09),
        Tag("mobilevitv2_175.cvnets_in1k", 80.870, 95.280, 14_251_833, 5.54),
        Tag("mobilevitv2_200.cvnets_in1k", 81.148, 95.380, 18_449_329, 7.22),
        Tag("mobilevitv2_150.cvnets_in22k_ft_in1k", 81.466, 95.678, 10_594_753, 4.09),
        Tag("mobilevitv2_175.cvnets_in22k_ft_in1k", 81.950, 95.796, 14_251_833, 5.54),
        Tag("mobilevitv2_200.cvnets_in22k_ft_in1k", 82.320, 95.942, 18_449_329, 7.22),
        Tag("mobilevitv2_150.cvnets_in22k_ft_in1k_384", 82.606, 96.314, 10_594_753, 9.20, input_size=384, crop=1.0),
        Tag("mobilevitv2_175.cvnets_in22k_ft_in1k_384", 82.920, 96.450, 14_251_833, 12.47, input_size=384, crop=1.0),
        Tag("mobilevitv2_200.cvnets_in22k_ft_in1k_384", 83.430, 96.576, 18_449_329, 16.24, input_size=384, crop=1.0),
        Tag("deit_tiny_patch16_224.fb_in1k", 72.190, 91.100, 5_717_416, 1.26, **_DEIT),
        Tag("deit_small_patch16_224.fb_in1k", 79.856, 95.056, 22_050_664, 4.61, **_DEIT),
        Tag("deit_base_patch16_224.fb_in1k", 81.980, 95.740, 86_567_656, 17.58, **_DEIT),
        Tag("deit_base_patch16_384.fb_in1k", 83.108, 96.376, 86_859_496, 55.54, **_DEIT_384),
        Tag("deit_tiny_distilled_patch16_224.fb_in1k", 74.538, 91.898, 5_910_800, 1.27, **_DEIT),
        Tag("deit_small_distilled_patch16_224.fb_in1k", 81.204, 95.378, 22_436_432, 4.63, **_DEIT),
        Tag("deit_base_distilled_patch16_224.fb_in1k", 83.384, 96.492, 87_338_192, 17.68, **_DEIT),
        Tag("deit_base_distilled_patch16_384.fb_in1k", 85.438, 97.332, 87_630_032, 55.65, **_DEIT_384),
        Tag("pvt_v2_b0.in1k", 70.654, 90.206, 3_666_760, 0.57, **_PVT),
        Tag("pvt_v2_b1.in1k", 78.698, 94.490, 14_009_000, 2.12, **_PVT),
        Tag("pvt_v2_b2.in1k", 82.062, 95.966, 25_362_856, 4.05, **_PVT),
        Tag("pvt_v2_b2_li.in1k", 82.200, 96.108, 22_553_512, 3.91, **_PVT),
        Tag("pvt_v2_b3.in1k", 83.120, 96.560, 45_238_696, 6.92, **_PVT),
        Tag("pvt_v2_b4.in1k", 83.710, 96.672, 62_556_072, 10.14, **_PVT),
        Tag("pvt_v2_b5.in1k", 83.760, 96.634, 81_956_008, 11.76, **_PVT),
    )
}


def find_tag(name):
    """Return the Tag called "mobilevitv2_100.cvnets_in1k" or "timm/mobilevitv2_100.cvnets_in1k".

    Raises:
        InputError: there is none of that name; it lists those that come near.
    """
    wanted = str(name).removeprefix("timm/")
    if wanted in TAGS:
        return TAGS[wanted]
    close = difflib.get_close_matches(wanted, TAGS, 4, cutoff=0.4)
    hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
    raise InputError(
        f"Expected the name of a published checkpoint, such as 'timm/mobilevitv2_100.cvnets_in1k'. Received: {name!r}. "
        f"{hint}keras_mobattn.list_weights() prints them all."
    )


def imagenet_tag(architecture):
    """Return the Tag with the best top-1 of an architecture at its default size: "mobilevitv2_100", "pvt_v2_b0".

    Raises:
        InputError: none was published for it; it lists those for which there is one.
    """
    fitting = [
        tag for tag in TAGS.values() if tag.architecture == architecture and tag.input_size == tag.family.input_size
    ]
    if not fitting:
        calls = dict.fromkeys(tag.call for tag in TAGS.values())
        raise InputError(
            f"weights='imagenet' expects a model that a checkpoint was published for: {', '.join(calls)}. "
            f"Received: {architecture!r}."
        )
    return max(fitting, key=lambda tag: tag.top1)


def list_weights():
    """Print the published checkpoints that weights= takes: figures, preparation of images, sources and licences."""
    import rich.console
    import rich.table

    table = rich.table.Table(box=None, pad_edge=False)  # the longest name still fits into 80 columns
    table.add_column("weights", no_wrap=True)
    for heading in ("px", "crop", "top-1", "params", "GMACs"):
        table.add_column(heading, justify="right")
    for tag in TAGS.values():
        figures = f"{tag.top1:.2f}", f"{tag.params / 1e6:.2f} M", f"{tag.gmacs:.2f}"
        table.add_row(tag.name, str(tag.input_size), f"{tag.crop:.3f}", *figures)
    console = rich.console.Console()
    console.print(table)
    for interpolation, mean, std in dict.fromkeys((tag.interpolation, tag.mean, tag.std) for tag in TAGS.values()):
        console.print(f"Images: {interpolation} resize, centre crop, RGB 0..1 with mean {mean} and std {std}.")
    for source, licence in dict.fromkeys((tag.source, tag.licence) for tag in TAGS.values()):
        console.print(f"Source: {source}. Licence: {licence}.")
    example = find_tag("mobilevitv2_125.cvnets_in1k")
    console.print(f'For example: {example.call[:-1]}, weights="{example.repository}")', highlight=False)
