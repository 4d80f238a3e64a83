"""The tables of names: every name stands for something, and names and settings are read without TensorFlow."""

import subprocess
import sys

import pytest

from keras_mobattn import InputError, catalog
from keras_mobattn.catalog import Registry
from keras_mobattn.errors import expect_name, expect_range

TABLES = {name: table for name, table in vars(catalog).items() if isinstance(table, Registry)}


@pytest.mark.parametrize("table", TABLES)
def test_every_entry_is_there(table):
    assert TABLES[table]
    for name, thing in TABLES[table].items():
        assert not isinstance(thing, str), name


def test_names_are_read_without_tensorflow():
    code = """
import sys
import keras_mobattn
from keras_mobattn import catalog, settings
tables = [table for table in vars(catalog).values() if isinstance(table, (catalog.Registry, dict, tuple))]
print(*(name for table in tables for name in table))
assert "mobile" in catalog.ATTENTIONS and len(catalog.RECIPES) > 9
settings.TrainSettings(model="DeiT", augment="deit", distillation="hard", teacher="x.keras"), settings.Execution()
heavy = {"tensorflow", "tf_keras", "keras_cv", "coremltools", "numpy", "sklearn", "matplotlib"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"classification", "mobilevitv2_in1k", "palettized6", "imagenet-bicubic"} <= set(done.stdout.split())


def test_a_table_imports_what_is_asked_for():
    table = Registry(
        {"join": "os.path:join", "path": "os.path", "gone": "os.path:no_such_thing", "none": "no_such_module"}
    )
    assert (len(table), list(table), "join" in table) == (4, ["join", "path", "gone", "none"], True)
    import os.path

    assert table["join"] is os.path.join
    assert table["path"] is os.path
    with pytest.raises(AttributeError):
        table["gone"]
    with pytest.raises(ModuleNotFoundError):
        table["none"]
    with pytest.raises(KeyError):
        table["unknown"]


def test_entries_can_be_added():
    table = Registry({"join": "os.path:join"})
    table["mine"] = len
    assert table["mine"] is len
    assert list({**table}) == ["join", "mine"]


def test_unknown_names_import_nothing():
    table = Registry({"none": "no_such_module"})
    assert expect_name(table, "none", "thing") == "none"
    for name in ("nope", None, []):
        with pytest.raises(InputError, match="Expected thing to be one of 'none'. Received: "):
            expect_name(table, name, "thing")


GOOD = [(1, {"low": 1}), (0.5, {}), (float("inf"), {"low": 0}), (3, {"low": 1, "high": 3, "whole": True})]
BAD = [
    (0, {"low": 1}, "a number from 1 up. Received: 0."),
    (4, {"low": 1, "high": 3}, "a number from 1 to 3. Received: 4."),
    (4, {"high": 3}, "a number to 3. Received: 4."),
    (0, {"low": 0, "above": True}, "a number above 0. Received: 0."),
    (1.0, {"low": 0, "high": 1, "below": True}, "a number from 0 to below 1. Received: 1.0."),
    (float("inf"), {"low": 0, "above": True, "below": True}, "a finite number above 0. Received: inf."),
    (float("nan"), {"low": 0}, "a number from 0 up. Received: nan."),
    (2.0, {"low": 1, "whole": True}, "a whole number from 1 up. Received: 2.0."),
    (True, {"low": 0}, "a number from 0 up. Received: True."),
    ("3", {}, "a number. Received: '3'."),
    (None, {"low": 0, "advice": "Leave it out."}, "a number from 0 up. Received: None. Leave it out."),
]


@pytest.mark.parametrize(("value", "limits"), GOOD)
def test_numbers_in_range(value, limits):
    assert expect_range("size", value, **limits) is value


@pytest.mark.parametrize(("value", "limits", "message"), BAD)
def test_numbers_out_of_range(value, limits, message):
    with pytest.raises(InputError) as error:
        expect_range("size", value, **limits)
    assert str(error.value) == f"Expected size to be {message}"
