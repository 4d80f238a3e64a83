"""LiteRT.js as a folder that a page can load: brought once by npm, in one version, checked."""

import base64
import contextlib
import hashlib
import json
import re
import tarfile
import tempfile
from pathlib import Path

import filelock
import rich.console

from keras_mobattn.benchmark.browser import npm
from keras_mobattn.errors import InputError, expect_path
from keras_mobattn.files import cache_folder, replacing

VERSION = "2.5.3"
CORE, UTILS = "@litertjs/core", "@litertjs/wasm-utils"
# Of the tarballs, as npm's registry has them: npm view NAME@VERSION dist.integrity
INTEGRITY = {
    CORE: "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    UTILS: "sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
}
BUILDS = ("", "compat_", "jspi_", "threaded_")  # LiteRT.js takes one of them by what the browser can do
WASM = tuple(f"wasm/litert_wasm_{build}internal.{suffix}" for build in BUILDS for suffix in ("js", "wasm"))
MAIN, HELPER, DESCRIPTION = "litert.js", "wasm-utils.js", "package.json"
NOTICE = "LICENSE.txt"
SERVED = (MAIN, HELPER, NOTICE, *WASM)  # to a page
IMPORTED = re.compile(rf"""(["']){UTILS}\1""")
GETTING = f"npm pack {CORE}@{VERSION} {UTILS}@{VERSION}"
LICENSE = """LiteRT.js {version} by Google, {license}: https://www.apache.org/licenses/LICENSE-2.0
From npm's packages {core} and {utils}; source: https://github.com/google-ai-edge/LiteRT
Changed by keras_mobattn: {main}, the first one's dist/index.js, imports {helper}, the second one's dist/index.js.
"""


def litert_js_folder(path=None):
    """Return the folder with litert.js, what it loads, and its licence: made once, in the user's cache.

    npm brings the packages, or they are taken from the folder `path`: one that has node_modules, a package's own, the
    two tarballs of `npm pack`, or a folder that this function made.

    Raises:
        InputError: no npm, no network, another version, a damaged or incomplete package; the message says what to do.
        OSError: the cache can't be written, or the disk is full. Nothing half-written is left there.
    """
    if path is not None:
        return _of_folder(_expect_folder(path))
    made = _cache() / VERSION
    if made.is_dir():
        return made
    with _only_one(), _scratch() as brought:
        if not made.is_dir():  # another process may have made it since
            with rich.console.Console(stderr=True).status(f"npm brings LiteRT.js {VERSION}"):
                npm.pack([f"{name}@{VERSION}" for name in INTEGRITY], brought)
            _make(_of_tarballs(brought), made)
    return made


def expect_litert_js():
    """Say where LiteRT.js is, or will be brought from.

    Raises:
        InputError: it isn't here, and there is no npm.
    """
    if (_cache() / VERSION).is_dir():
        return f"LiteRT.js {VERSION} is here"
    return f"{npm.expect_npm()} will bring LiteRT.js {VERSION}"


def _of_folder(path):
    """The folder to serve, of what a person has in `path`."""
    if (path / MAIN).is_file():
        _expect_version(path, CORE)
        _expect_files(path, (MAIN, HELPER, *WASM))
        return path
    if any(path.glob("*.tgz")):
        contents, made = _of_tarballs(path), _cache() / VERSION
    else:
        contents = _of_packages(*_find_packages(path))
        digest = hashlib.sha256(b"".join(hashlib.sha256(contents[name]).digest() for name in sorted(contents)))
        made = _cache() / f"{VERSION}-{digest.hexdigest()[:16]}"  # what was not checked has a name of its own
    with _only_one():
        if not made.is_dir():
            _make(contents, made)
    return made


def _expect_folder(path):
    path = expect_path(path, "litert_js")
    if path.is_dir():
        return path.resolve()
    raise InputError(
        f"Expected a folder with {CORE} {VERSION}. Received: {str(path)!r}, "
        f"{'a file' if path.exists() else 'which is not there'}. Make one: {GETTING}"
    )


def _of_tarballs(folder):
    """What to serve, {name: bytes}, of the tarballs in `folder`, known by their content, whatever their names."""
    files = sorted(folder.glob("*.tgz"))
    found = {_integrity(file): file for file in files}
    for name, integrity in INTEGRITY.items():
        if integrity not in found:
            received = ", ".join(f"{file.name} ({each[:15]}…)" for each, file in found.items()) or "none"
            raise InputError(
                f"Expected the tarball of {name} {VERSION} ({integrity[:15]}…). Received: {received}. It is damaged, "
                f"of another version, or not what npm's public registry has; get it again: {GETTING}"
            )
    with _scratch() as unpacked:
        places = {name: unpacked / str(number) for number, name in enumerate(INTEGRITY)}
        for name, place in places.items():
            with tarfile.open(found[INTEGRITY[name]]) as archive:
                archive.extractall(place, filter="data")
        return _of_packages(*(place / "package" for place in places.values()))


def _integrity(file):
    """The sha512 of a file, written as npm does."""
    with file.open("rb") as opened:
        return "sha512-" + base64.b64encode(hashlib.file_digest(opened, "sha512").digest()).decode()


def _find_packages(path):
    """The folders of the two packages in or beside `path`."""
    core = _first(CORE, path, (path / "node_modules" / CORE, path / CORE, path / "core", path))
    beside = (core.parent, core / "node_modules" / "@litertjs", core.resolve().parent)  # the last is pnpm's way
    return core, _first(UTILS, core.parent, [folder / "wasm-utils" for folder in beside])


def _first(name, where, places):
    """The first of some places that has the package `name`, if it has our version."""
    for place in places:
        if _describe(place).get("name") == name:
            _expect_version(place, name)
            return place
    raise InputError(
        f"Expected {name} {VERSION} in {where}. Received: a folder without. Name one with node_modules/{CORE}, or with "
        f"the tarballs that this writes: {GETTING}"
    )


def _of_packages(core, utils):
    """What to serve, {name: bytes}, of the folders of the two packages."""
    _expect_files(core, ("dist/index.js", *WASM))
    _expect_files(utils, ("dist/index.js",))
    code, count = IMPORTED.subn(f'"./{HELPER}"', (core / "dist/index.js").read_text(encoding="utf-8"))
    if count != 1:  # a worker has no import map, so the file itself has to say where the other one is
        raise InputError(
            f"Expected {CORE} to import {UTILS} once. Received: {count} times, in {core / 'dist/index.js'}. "
            f"Take the file as npm has it: {GETTING}"
        )
    about = {"core": CORE, "utils": UTILS, "main": MAIN, "helper": HELPER}
    notice = LICENSE.format(version=VERSION, license=_describe(core).get("license"), **about)
    return {
        MAIN: f"// Changed by keras_mobattn: {NOTICE} says how.\n{code}".encode(),
        HELPER: (utils / "dist/index.js").read_bytes(),
        DESCRIPTION: (core / DESCRIPTION).read_bytes(),
        NOTICE: notice.encode(),
        **{name: (core / name).read_bytes() for name in WASM},
    }


def _describe(folder):
    """The package.json of a folder; {} where there is none, or none that can be read."""
    try:
        found = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _expect_version(folder, name):
    found = _describe(folder)
    if (found.get("name"), found.get("version")) == (name, VERSION):
        return
    received = f"{found.get('name')} {found.get('version')}" if found else f"no {DESCRIPTION}"
    raise InputError(
        f"Expected {name} {VERSION}, which this package was tried with. Received: {received}, in {folder}. "
        f"Get it: {GETTING}"
    )


def _expect_files(folder, names):
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"Expected all files of LiteRT.js {VERSION} in {folder}. Received: it without {', '.join(missing)}. Get "
            f"them: {GETTING}"
        )


def _make(contents, made):
    with replacing(made, folder=True) as beside:
        for name, content in contents.items():
            (beside / name).parent.mkdir(parents=True, exist_ok=True)
            (beside / name).write_bytes(content)


def _cache():
    return cache_folder("litert_js")


def _only_one():
    """A lock that one process at a time holds: the others wait for what it makes."""
    _cache().mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(_cache() / "lock")


@contextlib.contextmanager
def _scratch():
    """A folder for the block alone, in the user's own cache, where nobody else could put a file for npm to read."""
    _cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_cache(), prefix=".") as folder:
        yield Path(folder)
