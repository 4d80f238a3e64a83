"""A mask in a file: what numbers or colours it holds, and its pixels once a Legend has said which classes these are."""

import dataclasses
import hashlib
import io
from pathlib import Path

import numpy as np

from keras_mobattn.data.image_file import DEEP, Unreadable, open_image
from keras_mobattn.errors import InputError

GREY, PALETTE, COLOURS = "grey", "palette", "colours"
KINDS = {"L": GREY, "1": GREY, "I": GREY, **dict.fromkeys(DEEP, GREY), "P": PALETTE, "RGB": COLOURS, "RGBA": COLOURS}
STRETCHED = (2, 4)  # bits of grey levels, which readers multiply: nobody can tell which numbers were meant


@dataclasses.dataclass(frozen=True)
class MaskFacts:
    """What a mask holds.

    size: (height, width), upright. kind: GREY and PALETTE are of numbers, COLOURS of 0xRRGGBB. codes: those numbers or
    colours, each once, sorted. palette: of a PALETTE the colour of each code, 0xRRGGBB. digest: of what it holds.
    plain: whether TensorFlow reads these numbers from the file.
    """

    size: tuple[int, int]
    kind: str
    codes: tuple[int, ...]
    palette: tuple[int, ...]
    digest: bytes
    plain: bool


@dataclasses.dataclass(frozen=True)
class MaskFile:
    """A mask in a PNG."""

    path: Path

    def pixels(self):
        """What each pixel holds, upright: int [h, w]; see MaskFacts.codes.

        Raises:
            Unreadable: no PNG, a damaged one, one of another kind than KINDS has.
        """
        with open_image(self.path) as image:
            return _codes(image)[0]

    def inspect(self):
        """Its MaskFacts. Raises as `pixels`."""
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise Unreadable(error.strerror or str(error)) from error
        with open_image(io.BytesIO(content)) as image:
            if image.format != "PNG":
                raise Unreadable(f"a {image.format}, where masks are PNGs")
            depth, colour_type = content[24:26]  # of the header, which a PNG begins with
            if colour_type == 0 and depth in STRETCHED:
                raise Unreadable(f"grey levels of {depth} bits, which readers stretch: write 8")
            pixels, palette = _codes(image)
            kind = KINDS[image.mode]
        codes = _different(pixels)
        return MaskFacts(
            size=pixels.shape,
            kind=kind,
            codes=codes,
            palette=tuple(palette[code] for code in codes) if kind == PALETTE else (),
            digest=hashlib.blake2b(content, digest_size=16).digest(),
            plain=kind == GREY and _tensorflow_reads(content, pixels),
        )


@dataclasses.dataclass(frozen=True)
class Mask:
    """A mask whose classes are known: of what `file.pixels()` gives, `codes` are `classes`.

    plain: whether the file itself is a PNG of the classes.
    """

    file: MaskFile
    codes: tuple[int, ...]
    classes: tuple[int, ...]
    digest: bytes
    plain: bool

    def png(self):
        """The bytes of a grey PNG of 8 bits of the classes."""
        from PIL import Image

        codes, pixels = np.array(self.codes), self.file.pixels()
        places = np.minimum(np.searchsorted(codes, pixels), len(codes) - 1)
        if (codes[places] != pixels).any():
            raise InputError(f"Expected {str(self.file.path)!r} as it was when it was checked. Received: another mask.")
        written = io.BytesIO()
        Image.fromarray(np.array(self.classes, np.uint8)[places]).save(written, "PNG", compress_level=1)
        return written.getvalue()

    @property
    def fingerprint(self):
        """A text that differs where the classes of pixels do."""
        return f"{self.digest.hex()} {self.codes} {self.classes}"


def _codes(image):
    """(int [h, w], the palette's colours or ()) of Pillow's image, upright."""
    from PIL import ImageOps

    if image.mode not in KINDS:
        raise Unreadable(f"pixels of the kind {image.mode}, where masks are grey, of a palette or RGB")
    palette = ()
    if image.mode == "P":
        image.load()
        palette = _packed(np.array(image.getpalette("RGB")).reshape(-1, 3)).tolist()
    image = ImageOps.exif_transpose(image)
    if KINDS[image.mode] == COLOURS:
        return _packed(np.array(image)[..., :3]), ()
    pixels = np.array(image.convert("L") if image.mode == "1" else image)
    if palette and pixels.max() >= len(palette):
        raise Unreadable(f"number {pixels.max()} in a palette of {len(palette)}")
    return pixels, palette


def _packed(colours):
    """[.., 3] as 0xRRGGBB."""
    red, green, blue = np.moveaxis(colours.astype(np.int64), -1, 0)
    return (red << 16) | (green << 8) | blue


def _different(pixels):
    """The numbers in pixels, sorted; for those of one byte without sorting all pixels."""
    found = np.flatnonzero(np.bincount(pixels.ravel())) if pixels.dtype == np.uint8 else np.unique(pixels)
    return tuple(found.tolist())


def _tensorflow_reads(content, pixels):
    import tensorflow as tf

    try:
        read = tf.io.decode_png(content, channels=1).numpy()[..., 0]
    except tf.errors.OpError:
        return False
    return read.shape == pixels.shape and bool((read == pixels).all())
