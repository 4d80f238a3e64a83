"""A site as a folder, for any host that gives files by HTTPS."""

import dataclasses
import shutil
from pathlib import Path

from keras_mobattn.benchmark.browser.server import HEADERS
from keras_mobattn.benchmark.browser.site import PAGE
from keras_mobattn.errors import InputError, expect_path
from keras_mobattn.files import read_json, replacing

MANIFEST = "manifest.json"
# Isolation for hosts that read such a file (Netlify, Cloudflare Pages); on others the page has one thread, and says so.
HEADERS_FILE = "_headers"
OWN = (MANIFEST, HEADERS_FILE, "litert", "models", "proof")


def expect_place(folder):
    """Refuse a folder of something else: it would be replaced.

    Raises:
        InputError: there is one, or a file.
    """
    folder = expect_path(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    manifest = read_json(folder / MANIFEST, None) if (folder / HEADERS_FILE).is_file() else None
    ours = isinstance(manifest, dict) and {"litert", "models", "protocol"} <= manifest.keys()
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {"a file"}
    others = sorted(names - ({*OWN, *(path.name for path in PAGE.iterdir())} if ours else set()))
    if others:
        raise InputError(
            "Expected a new folder, or one that this command wrote and nobody added to. Received: "
            f"{str(folder)!r} with {', '.join(others[:3])}. Name another one."
        )


def write_static(site, folder):
    """Write all that the site has into `folder`, in the place of an earlier one; whole or not at all.

    Raises:
        InputError: a folder of something else.
        OSError: it can't be written.
    """
    folder = expect_path(folder)
    expect_place(folder)
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
