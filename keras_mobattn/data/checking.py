"""Finding images that can't be decoded before anything is trained or judged on them."""

import concurrent.futures
import itertools
import warnings

import rich.console
import rich.progress

from keras_mobattn.data.image_file import Unreadable, inspect_image
from keras_mobattn.errors import InputError

NAMED = 3  # how many corrupt files a message names; the count tells the rest


def _check(paths, inspect, what):
    """{path: what `inspect` finds out, or in words why it can't be decoded}; each once, in threads, under a progress
    bar."""

    def inspected(path):
        try:
            return inspect(path)
        except Unreadable as reason:
            return str(reason)

    console = rich.console.Console(stderr=True)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        seen = pool.map(inspected, paths)
        seen = rich.progress.track(
            seen, f"Checking {what}", total=len(paths), console=console, transient=True, disable=not console.is_terminal
        )
        return dict(zip(paths, seen, strict=True))


def decodable_images(folder, paths, on_corrupt, inspect=inspect_image, what="images"):
    """{path: ImageFacts} of the images that can be decoded, among `paths` in `folder`. `on_corrupt`: see ON_CORRUPT.

    For other files, called `what`, `inspect` is a function of a path that finds out other facts, or raises Unreadable.

    Raises:
        InputError: some can't, and `on_corrupt` is "error".
    """
    seen = _check(paths, inspect, what)
    corrupt = {path: reason for path, reason in seen.items() if isinstance(reason, str)}
    if corrupt:
        ON_CORRUPT[on_corrupt](folder, corrupt, f"{len(paths)} {what}")
    return {path: facts for path, facts in seen.items() if path not in corrupt}


def _summary(folder, corrupt, total):
    first = itertools.islice(corrupt.items(), NAMED)
    named = ", ".join(f"{path.relative_to(folder)} ({reason})" for path, reason in first)
    more = f" and {len(corrupt) - NAMED} more" if len(corrupt) > NAMED else ""
    return f"{len(corrupt)} of {total} can't be decoded: {named}{more}"


def _refuse(folder, corrupt, total):
    raise InputError(
        f"Expected images that can be decoded. Received: {folder}, where {_summary(folder, corrupt, total)}. Repair or "
        "remove them, or leave them out by on_corrupt='skip'."
    )


def _skip(folder, corrupt, total):
    warnings.warn(f"Skipping: in {folder}, {_summary(folder, corrupt, total)}.", stacklevel=3)


ON_CORRUPT = {"error": _refuse, "skip": _skip}
