"""Finding an image by the name that an annotation gives it."""

import collections

from keras_mobattn.data.listing import image_files
from keras_mobattn.data.splits import split_of
from keras_mobattn.errors import InputError


def image_finder(folder, files):
    """A function of an image's name and the path of the file that names it: the image's path, or None."""
    by_name = collections.defaultdict(list)
    for path in image_files(files):
        by_name[path.name].append(path)

    def find(name, annotation):
        beside = annotation.parent / name
        near = [beside] if beside.is_file() else by_name[name.replace("\\", "/").rsplit("/", 1)[-1]]
        if len(near) > 1:  # of several by that name, the one of the same split
            split = split_of(annotation, folder)
            near = [path for path in near if split_of(path.parent, folder) == split] or near
        if len(near) > 1:
            raise InputError(
                f"Expected one image {name!r} for {str(annotation)!r}. Received: {', '.join(map(str, near[:3]))}. Put "
                "each beside its annotation, or into a folder called as its split."
            )
        return near[0] if near else None

    return find
