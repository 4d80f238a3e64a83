"""What commands on exported files share: which files are meant."""

from pathlib import Path

from keras_mobattn.errors import InputError
from keras_mobattn.formats.kinds import KINDS, kind_of
from keras_mobattn.run_folder import RunFolder


def exported_files(paths, kinds=KINDS):
    """The exported files of these kinds among `paths`, in that order; of a folder that is none, all in it, by name.

    Raises:
        InputError: none at all, a file of another kind, or a folder without any.
    """
    wanted = " and ".join(kind.suffix for kind in kinds)
    if not paths:
        raise InputError(f"Expected {wanted} files, or the folder of a run. Received: none.")
    files = []
    for path in map(Path, paths):
        found = [path]
        if path.is_dir() and kind_of(path) not in kinds:
            found = sorted(file for file in path.iterdir() if kind_of(file) in kinds)
            if not found:
                make = f" Make them: mobattn export {path}" if RunFolder(path).is_run else ""
                raise InputError(f"Expected {wanted} files in {path}. Received: a folder without.{make}")
        elif kind_of(path) not in kinds:
            advice = "" if kind_of(path) else " Convert the model first."
            raise InputError(f"Expected {wanted} files. Received: {str(path)!r}.{advice}")
        files += found
    return tuple(dict.fromkeys(files))
