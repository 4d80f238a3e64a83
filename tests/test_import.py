"""Importing the package: TensorFlow when it is needed and silently, and models that load in any order of imports."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_mobattn

PACKAGE = Path(keras_mobattn.__file__).parent
KERAS = ("tensorflow", "tf_keras")


def run(code, **environment):
    """Run code in a new process, with TensorFlow's log level unset; return what it wrote to stdout and to stderr."""
    inherited = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=inherited | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


LEGACY = "import os; os.environ['TF_USE_LEGACY_KERAS'] = '1'"  # tensorflow.keras is tf_keras then
QUICK = "import keras_mobattn; import tf_keras"  # the others are slow tests, which CI runs too
ORDERS = {  # imports -> whether it is the package that imports TensorFlow
    QUICK: False,
    "import tf_keras; import keras_mobattn": False,
    f"{LEGACY}; import keras_mobattn; import tensorflow; tensorflow.keras.Model": False,
    f"{LEGACY}; import tensorflow; import keras_mobattn": False,
    "import keras_mobattn": False,
    "import keras_mobattn.settings, tensorflow": False,
    "import tensorflow; import keras_mobattn.layers": False,
    "import tensorflow; import keras_mobattn; keras_mobattn.layers": False,
    "import keras_mobattn.layers": True,
    "import keras_mobattn.layers.activation": True,
    "import keras_mobattn.attention": True,
    "from keras_mobattn.training import train": True,
    "import keras_mobattn.attention.softmax": True,
    "import keras_mobattn.models": True,
    "import keras_mobattn.data": True,
    "import keras_mobattn.export": True,
    "import keras_mobattn.weights": True,
    "import keras_mobattn.studies.resolution": True,
    "import keras_mobattn.commands.train": False,
    "import keras_mobattn.demo": False,
    "import keras_mobattn.studies.demo": True,
    "from keras_mobattn import MobileViTv2": True,
    "from keras_mobattn import cli": False,
    "from keras_mobattn import *": True,
    "import keras_mobattn; keras_mobattn.training.train": True,
    "import keras_mobattn; keras_mobattn.ATTENTIONS['mobile']": True,
}
LOAD = """
import pathlib, sys
print("imported", file=sys.stderr, flush=True)
from tf_keras.models import load_model
for name in ("model.keras", "model.h5", "saved_model"):
    classes = {type(layer) for layer in load_model(pathlib.Path(FOLDER) / name, compile=False).layers}
    print(*sorted(each.__name__ for each in classes if each.__module__.startswith("keras_mobattn.")))
"""


@pytest.mark.sampled
@pytest.mark.parametrize("order", [pytest.param(each, marks=[pytest.mark.slow] * (each != QUICK)) for each in ORDERS])
def test_models_load_after_any_order_of_imports(order, first_models):
    """Without custom_objects; by the package's own classes, which a SavedModel does without if it must."""
    printed, said = run(f"{order}\n{LOAD}".replace("FOLDER", repr(str(first_models))))
    assert printed.splitlines() == ["GroupNorm1 MobileAttention Resize Swish"] * 3
    if ORDERS[order]:
        assert said.split("imported\n")[0] == ""


def test_names_are_imported_when_asked_for():
    """The package and its modules by name, as the README writes them, after nothing but `import keras_mobattn`."""
    code = f"""
import sys, keras_mobattn
assert keras_mobattn.__version__
names = dir(keras_mobattn)
assert "MobileViTv2" in names and "training" in names and "_quiet" not in names, names
assert not hasattr(keras_mobattn, "no_such_thing")
keras_mobattn.gpu.run_on_gpu, keras_mobattn.report.write_report, keras_mobattn.describe.describe_tflite
assert not {set(KERAS)} & set(sys.modules), "too early"
keras_mobattn.export.to_coreml, keras_mobattn.training.train, keras_mobattn.benchmark.benchmark_tflite
assert keras_mobattn.MobileViTv2 is keras_mobattn.models.MobileViTv2
for name in names:
    getattr(keras_mobattn, name)
"""
    assert run(code) == ("", "")


def test_every_public_name_has_a_home():
    assert {*keras_mobattn.HOMES, "InputError"} == set(keras_mobattn.__all__)


def imported(path):
    """The modules that a file imports at its top, in order."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("name", sorted(keras_mobattn.MODULES))
def test_who_imports_tensorflow_does_it_quietly(name):
    folder = PACKAGE / name
    files = [path for path in folder.rglob("*.py") if path.name != "__main__.py"] or [folder.with_suffix(".py")]
    if not any(name.split(".")[0] in KERAS for path in files for name in imported(path)):
        return
    first = next(name for name in imported(folder / "__init__.py") if name.split(".")[0] in (*KERAS, "keras_mobattn"))
    assert first == "keras_mobattn._tensorflow"


@pytest.mark.parametrize(
    ("first", "legacy"),
    [
        ("", "1"),
        pytest.param("import tensorflow; ", "0", marks=pytest.mark.slow),
        pytest.param("import tensorflow; ", "", marks=pytest.mark.slow),
    ],
)
def test_import_prints_nothing(first, legacy, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", legacy)
    mark = "import sys; print('here', flush=True); print('here', file=sys.stderr, flush=True); "
    code = (
        f"{first}{mark}import keras_mobattn; {mark}keras_mobattn.MobileViTv2(variant='test', input_shape=(32, 32, 3))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "here\nhere\n"
    assert done.stderr.split("here\n")[1] == ""
