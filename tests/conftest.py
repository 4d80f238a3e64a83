"""What the tests share: tiny models with random weights, made once per session."""

import functools
import runpy
import sys
import tarfile
import zlib
from pathlib import Path

import pytest
import small_packages
import torch_peers

import keras_mobattn
from keras_mobattn import __main__ as program
from keras_mobattn import cli, families
from keras_mobattn.attention import ATTENTIONS, OWN
from keras_mobattn.gpu import gpu_problem

RECORDS = families.FAMILIES
FAMILIES = {name: functools.partial(family.build, variant="test") for name, family in RECORDS.items()}
HOSTS_WITHOUT_PATCHES = [name for name, family in RECORDS.items() if family.attention_patch == 1]
OWN_STYLE = {name: OWN for name, family in RECORDS.items() if family.styles}  # families whose own attention is no style
STYLES = [(name, style) for name, family in RECORDS.items() for style in (*ATTENTIONS, *family.styles)]
QUICK_FAMILIES = ("MobileViTv2",)  # the others are slow tests, which CI runs too
FAMILY_CASES = [pytest.param(family, marks=[pytest.mark.slow] * (family not in QUICK_FAMILIES)) for family in FAMILIES]
STYLE_CASES = [  # slow tests are those that CI runs too
    pytest.param(name, style, marks=[pytest.mark.slow] * (style not in RECORDS[name].quick_styles))
    for name, style in STYLES
]


ROOT = Path(__file__).parents[1]


def pytest_addoption(parser):
    """`--share SEED/COUNT` runs one in COUNT of the tests, chosen by SEED: another commit, as the seed, has others."""
    parser.addoption("--share", help="SEED/COUNT: one in COUNT of the tests, by the seed")


def pytest_collection_modifyitems(config, items):
    """Leave out what is not in the share; a test's place in it hangs on its name and the seed alone."""
    if share := config.getoption("--share"):
        seed, _, count = share.rpartition("/")
        left_out = {item for item in items if zlib.crc32(f"{seed} {item.nodeid}".encode()) % int(count)}
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def first_models(tmp_path_factory):
    """A folder with model.keras, model.h5 and saved_model, as the package once wrote them."""
    folder = tmp_path_factory.mktemp("first_models")
    with tarfile.open(ROOT / "tests" / "first_files" / "models.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def call_script(monkeypatch):
    """call_script(path, *flags) runs a script in this process, which saves the 4 s of a new one, and returns its exit
    code."""

    def call(path, *flags):
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, flags)])
        monkeypatch.setattr(cli.console, "width", 120)
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(ROOT / path, run_name="__main__")
        return stop.value.code

    return call


@pytest.fixture
def mobattn(monkeypatch):
    """mobattn(command, *flags) runs the program in this process and returns its exit code."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["mobattn", *map(str, words)])
        monkeypatch.setattr(cli.console, "width", 120)
        with pytest.raises(SystemExit) as stop:
            program.main()
        return stop.value.code

    return call


@functools.cache
def tiny_model(family="MobileViTv2", attention="mobile", side=64, classes=10):
    """A test-size model of the family with random weights, side x side pixels, 0..255. Do not train it: it is
    shared."""
    model = FAMILIES[family](attention=attention, input_shape=(side, side, 3), classes=classes)
    return keras_mobattn.randomize_weights(model, seed=1)


@pytest.fixture(name="tiny_model")
def tiny_model_fixture():
    return tiny_model


@pytest.fixture(scope="session")
def needs_gpu():
    """Skip where the GPU accelerator can't run, not even over SwiftShader, and say why."""
    if problem := gpu_problem():
        pytest.skip(problem)


@pytest.fixture(scope="session")
def timm():
    """The package, whose models and image transform are the published ones. Skip where it can't be had."""
    if missing := torch_peers.missing("torch", "torchvision", "timm"):
        pytest.skip(missing)
    return torch_peers.import_peer("timm")


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """package(name) is the path of one of the `small_packages`, written once."""
    folder = tmp_path_factory.mktemp("packages")
    return functools.cache(lambda name: small_packages.write(name, folder))
