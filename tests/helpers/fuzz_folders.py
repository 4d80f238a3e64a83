"""Folders made at random, with what people's folders have: each is read whole, or refused in a sentence.

python tests/helpers/fuzz_folders.py --cases 300 --seed 1

Every file has a known fate: read, corrupt, or left out. What `open_source` gives, and what it says of the others, must
add up to all of them; every image is decoded, upright, to what `read_image` says. Ends with a traceback and the seed
of the first case that isn't so.
"""

import argparse
import collections
import re
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from keras_mobattn.data import open_source, read_image, take_images
from keras_mobattn.data.splits import WORDS
from keras_mobattn.errors import InputError
from keras_mobattn.export.images import choose_images

FORMATS = {  # suffix -> Pillow's format, modes
    ".jpg": ("JPEG", ("RGB", "L", "CMYK")),
    ".JPEG": ("JPEG", ("RGB",)),
    ".jfif": ("JPEG", ("RGB",)),
    ".png": ("PNG", ("RGB", "L", "RGBA", "LA", "P", "1", "I;16")),
    ".webp": ("WEBP", ("RGB", "RGBA")),
    ".tif": ("TIFF", ("RGB", "L", "CMYK", "I;16")),
    ".bmp": ("BMP", ("RGB", "L", "P")),
    ".gif": ("GIF", ("P", "L")),
    ".avif": ("AVIF", ("RGB",)),
    ".ppm": ("PPM", ("RGB",)),
}
ORIENTABLE = ("JPEG", "PNG", "WEBP", "TIFF")
NAMES = ("cat", "dog", "a b", "été", "__x", "#1", "Ω", "train", "val", "2", "10", "[bold]", "x" * 60)
STRAYS = ("notes.txt", "film.mov", "raw.dng", "noname", "._ghost.png", "@eaDir/0.jpg", ".ipynb_checkpoints/0.png")
LEFT = re.compile(r"(\d+) (?:in |outside|hidden|\.|without|no )")


def draw_image(rng):
    height, width = rng.integers(1, 60, 2)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))


def write_image(rng, path_without_suffix):
    """A good image of any format, mode, size and orientation. Returns its path."""
    suffix = rng.choice(list(FORMATS))
    format, modes = FORMATS[suffix]
    mode, image = rng.choice(modes), draw_image(rng)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) << 8)
    else:
        image = image.convert(str(mode))
    if rng.random() < 0.1:
        suffix = rng.choice([".jpg", ".png"])  # another name than its content's
    options = {}
    if format in ORIENTABLE and rng.random() < 0.5:
        tags = Image.Exif()
        tags[0x0112] = int(rng.integers(0, 10))
        options["exif"] = tags
    path = path_without_suffix.with_name(path_without_suffix.name + str(suffix))
    image.save(path, format, **options)
    return path


def spoil(rng, path):
    """Make it a file that can't be decoded."""
    kind = rng.integers(4)
    content = path.read_bytes()
    if kind == 0:
        path.write_bytes(b"")
    elif kind == 1:
        path.write_bytes(content[: min(len(content) // 3, 40)])
    elif kind == 2:
        path.write_text("hello")
    else:
        path.unlink()
        path.symlink_to("nowhere")


def fill_class(rng, folder, fates):
    folder.mkdir(parents=True)
    for k in range(rng.integers(0 if rng.random() < 0.05 else 2, 6)):
        inside = folder / "deep" if rng.random() < 0.2 else folder
        inside.mkdir(exist_ok=True)
        path = write_image(rng, inside / f"{k}")
        fate = "corrupt" if rng.random() < fates["damage"] else "read"
        if fate == "corrupt":
            spoil(rng, path)
        fates["of"][path] = fate
    if rng.random() < 0.3:
        stray = folder / str(rng.choice(STRAYS))
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"x")
        fates["of"][stray] = "left out"
    if rng.random() < 0.1:
        (folder / "loop").symlink_to(folder)


def make_folder(rng, root):
    """A folder of photos. Returns {file: its fate}."""
    fates = {"of": {}, "damage": rng.choice([0.0, 0.0, 0.15])}
    names = rng.choice(
        NAMES[:7] if rng.random() < 0.5 else NAMES, rng.integers(1, 4) if rng.random() < 0.1 else 3, False
    )
    kind = rng.choice(["flat", "two", "three"])
    parts = {"flat": [""], "two": ["train", "test"], "three": list(WORDS)}[kind]
    for part in parts:
        word = str(rng.choice(WORDS[part])) if part else ""
        word = word.capitalize() if rng.random() < 0.3 else word
        for name in names:
            fill_class(rng, root / word / str(name), fates)
    if rng.random() < 0.15:
        fates["of"][write_image(rng, root / "outside")] = "left out"
    if kind != "flat" and rng.random() < 0.1:
        (root / "more").mkdir()  # beside splits: ambiguous
        write_image(rng, root / "more" / "0")
    return fates["of"]


def read(root, on_corrupt):
    """(images that were read, corrupt and left out as told)."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        source = open_source(root, on_corrupt=on_corrupt)
        for split, count in source.num_examples.items():
            images, _ = take_images(source, split, count, (16, 16))
            assert images.shape == (count, 16, 16, 3)
    texts = [str(each.message) for each in told if issubclass(each.category, UserWarning)]
    skipped = [int(re.search(r", (\d+) of \d+ images", text)[1]) for text in texts if text.startswith("Skipping")]
    left = [int(n) for text in texts if text.startswith("Left out") for n in LEFT.findall(text.partition(": ")[2])]
    return source, sum(skipped), sum(left)


def try_case(seed, root):
    """One folder. Returns how it ended: "read" or "refused"; AssertionError, or whatever escapes, is a finding."""
    rng = np.random.default_rng(seed)
    fates = make_folder(rng, root)
    before = sorted(root.rglob("*"))
    expected = collections.Counter(fates.values())
    on_corrupt = str(rng.choice(["skip", "skip", "error"]))
    try:
        source, skipped, left = read(root, on_corrupt)
    except InputError as error:
        text = str(error)
        assert "Received: " in text, text
        assert "\n" not in text, text
        return "refused"
    finally:
        assert sorted(root.rglob("*")) == before
    assert sum(source.num_examples.values()) == expected["read"], (source.num_examples, expected)
    assert skipped == expected["corrupt"], (skipped, expected)
    assert left == expected["left out"], (left, expected)
    shapes = collections.Counter(read_image(path).shape for path, fate in fates.items() if fate == "read")
    seen = collections.Counter(tuple(row["image"].shape) for split in source.num_examples for row in source.open(split))
    assert seen == shapes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        assert len(choose_images(root.parent / "no run", root, (16, 16), "skip").check)
    return "read"


def run(seed, cases, say):
    """Try `cases` folders from `seed` on. Returns a Counter of how they ended."""
    ends = collections.Counter()
    for case in range(seed, seed + cases):
        root = Path(tempfile.mkdtemp()) / "photos"
        root.mkdir()
        try:
            ends[try_case(case, root)] += 1
        except BaseException:  # whatever it is, Ctrl-C too: which case it was is worth knowing
            say(f"Case {case} of {root} failed: python tests/helpers/fuzz_folders.py --cases 1 --seed {case}")
            raise
        shutil.rmtree(root.parent)
    return ends


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    ends = run(flags.seed, flags.cases, lambda text: print(text, file=sys.stderr))
    print(f"{flags.cases} folders: {ends['read']} read whole, {ends['refused']} refused in a sentence.")
