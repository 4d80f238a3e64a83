"""Download a checkpoint from the hub, and take none that is broken."""

import errno
import hashlib
import re
import threading
from pathlib import Path

from keras_mobattn._packages import needs
from keras_mobattn.errors import InputError
from keras_mobattn.families.family import Published

FILE = "model.safetensors"
PATIENCE = 10  # seconds
SHA256 = re.compile("[0-9a-f]{64}")


def download(tag: Published) -> Path:
    """Return the path of a published checkpoint's model.safetensors in huggingface_hub's cache, downloaded if it is not
    there yet.

    huggingface_hub shows the progress, and goes on where a connection broke. It obeys its environment variables as they
    were when it was first imported: HF_ENDPOINT, HF_HUB_CACHE, HF_HUB_OFFLINE, HF_HUB_DISABLE_PROGRESS_BARS and others.
    A file in the cache serves when the hub can't be reached. huggingface_hub compares sizes alone; here the file's
    sha256 is compared with the hub's, every time, and a file that differs is removed from the cache.

    Raises:
        InputError: no connection, no such tag or file at the hub, a full disk, or a file that is truncated or altered.
    """
    needs("huggingface_hub", "safetensors")
    path = _fetch(tag)
    if problem := _problem(path, tag):
        raise InputError(f"The downloaded {FILE} of {tag.repository!r} is broken: {problem}. {_remove(path)}")
    return path


def hub_problem(tag: Published, seconds: float = PATIENCE) -> str:
    """Why such a file can't be had, or "" where it is in the cache or the hub answers within so many seconds."""
    needs("huggingface_hub")
    import huggingface_hub
    from huggingface_hub import constants

    answers: list[str] = []

    def ask():
        try:
            if not isinstance(huggingface_hub.try_to_load_from_cache(tag.repository, FILE), str):
                huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(tag.repository, FILE), timeout=seconds)
            answers.append("")
        except Exception as error:  # whatever the hub or its HTTP library raise
            answers.append(_reason(error))

    asking = threading.Thread(target=ask, daemon=True)  # a name server may keep silent for longer than the timeout
    asking.start()
    asking.join(seconds)
    return answers[0] if answers else f"{constants.ENDPOINT} does not answer within {seconds} seconds"


def _fetch(tag):
    import huggingface_hub

    try:
        return Path(huggingface_hub.hf_hub_download(tag.repository, FILE, library_name="keras_mobattn"))
    except Exception as error:  # whatever the hub, its HTTP library, its Xet client or the disk raise
        url = huggingface_hub.hf_hub_url(tag.repository, FILE)
        raise InputError(
            f"{FILE} of {tag.repository!r} could not be downloaded: {_reason(error)}. Try again after that is mended, "
            f"or get {url} in another way and pass the file's path as weights."
        ) from error


def _reason(error):
    """What went wrong and what would mend it, without a full stop."""
    from huggingface_hub import constants, errors

    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__:
        error = error.__cause__  # why it looked for a local file
    hub, cache = constants.ENDPOINT, constants.HF_HUB_CACHE
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"the disk with the cache {cache} is full; HF_HUB_CACHE names another folder"
    reasons = {
        errors.OfflineModeIsEnabled: f"HF_HUB_OFFLINE is set, and the file is not in the cache {cache}",
        errors.RepositoryNotFoundError: f"{hub} has no such repository, or shows it only to who is logged in",
        errors.EntryNotFoundError: f"{hub} has the repository, but no such file in it",
    }
    said = next((line.rstrip(".") for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return next(
        (why for kind, why in reasons.items() if isinstance(error, kind)),
        f"{hub} can't be reached or does not deliver it ({said})",
    )


def _problem(path, tag):
    """What is wrong with the file, or an empty string."""
    from safetensors import SafetensorError, safe_open

    try:
        expected, digest = _sha256_at_hub(path, tag), _sha256(path)
        if expected and digest != expected:
            return f"its sha256 is {digest}, and the hub's is {expected}"
        with safe_open(path, framework="numpy"):  # checks the header, and that the file is as long as it says
            return ""
    except (SafetensorError, OSError) as error:
        return str(error)


def _sha256(path):
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _sha256_at_hub(path, tag):
    """The sha256 of a file by which the hub names it; "" where it can't be had.

    The cache has it too: snapshots/COMMIT/FILE is a link to ../../blobs/SHA256. Without links
    (HF_HUB_DISABLE_SYMLINKS) the hub is asked.
    """
    import huggingface_hub

    if path.is_symlink():
        name = path.readlink().name  # one step: the blob may be a link in turn, to a store that several caches share
    else:
        try:
            name = huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(tag.repository, FILE)).etag or ""
        except Exception:  # not reached: the file's own header has to do
            name = ""
    return name if SHA256.fullmatch(name) else ""


def _remove(path):
    """Remove a file and all links to it from the cache; return a sentence on what to do now."""
    try:
        while path.is_symlink():
            link, path = path, path.parent / path.readlink()
            link.unlink()
        path.unlink(missing_ok=True)
    except OSError as error:
        return f"It could not be removed from the cache ({error}): delete it there, and try again."
    return "It was removed from the cache: try again, and it is downloaded anew."
