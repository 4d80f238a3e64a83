"""Whether a folder looks annotated: each format does, and folders of classes with other files don't."""

import json

import pytest
from PIL import Image

from helpers.annotated_folders import write_coco, write_voc, write_yolo
from keras_mobattn.data.annotations import is_annotated


@pytest.mark.parametrize("write", [write_coco, write_voc, write_yolo])
def test_every_format(tmp_path, write):
    assert is_annotated(write(tmp_path / "boxes"))
    assert is_annotated(str(tmp_path / "boxes"))


STRAYS = {
    "nothing": {},
    "a record": {"metadata.json": json.dumps({"annotations": "none", "author": "me"})},
    "settings": {"config.yaml": "epochs: 3\n"},
    "a feed": {"news.xml": "<rss><channel/></rss>"},
    "a hidden folder": {".cache/data.yaml": "names: [a]\ntrain: images\n"},
}


@pytest.mark.parametrize("name", STRAYS)
def test_folders_of_classes(tmp_path, name):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        Image.new("RGB", (40, 30)).save(tmp_path / label / "a.png")
    for file, text in STRAYS[name].items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    assert not is_annotated(tmp_path)


def test_what_is_no_folder(tmp_path):
    assert not is_annotated("digits")
    assert not is_annotated(tmp_path / "nowhere")
