"""The pixels of an image file, as a person sees it; and whether TensorFlow may decode the file instead.

Every command goes from a file to pixels in this one way: Pillow's, turned as the EXIF data say, over white where the
image is transparent, the high byte of 16 bits. TensorFlow is faster and can decode a part of a JPEG. It gets the files
that `inspect_image` calls plain: these it decodes to the same pixels.
"""

import contextlib
import dataclasses
import functools
import hashlib
import io
import threading
from pathlib import Path

import numpy as np

from keras_mobattn._types import PathLike
from keras_mobattn.errors import InputError, expect_path

SUFFIXES_OF = {  # Pillow's word for a format -> how its files end
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".mpo",),  # a JPEG with further pictures, of some phones; mostly under .jpg
    "PNG": (".png",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif"),
    "JPEG2000": (".jp2",),
    "PPM": (".ppm", ".pgm", ".pnm"),
}
SUFFIXES = tuple(suffix for suffixes in SUFFIXES_OF.values() for suffix in suffixes)
ORIENTATION = 0x0112  # EXIF's tag: 1 upright, 2 mirrored, 3 upside down, ... 8
TURNED = 5  # orientations from here on have the sides exchanged
DEEP = ("I;16", "I;16L", "I;16B", "I;16N")  # Pillow's modes of one channel of 16 bits
TENSORFLOW_BYTES = 2**29  # of pixels: TensorFlow decodes no larger JPEG
MOST_PIXELS = 2**29  # more is damage, or an attack: the largest phone cameras have 200 million
NEEDS = {  # how a file's bytes 4 to 11 begin -> what reading it takes
    b"ftyphei": "HEIC, which takes `pip install pi-heif`",
    b"ftypavi": "AVIF, which takes Pillow 11.3 or newer",
}
_LIMIT = threading.Lock()


class Unreadable(Exception):  # noqa: N818  no error of a program: a reason
    """Why a file's pixels can't be had, in a few words."""


@dataclasses.dataclass(frozen=True)
class ImageFacts:
    """What `inspect_image` has found out about an image file."""

    orientation: int  # EXIF's, 1..8
    plain: bool  # whether TensorFlow decodes it to the same pixels, not yet turned upright
    digest: bytes  # of its bytes
    size: tuple[int, int]  # (height, width), upright


def read_image(path: PathLike) -> np.ndarray:
    """The pixels of an image file, turned as its EXIF data say: uint8 [h, w, 3] RGB. Formats: see SUFFIXES_OF.

    Transparent parts are white, as in a viewer; of 16 bits the high byte counts, of an animation the first picture.

    Raises:
        InputError: no such file, not an image, a damaged one, or grey levels of 32 bits, whose range isn't told.
    """
    path = expect_path(path)
    try:
        with open_image(path) as image:
            return _pixels(image)
    except Unreadable as reason:
        raise InputError(
            f"Expected an image file. Received: {str(path)!r} ({reason}). Give a JPEG, PNG or another format that "
            "Pillow reads."
        ) from reason


def inspect_image(path):
    """The ImageFacts of a file, which is decoded for that.

    Raises:
        Unreadable: it can't.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error
    with open_image(io.BytesIO(content)) as image:
        plain, orientation = _is_plain(image), _orientation(image)
        if plain:
            size = (image.width, image.height) if orientation >= TURNED else (image.height, image.width)
            image.load()
        else:  # some formats' sides Pillow turns itself when it opens them
            size = _pixels(image).shape[:2]
        is_png = image.format == "PNG"
    if plain and not _tensorflow_decodes(content):
        if is_png:  # of which Pillow overlooks some damage
            raise Unreadable("damaged")
        plain = False  # a JPEG without its end, which Pillow reads
    return ImageFacts(orientation, plain, hashlib.blake2b(content, digest_size=16).digest(), size)


def upright_bmp(path):
    """The image at `path`, as `read_image` reads it, in the bytes of a BMP: for files that aren't plain."""
    from PIL import Image

    written = io.BytesIO()
    Image.fromarray(read_image(path)).save(written, "BMP")
    return written.getvalue()


@contextlib.contextmanager
def open_image(file):
    """Yield Pillow's image of a path or a binary file; whatever goes wrong with it in the block is Unreadable."""
    from PIL import Image

    try:
        with _without_limit():
            image = Image.open(file, formats=_formats())
        with image:
            if image.width * image.height > MOST_PIXELS:
                raise Unreadable(f"{image.width * image.height / 1e6:.0f} megapixels; up to {MOST_PIXELS / 1e6:.0f} go")
            yield image
    except (Unreadable, MemoryError):
        raise
    except Image.UnidentifiedImageError as error:
        raise Unreadable(_unknown(file)) from error
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error
    except Exception as error:  # damaged headers make the decoders raise SyntaxError, ValueError, ...
        raise Unreadable(f"damaged: {type(error).__name__}") from error


@contextlib.contextmanager
def _without_limit():
    """Lift Pillow's limit of 179 million pixels, since phones make larger photos. Ours is MOST_PIXELS."""
    from PIL import Image

    with _LIMIT:
        kept, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = kept


@functools.cache
def _formats():
    """The formats of SUFFIXES_OF that Pillow reads here. HEIC's decoder, pi-heif, turns a picture upright itself."""
    from PIL import Image

    Image.init()
    with contextlib.suppress(ImportError):
        import pi_heif

        pi_heif.register_heif_opener()
    return [name for name in SUFFIXES_OF if name in Image.OPEN]


def _unknown(file):
    """A few words on a file that fits no format."""
    head = file.getvalue()[4:12] if isinstance(file, io.BytesIO) else Path(file).read_bytes()[4:12]
    return next((text for brand, text in NEEDS.items() if head.startswith(brand)), "not an image")


def _orientation(image):
    value = image.getexif().get(ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def _is_plain(image):
    """Whether TensorFlow decodes an image to the same pixels, not yet turned upright."""
    if image.mode not in ("L", "RGB") or image.has_transparency_data:
        return False
    large = image.width * image.height * 3 >= TENSORFLOW_BYTES
    return image.format in ("JPEG", "MPO", "PNG") and not large


def _tensorflow_decodes(content):
    import tensorflow as tf

    try:
        tf.io.decode_image(content, channels=3)
    except tf.errors.OpError:
        return False
    return True


def _pixels(image):
    """uint8 [h, w, 3] of an open image."""
    from PIL import Image, ImageOps

    deep = image.mode in DEEP or (image.format == "PPM" and image.mode == "I")  # Pillow's mode of 16-bit .pgm
    image = ImageOps.exif_transpose(image)
    if deep:
        return np.repeat((np.array(image) >> 8).astype(np.uint8)[..., np.newaxis], 3, axis=-1)
    if image.mode in ("I", "F"):
        raise Unreadable("grey levels of 32 bits, whose range the file does not tell")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))
