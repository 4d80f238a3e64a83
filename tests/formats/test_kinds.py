"""What kind of file a path is, and whether its content is of that kind."""

import pytest

from keras_mobattn.errors import InputError
from keras_mobattn.formats.kinds import COREML, TFLITE, expect_readable, kind_of

PATHS = {"runs/model_int8.tflite": TFLITE, "model.mlpackage": COREML, "model.keras": None, "tflite": None, "runs": None}


@pytest.mark.parametrize("path", PATHS)
def test_the_suffix_tells(path):
    assert kind_of(path) is PATHS[path]


@pytest.mark.parametrize(("name", "message"), [("a.tflite", "TFL3 in bytes 4 to 7"), ("a.mlpackage", "it is a file")])
def test_the_content_is_looked_at(name, message, tmp_path):
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(InputError, match=message):
        expect_readable(tmp_path / name)
    with pytest.raises((InputError, OSError)):
        expect_readable(tmp_path / f"no_{name}")
