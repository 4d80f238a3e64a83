"""Files and folders that appear whole or not at all."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_mobattn.errors import InputError, expect_path

if TYPE_CHECKING:  # it imports numpy, which a command's help does without
    from keras_mobattn._types import PathLike

CACHE = "KERAS_MOBATTN_CACHE"  # names the folder of what is downloaded and built


def cache_folder(name: str) -> Path:
    """The folder `name` of what is downloaded or built once: in $KERAS_MOBATTN_CACHE, or in the user's cache folder, as
    the XDG rules have it. It need not be there yet."""
    named = os.environ.get(CACHE)
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keras_mobattn"
    return Path(os.path.expanduser(base)) / name


@contextlib.contextmanager
def replacing(path: "PathLike", folder: bool = False) -> Iterator[Path]:
    """Yield a path beside `path` to write a file to, or with `folder` a folder; rename it to `path` once the body ends
    well.

    When the body raises, what it wrote is removed and whatever was at `path` before stays as it was. The temporary name
    keeps the suffix of `path`, since Keras and coremltools choose their format by it. Missing parent folders are made.

    Raises:
        InputError: no path, or that of a folder for a file, or of a file for a folder: neither replaces the other.
        OSError: the parent can't be made or written to, or the disk is full.
    """
    path = expect_path(path)
    if path.exists() and path.is_dir() != folder:
        wanted, found = ("folder", "file") if folder else ("file", "folder")
        raise InputError(f"Expected the path of a {wanted} to write. Received: {str(path)!r}, a {found}. Take another.")
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.stem}-", dir=path.parent))
    try:
        written = scratch / path.name
        yield written
        if path.is_dir():  # os.replace can't put a folder (or a file) in the place of a folder that is not empty
            os.replace(path, scratch / "old")
        os.replace(written, path)
    except BaseException:
        if (scratch / "old").exists() and not path.exists():
            os.replace(scratch / "old", path)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_text(path: "PathLike", text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: "PathLike", value: Any) -> None:
    """Write `value` to `path` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: "PathLike", default: Any) -> Any:
    """What `write_json` wrote to `path`, or `default` where there is nothing.

    Raises:
        InputError: the file holds no JSON.
    """
    path = expect_path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else default
    except ValueError as error:
        raise InputError(
            f"Expected JSON in {path}. Received: a file without ({error}). Remove it, or take another folder."
        ) from error


def is_label(name: Any) -> bool:
    """Whether `read_labels` gives a class name back from a line of its own: printable, without spaces at its ends."""
    return isinstance(name, str) and name == name.strip() and bool(name) and name.isprintable()


def read_labels(file: "PathLike") -> tuple[str, ...]:
    """Read class names, one a line, UTF-8.

    Raises:
        InputError: no such file, not text, no names, or an empty line among them.
    """
    file = expect_path(file, "file")
    try:
        text = file.read_text(encoding="utf-8-sig")  # Windows puts a byte order mark there
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(
            f"Expected a text file with one class name a line. Received: {str(file)!r} ({reason}). Check its path."
        ) from error
    labels = tuple(line.strip() for line in text.rstrip().split("\n"))
    if not all(labels):
        raise InputError(
            f"Expected a class name in every line. Received: {str(file)!r}, whose line {labels.index('') + 1} is empty."
        )
    return labels


def made_after(path: "PathLike", sources: Iterable["PathLike"]) -> bool:
    """Whether `path` exists and was written after every one of the files `sources`: then it needs no making again."""
    path = Path(path)
    return path.exists() and path.stat().st_mtime > max(Path(source).stat().st_mtime for source in sources)


def size_bytes(path: "PathLike") -> int:
    """Size of a file, or of all files in a folder."""
    path = Path(path)
    return sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())
