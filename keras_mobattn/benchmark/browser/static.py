"""A site as a folder, for any host that gives files by HTTPS."""

import dataclasses
import shutil
from pathlib import Path

from keras_mobattn.benchmark.browser.server import HEADERS
from keras_mobattn.errors import InputError, expect_path
from keras_mobattn.files import replacing

MANIFEST = "manifest.json"
# Isolation for hosts that read such a file (Netlify, Cloudflare Pages); on others the page has one thread, and says so.
HEADERS_FILE = "_headers"


def write_static(site, folder):
    """Write all that the site has into `folder`, in the place of an earlier one; whole or not at all.

    Raises:
        InputError: a folder of something else.
        OSError: it can't be written.
    """
    folder = expect_path(folder)
    if folder.exists() and not (folder / MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"Expected a new folder, or one that was written by this command. Received: {str(folder)!r}, with "
            "other files. Name another one."
        )
    contents = dataclasses.replace(site, static=True).contents()
    headers = "".join(f"  {name}: {value}\n" for name, value in HEADERS.items() if name.startswith("Cross-Origin"))
    with replacing(folder, folder=True) as beside:
        for name, content in (contents | {HEADERS_FILE: f"/*\n{headers}".encode()}).items():
            place = beside / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                shutil.copyfile(content, place)
            else:
                place.write_bytes(content)
