"""What is written down of a family once: a record that no TensorFlow is needed to read.

Hence it lies apart from the model function, whose module imports TensorFlow: flags, help texts, completions and tables
of names are there at once.
"""

import dataclasses
import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar, overload

Entry = TypeVar("Entry")
Value = TypeVar("Value", covariant=True)
# Fields of a Family
IMAGENET: dict[str, Any] = {"input_size": 224, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@dataclasses.dataclass(frozen=True)
class Variant:
    """A published model: the arguments of the model function, and what is trained of it with 1000 classes."""

    arguments: dict[str, object]
    parameters: int


@dataclasses.dataclass(frozen=True)
class Published:
    """What is written down of any checkpoint at the hub. `params` counts what is trained."""

    name: str  # behind its owner's
    architecture: str  # the default name of our backbone, a key of its family's `variants`
    origin: str = dataclasses.field(kw_only=True)  # who trained it
    licence: str = dataclasses.field(kw_only=True)
    input_size: int = dataclasses.field(kw_only=True)
    params: int | None = dataclasses.field(default=None, kw_only=True)  # None: its variant's
    # Set by the Family itself, before anybody reads it
    family: "Family" = dataclasses.field(  # type: ignore[assignment]
        default=None, kw_only=True, repr=False, compare=False
    )

    owner: ClassVar[str]  # at the hub

    @property
    def repository(self) -> str:
        """Its name at the hub."""
        return f"{self.owner}/{self.name}"

    @property
    def mean(self) -> tuple[float, float, float]:
        """Of RGB 0..1."""
        return self.family.mean

    @property
    def std(self) -> tuple[float, float, float]:
        """Of RGB 0..1."""
        return self.family.std

    @property
    def source(self) -> str:
        """Who trained it, and the paper."""
        return f"{self.origin}, {self.family.paper}"

    @property
    def function(self) -> str:
        """The name of the model function that it, or its backbone, fits."""
        return self.family.name

    @property
    def arguments(self) -> dict[str, Any]:
        """That function's arguments for it."""
        return dict(self.family.variants[self.architecture].arguments)


@dataclasses.dataclass(frozen=True)
class Checkpoint(Published):
    """One checkpoint of timm's, with the preparation of images that its figures were measured with.

    The short side is resized to input_size / crop pixels, the centre of input_size x input_size is cut out, and RGB
    0..1 has `mean` subtracted and is divided by `std`. top1 and top5 are in percent on ImageNet-1k's validation images,
    as timm's results-imagenet.csv gives them. `params` is with 1000 classes. `gmacs` at input_size are timm's
    benchmark's, which count normalisations and products inside the attention too. timm renamed the tensors of
    `origin`, and put MobileViT's stem in RGB order.
    """

    top1: float
    top5: float
    gmacs: float
    crop: float = dataclasses.field(kw_only=True)
    interpolation: str = dataclasses.field(default="bicubic", kw_only=True)

    owner = "timm"

    @property
    def call(self) -> str:
        """What to write for the model that it fits."""
        return written_call(self.function, self.arguments)


@dataclasses.dataclass(frozen=True)
class SegmenterCheckpoint(Published):
    """One DeepLabv3 of Apple's, in transformers' layout, for the 21 classes of Pascal VOC at output stride 16.

    RGB 0..1 goes in as it is. miou is the mean intersection over union on VOC's validation images in percent, None
    where none was published; `width` counts the channels of its head.
    """

    miou: float | None
    width: int

    owner = "apple"

    @property
    def call(self) -> str:
        """What to write for it."""
        return written_call("DeepLabV3", {"weights": self.repository})


@dataclasses.dataclass(frozen=True, eq=False)
class Family:
    """A family of models. `function` and `layouts` may be "module:attribute", which is imported when it is needed.

    The checkpoints know their family, and those without a number of parameters have their variant's.
    """

    name: str  # the model function's
    function: str | Callable
    paper: str  # "arXiv:2012.12877"
    attention: str  # its own, as the function's argument; "own" where that is none of ATTENTIONS
    attention_class: str  # by which a checkpoint's attention is told from another
    attention_config: Mapping[str, object] = dataclasses.field(default_factory=dict)  # what no tensor's shape tells
    attention_patch: int = 1  # pixels a side of the patches that its maps are unfolded into for any attention
    input_size: int = 256
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of RGB 0..1
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    pyramid: tuple[int, ...] = (1, 2, 3, 4, 5)  # the levels P1 .. P5 that it has
    variants: Mapping[str, Variant] = dataclasses.field(default_factory=dict)  # published, by the model's default name
    small: tuple[str, ...] = ("test",)  # variants of ours: "nano" for studies on two cores, "test" for tests
    example: str | None = None  # the one of `variants` that tables show with each attention
    checkpoints: tuple[Checkpoint, ...] = ()
    segmenters: tuple[SegmenterCheckpoint, ...] = ()
    layouts: str | tuple = ()  # of checkpoints: Layouts of keras_mobattn.weights.layouts
    # Sides of which it resizes no map, for a Core ML package of several sizes. None: positions, or a map that is
    # resized at any size, leave it one size.
    size_multiple: int | None = None
    quick_styles: tuple[str, ...] = ("mobile",)  # attentions that are always tested, and not by the slow tests alone

    def __post_init__(self):
        for published in ("checkpoints", "segmenters"):
            known = (
                dataclasses.replace(
                    each, family=self, params=each.params or self.variants[each.architecture].parameters
                )
                for each in getattr(self, published)
            )
            object.__setattr__(self, published, tuple(known))

    @property
    def build(self) -> Callable[..., Any]:
        """The model function."""
        return _resolved(self.function)

    @property
    def sources(self) -> tuple[Any, ...]:
        """The Layouts of its checkpoints, one for each source."""
        return _resolved(self.layouts)

    @property
    def styles(self) -> tuple[str, ...]:
        """The attention that is its own and no style of every family's: ("own",), or ()."""
        return ("own",) if self.attention == "own" else ()

    def title(self, variant: str) -> str:
        """What a published variant is called: "MobileViTv2 0.5", "DeiT tiny distilled"."""
        words = (name if value is True else str(value) for name, value in self.variants[variant].arguments.items())
        return " ".join([self.name, *words])


class DerivedMapping(Mapping[str, Value]):
    """A read-only Mapping over a table that is made when it is asked for, since FAMILIES may grow.

    `table()` gives the keys and what `value` makes the values of.
    """

    @overload
    def __init__(self, table: Callable[[], Mapping[str, Value]]) -> None: ...

    @overload
    def __init__(self, table: Callable[[], Mapping[str, Entry]], value: Callable[[Entry], Value]) -> None: ...

    def __init__(
        self, table: Callable[[], Mapping[str, Any]], value: Callable[[Any], Any] = lambda entry: entry
    ) -> None:
        self._table, self._value = table, value

    def __getitem__(self, key: str) -> Value:
        return self._value(self._table()[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._table())

    def __len__(self) -> int:
        return len(self._table())

    def __repr__(self):
        return f"DerivedMapping({', '.join(map(repr, self))})"


def written_call(function: str, arguments: Mapping[str, object]) -> str:
    """A call as a user writes it: MobileViT(variant="s")."""
    values = {name: json.dumps(value) if isinstance(value, str) else repr(value) for name, value in arguments.items()}
    return f"{function}({', '.join(f'{name}={value}' for name, value in values.items())})"


def _resolved(reference):
    """What "module:attribute" names; anything else is itself."""
    return pkgutil.resolve_name(reference) if isinstance(reference, str) else reference
