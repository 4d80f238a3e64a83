"""What a benchmark's record says of the file that was timed: its size, its hash, and what is wrong with it."""

import hashlib

from keras_mobattn.errors import InputError
from keras_mobattn.files import size_bytes
from keras_mobattn.formats.coreml.package import read_mlpackage
from keras_mobattn.formats.tflite.flatbuffer import is_tflite


def identify_tflite(path):
    """Return (size in bytes, SHA-256, what is wrong or None) of a .tflite file.

    Raises:
        OSError: it can't be read.
    """
    content = path.read_bytes()
    wrong = None if is_tflite(content) else "Not a TFLite file: bytes 4 to 7 are not the identifier TFL3."
    return len(content), hashlib.sha256(content), wrong


def identify_mlpackage(path):
    """Return (size in bytes, SHA-256 of all files with their names, what is wrong or None) of an .mlpackage."""
    sha256 = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        content = file.read_bytes()
        sha256.update(f"{file.relative_to(path).as_posix()} {len(content)}\n".encode() + content)
    try:
        read_mlpackage(path)
    except InputError as error:
        return size_bytes(path) if path.exists() else None, sha256, str(error)
    return size_bytes(path), sha256, None
