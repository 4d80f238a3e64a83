"""What takes long to make and all workers of a run of tests use, each module for itself."""

import os

import filelock


def made_once(tmp_path_factory, name, make):
    """The folder `name` of this run of tests, filled by `make(folder)` in the first process that asks for it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # each worker's lies in that of the run
    folder, made = base / "made_once" / name, base / "made_once" / f"{name}.made"
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{folder}.lock"):
        if not made.exists():
            make(folder)
            made.touch()
    return folder
