"""What commands on exported files share: which files are meant."""

from pathlib import Path

from keras_mobattn.errors import InputError

SUFFIXES = (".tflite", ".mlpackage")


def exported_files(paths, suffixes=SUFFIXES):
    """The exported files among `paths`, in that order; of a folder that is none, all that lie in it, by name.

    Raises:
        InputError: none at all, a file of another kind, or a folder without any.
    """
    wanted = " and ".join(suffixes)
    if not paths:
        raise InputError(f"Expected {wanted} files, or the folder of a run. Received: none.")
    files = []
    for path in map(Path, paths):
        found = [path]
        if path.is_dir() and path.suffix not in suffixes:
            found = sorted(file for file in path.iterdir() if file.suffix in suffixes)
            if not found:
                raise InputError(
                    f"Expected {wanted} files in {path}. Received: a folder without. Make them: mobattn export {path}"
                )
        elif path.suffix not in suffixes:
            raise InputError(f"Expected {wanted} files. Received: {str(path)!r}. Convert the model first.")
        files += found
    return tuple(dict.fromkeys(files))
