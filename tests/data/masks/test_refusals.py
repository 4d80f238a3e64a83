"""What is wrong with a folder of masks is refused or counted, in a sentence that names it."""

import io
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from helpers.masked_folders import (
    COLOURS,
    COUNT,
    IGNORED,
    NAMES,
    TEXT,
    coloured,
    masks,
    save,
    write_ade20k,
    write_cityscapes,
    write_coco,
    write_pairs,
    write_voc,
)
from keras_mobattn.data.masks import read_masks
from keras_mobattn.errors import InputError


def only(stem, change):
    """A change of one mask."""
    return lambda mask, name: change(mask) if name == stem else mask


def changed(record):
    record["annotations"][0]["segmentation"] = [[1, 2, 3]]


def without_outlines(record):
    for one in record["annotations"]:
        del one["segmentation"]


def renamed(paths):
    for path in list(paths):
        path.rename(path.with_stem(f"x{path.stem}"))


def beside(file, text):
    def write(folder):
        write_pairs(folder)
        (folder / file).write_text(text)

    return write


REFUSED = {  # what is wrong -> (what writes the folder, what the error says)
    "a value too many": (
        lambda folder: write_pairs(folder, only("train_2", lambda mask: np.where(mask == 1, 3, mask).astype("u1"))),
        "numbers of 3 classes in .*train_2.png': 0 to 2, or 255 for none. Received: 3",
    ),
    "another size": (
        lambda folder: write_pairs(folder, only("val_0", lambda mask: mask[:-1])),
        "val_0.png' to have the size of its image, as it is shown, 60x40 pixels. Received: 60x39",
    ),
    "colours without a table": (
        lambda folder: write_pairs(folder, lambda mask, stem: coloured(mask)),
        "a file that tells the classes' colours. Received: colours. Put a classes.txt",
    ),
    "colours without any file": (
        lambda folder: write_pairs(folder, lambda mask, stem: coloured(mask), None),
        "the colours of the classes in a file.*Received: masks in colours",
    ),
    "a split of ignored pixels": (
        lambda folder: write_pairs(folder, lambda mask, stem: mask if "train" in stem else np.full_like(mask, IGNORED)),
        "classes in the validation masks of .*in all 3",
    ),
    "one class": (lambda folder: write_pairs(folder, names="road"), "2 to 255 classes.*Received: 1"),
    "a name twice": (lambda folder: write_pairs(folder, names="a\nb\na"), "Received: 3, with 'a' twice"),
    "an empty line": (lambda folder: write_pairs(folder, names="a\n\nb"), "class in each line.*an empty line 2"),
    "half of the colours": (lambda folder: write_pairs(folder, names="a 1 2 3\nb"), "colour for each.*'b' without"),
    "a colour twice": (lambda folder: write_pairs(folder, names="a 1 2 3\nb 1 2 3"), "another for each class.*: 1 2 3"),
    "a wrong colour map": (
        lambda folder: write_pairs(folder, names="a:1,2:x:y", file="labelmap.txt"), "label:red,green,blue.*'a:1,2:x:y'",
    ),
    "gaps in Roboflow's list": (
        lambda folder: write_pairs(folder, names="Pixel Value, Class\n0, a\n2, b", file="_classes.csv"),
        "pixel values from 0 on.*Received: 0, 2",
    ),
    "two lists": (beside("labelmap.txt", "a:1,2,3::\nb:4,5,6::\n"), "one list of classes in .*labelmap.txt'"),
    "no list of VOC's": (
        lambda folder: [path.unlink() for path in write_voc(folder).rglob("*.txt")], "lists of images.*Received: none",
    ),
    "two sets": (lambda folder: (write_voc(folder), write_cityscapes(folder)), "one set of images and masks"),
    "no partners": (
        lambda folder: renamed(write_pairs(folder).rglob("masks/*/*.png")),
        "same names in .*Received: 8 images and 8 masks, and no pair",
    ),
    "no polygon": (lambda folder: write_coco(folder, changed), "polygons or run lengths.*Received: .*1, 2, 3"),
    "boxes alone": (lambda folder: write_coco(folder, without_outlines), "outlines, 'segmentation', in .*none in 5"),
    "a gap in ADE20k's names": (
        lambda folder: (write_ade20k(folder) / "objectInfo150.txt").write_text("Idx\n2\t.1\t1\t1\twall\n"),
        "rows of index, ratio, train, val and name",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name, tmp_path):
    write, text = REFUSED[name]
    write(tmp_path / "set")
    with pytest.raises(InputError, match=f"(?s)Expected .*{text}"):
        read_masks(tmp_path / "set")


TOLD = {  # what is odd -> (what writes the folder, what a warning says, training and test images that are left)
    "no mask": (
        lambda folder: write_pairs(folder, only("train_3", lambda mask: None)),
        "1 images without a mask .train_3.png.",
        (4, 3),
    ),
    "no image": (
        lambda folder: (write_pairs(folder) / "images/val/val_2.png").unlink(),
        "1 masks without an image .val_2",
        (5, 2),
    ),
    "ignored": (
        lambda folder: write_pairs(folder, only("train_0", lambda mask: np.full_like(mask, IGNORED))),
        "1 masks in which no pixel has a class .train_0.png.",
        (4, 3),
    ),
    "JPEG masks": (
        lambda folder: (write_pairs(folder) / "masks/val/val_2.png").rename(folder / "masks/val/val_2.jpg"),
        "1 masks that are no PNG .val_2.jpg.; 1 images without a mask",
        (5, 2),
    ),
    "test of Cityscapes": (write_cityscapes, "3 images of the test, whose labels are not public", (5, 3)),
    "a class unseen": (lambda folder: write_pairs(folder, names=f"{TEXT}\nsky"), "1 of 4 classes .*: sky.", (5, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", TOLD)
def test_what_is_told(name, tmp_path):
    write, text, left = TOLD[name]
    write(tmp_path / "set")
    with pytest.warns(UserWarning, match=text):
        _, splits = read_masks(tmp_path / "set")
    assert (len(splits["train"]), len(splits["test"])) == left


def test_nothing_is_told_of_a_folder_without_faults(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names, splits = read_masks(write_pairs(tmp_path / "set"))
    assert names == NAMES
    assert {split: len(files) for split, files in splits.items()} == {"train": COUNT["train"], "test": COUNT["val"]}
    assert all(file.mask.plain for files in splits.values() for file in files)


def test_classes_without_names_are_numbered(tmp_path):
    with pytest.warns(UserWarning, match="No file in .* names the classes, .* by their numbers, 0 to 2"):
        names, _ = read_masks(write_pairs(tmp_path / "set", names=None))
    assert names == ("class 0", "class 1", "class 2")
    folder = write_ade20k(tmp_path / "ade")
    (folder / "objectInfo150.txt").unlink()
    with pytest.warns(UserWarning, match="numbers, 1 to 3"):
        names, splits = read_masks(folder)
    assert names == ("class 1", "class 2", "class 3")
    assert {file.mask.classes for files in splits.values() for file in files} == {(IGNORED, 0, 1, 2)}


def test_masks_in_black_and_white(tmp_path):
    def drawn(mask, stem):
        return np.where(mask == 1, 255, 0).astype(np.uint8)

    for names, expected in ((None, ("background", "foreground")), ("wall\ncrack", ("wall", "crack"))):
        with pytest.warns(UserWarning, match=f"hold 0 and 255 alone: 255 is taken for '{expected[1]}'"):
            found, splits = read_masks(write_pairs(tmp_path / expected[0], drawn, names))
        assert found == expected
        for file in splits["train"]:
            with Image.open(file.mask.file.path) as image:
                pixels = np.array(image)
            with Image.open(io.BytesIO(file.mask.png())) as image:
                np.testing.assert_array_equal(np.array(image), pixels == 255)
    with warnings.catch_warnings():  # with a class of its own for 0 it is something else
        warnings.simplefilter("ignore")
        names, splits = read_masks(write_pairs(tmp_path / "set", drawn))
    assert {file.mask.classes for file in splits["train"]} == {(0, IGNORED)}


def test_palettes(tmp_path):
    """Numbers count; where a file tells colours, these do, in whatever order the palette has them."""
    palette = [*COLOURS[::-1], *[(1, 2, number % 256) for number in range(253)]]
    folder = write_pairs(tmp_path / "set")
    for path in sorted((folder / "masks").rglob("*.png")):
        save(path, masks(path.parent.name)[path.stem], palette)
    _, splits = read_masks(folder)
    assert {file.mask.classes for file in splits["train"]} == {(0, 1, 2, IGNORED)}
    rows = [f"{name} {' '.join(map(str, colour))}" for name, colour in zip(NAMES, COLOURS, strict=True)]
    (folder / "classes.txt").write_text("\n".join(rows))
    _, splits = read_masks(folder)
    assert {file.mask.classes for file in splits["train"]} == {(2, 1, 0, IGNORED)}


def test_grey_levels_of_few_bits_are_refused(tmp_path):
    """Readers stretch them: nobody can tell what was meant."""
    folder = write_pairs(tmp_path / "set")
    path = folder / "masks" / "train" / "train_0.png"
    content = bytearray(path.read_bytes())
    content[24] = 4  # the header's depth; its checksum is wrong then, but the depth is looked at first
    header = bytes(content[12:29])
    content[29:33] = zlib.crc32(header).to_bytes(4, "big")
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="1 of 8 masks can't .*: masks/train/train_0.png .grey levels of 4 bits"):
        read_masks(folder)
