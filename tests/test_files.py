"""Files appear whole or not at all; scripts end in one sentence and an exit code."""

import sys

import pytest

from keras_mobattn import cli
from keras_mobattn.errors import InputError, choose, expect_path
from keras_mobattn.files import replacing, write_json


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_replacing_replaces_whole(kind, tmp_path):
    path = tmp_path / "new" / "thing.out"

    def write(where, text):
        if kind == "folder":
            where.mkdir()
            where = where / "inside"
        where.write_text(text)

    for text in ("first", "second"):
        with replacing(path, kind == "folder") as beside:
            assert beside.suffix == ".out"
            write(beside, text)
    inside = path / "inside" if kind == "folder" else path
    assert inside.read_text() == "second"
    with pytest.raises(KeyboardInterrupt), replacing(path, kind == "folder") as beside:
        write(beside, "half")
        raise KeyboardInterrupt
    assert inside.read_text() == "second"
    assert [entry.name for entry in path.parent.iterdir()] == ["thing.out"]


def test_nothing_is_left_of_a_first_file(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"x": object()})
    with pytest.raises(RuntimeError), replacing(tmp_path / "b") as beside:
        beside.write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_put_back_when_the_new_one_is_missing(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "old").touch()
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "m", folder=True):
        pass  # nothing written
    assert [entry.name for entry in (tmp_path / "m").iterdir()] == ["old"]


@pytest.mark.parametrize("folder", [False, True])
def test_a_file_takes_no_folders_place_and_no_folder_a_files(folder, tmp_path):
    path = tmp_path / "m"
    path.touch() if folder else path.mkdir()
    with pytest.raises(InputError, match="Take another"), replacing(path, folder):
        pass
    assert path.is_dir() is not folder
    assert [entry.name for entry in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("path", [None, 3, "", "a\0b", b"x", ["a"]])
def test_what_is_no_path_is_refused(path):
    for use in (expect_path, replacing(path).__enter__):
        with pytest.raises(InputError, match="Expected path to be the path of a file or folder. Received: "):
            use(path) if use is expect_path else use()


def test_choose_lists_the_choices():
    assert choose({"a": 1, "b": 2}, "b", "letter") == 2
    for wrong in ("c", None, ["a"]):
        with pytest.raises(InputError, match="Expected letter to be one of 'a', 'b'. Received: "):
            choose({"a": 1, "b": 2}, wrong, "letter")


ENDINGS = {
    "pass": (0, ""),
    "return 3": (3, ""),
    "import warnings; warnings.warn('Take [care].')": (0, "Warning: Take [care].\n"),
    "raise InputError('Expected a [b]. Received: c.')": (2, "Error: Expected a [b]. Received: c.\n"),
    "open('/nowhere/x')": (2, "Error: No such file or directory: /nowhere/x.\n"),
    "raise OSError(28, 'No space left on device')": (2, "Error: No space left on device.\n"),
    "import tensorflow as tf; tf.io.write_file('/dev/full', 'x')": (2, "Error: /dev/full; No space left on device.\n"),
    "raise KeyboardInterrupt": (130, "Error: Interrupted. What was already written is kept.\n"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_scripts_end_in_a_sentence(ending, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["script.py"])
    scope = {}
    exec(f"from keras_mobattn import InputError\ndef main():\n    {ending}", scope)
    with pytest.raises(SystemExit) as end:
        cli.run(scope["main"])
    assert (end.value.code, capfd.readouterr().err) == ENDINGS[ending]
