"""The class names in a .tflite file: a text file in a zip behind the flatbuffer, as TFLite metadata has it."""

import io
import os
import zipfile

from keras_mobattn.errors import expect_path

LABELS = "labels.txt"  # the name inside the file


def with_labels(content, labels):
    """Return the bytes of a .tflite file with class names appended, if there are any."""
    if not labels:
        return content
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(zipfile.ZipInfo(LABELS), "".join(f"{label}\n" for label in labels))  # dated 1980
    return file.getvalue()


def embedded_labels(file: str | os.PathLike[str]) -> tuple[str, ...]:
    """The class names in a .tflite file; () if there are none.

    Raises:
        OSError: it can't be read.
    """
    file = expect_path(file, "file")
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.read(LABELS).decode("utf-8")
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError):
        return ()
    return tuple(names.strip("\n").split("\n"))
