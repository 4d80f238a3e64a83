"""The inputs and outputs of a Core ML model as an app sees them, read from the protobuf's description."""

import dataclasses
import functools

from keras_mobattn._quiet import import_coremltools

RANGED, ENUMERATED = "range", "enumerated"


@dataclasses.dataclass(frozen=True)
class Feature:
    """An input or output. `kind` is "tensor", "image", "string", "dictionary", "int64", "double" or "state".

    `shape` is the default one; that of an image is (height, width), with its `colour`: "RGB", "BGR", "GRAYSCALE",
    "GRAYSCALE_FLOAT16". Where sizes may vary, `flexible` is "enumerated", with every shape in `shapes`, or "range",
    with (least, most) of each dimension in `ranges`, most being -1 where there is no limit.
    """

    name: str
    kind: str
    dtype: str | None = None
    shape: tuple[int, ...] | None = None
    colour: str | None = None
    flexible: str | None = None
    shapes: tuple[tuple[int, ...], ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()


def is_channels_first(shape):
    """Whether [1, ?, ?, ?] is an image with its 1 or 3 channels ahead of height and width."""
    return len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3)


def read_feature(proto):
    """A FeatureDescription of Core ML's protobuf as a Feature."""
    kind = str(proto.type.WhichOneof("Type")).removesuffix("Type")
    read = {"multiArray": _tensor, "image": _image}.get(kind)
    return read(proto.name, getattr(proto.type, f"{kind}Type")) if read else Feature(proto.name, kind)


def _tensor(name, array):
    return Feature(
        name,
        "tensor",
        dtype=_name("ArrayFeatureType", "ArrayDataType", array.dataType).lower(),
        shape=tuple(array.shape) or None,
        **_flexibility(
            array.WhichOneof("ShapeFlexibility"),
            [tuple(shape.shape) for shape in array.enumeratedShapes.shapes],
            array.shapeRange.sizeRanges,
        ),
    )


def _image(name, image):
    return Feature(
        name,
        "image",
        dtype="uint8" if image.colorSpace != _number("ImageFeatureType", "GRAYSCALE_FLOAT16") else "float16",
        shape=(image.height, image.width),
        colour=_name("ImageFeatureType", "ColorSpace", image.colorSpace),
        **_flexibility(
            image.WhichOneof("SizeFlexibility"),
            [(size.height, size.width) for size in image.enumeratedSizes.sizes],
            (image.imageSizeRange.heightRange, image.imageSizeRange.widthRange),
        ),
    )


def _flexibility(how, shapes, ranges):
    if how in ("enumeratedShapes", "enumeratedSizes"):
        return {"flexible": ENUMERATED, "shapes": tuple(shapes)}
    if how in ("shapeRange", "imageSizeRange"):
        return {"flexible": RANGED, "ranges": tuple((size.lowerBound, size.upperBound) for size in ranges)}
    return {}


@functools.cache
def _types():
    return import_coremltools().proto.FeatureTypes_pb2


def _name(message, enumeration, number):
    return getattr(getattr(_types(), message), enumeration).Name(number)


def _number(message, name):
    return getattr(getattr(_types(), message), name)
