"""One image file as a person sees it."""

import numpy as np

from keras_mobattn.errors import InputError

DEEP = ("I", "F")  # the beginning of Pillow's modes of 16 and 32 bits, which it would cut off at 255


def read_image(path):
    """Read any format that Pillow knows, turned as its EXIF data say: uint8 [h, w, 3] RGB, transparency dropped.

    Raises:
        InputError: no such file, not an image, a damaged one, or one of more than 8 bits a channel.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            if not image.mode.startswith(DEEP):
                return np.array(ImageOps.exif_transpose(image).convert("RGB"))
            reason = "more than 8 bits a channel"
    except Image.UnidentifiedImageError:
        reason = "not an image"
    except OSError as error:
        reason = error.strerror or str(error)
    except Exception as error:  # damaged headers make the decoders raise SyntaxError, ValueError, ...
        reason = f"damaged: {type(error).__name__}"
    raise InputError(
        f"Expected an image file with 8 bits a channel. Received: {str(path)!r} ({reason}). Give a JPEG, PNG or "
        "another format that Pillow reads."
    )
