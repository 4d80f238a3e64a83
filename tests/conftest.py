"""What every test may ask for: models and packages made once, the programs in this process, and what may be missing."""

import functools
import runpy
import sys
import tarfile
import zlib

import numpy as np
import pytest

from helpers import FIXTURES, ROOT, cases, small_packages, torch_peers
from helpers.mediapipe_images import as_mediapipe
from helpers.memory import forgetting_gradients, release_memory
from keras_mobattn import __main__ as program, cli
from keras_mobattn.gpu import gpu_problem

pytest_plugins = ["helpers.module_costs"]


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


@pytest.fixture(scope="module", autouse=True)
def forget_gradients():
    """Let go of what a module traced."""
    with forgetting_gradients():
        yield


@pytest.fixture(autouse=True)
def release_memory_of_slow_tests(request):
    """The others are small, and many."""
    yield
    if request.node.get_closest_marker("slow") or request.node.get_closest_marker("sampled"):
        release_memory()


@pytest.fixture(scope="session")
def mediapipe():
    """MediaPipe's vision tasks, which read files as an app does."""
    try:
        from mediapipe.tasks.python import vision

        as_mediapipe(np.zeros((8, 8, 3), np.uint8))
    except (ImportError, OSError) as error:  # it and its OpenCV link OpenGL, also to run on the CPU
        pytest.skip(f"mediapipe can't be loaded ({error}): pip install -e '.[test]'; apt-get install libegl1 libgles2")
    return vision


@pytest.fixture(scope="session")
def first_models(tmp_path_factory):
    """A folder with model.keras, model.h5 and saved_model, as the package once wrote them."""
    folder = tmp_path_factory.mktemp("first_models")
    with tarfile.open(FIXTURES / "first_files" / "models.tar.xz") as archive:
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


@pytest.fixture(name="tiny_model")
def tiny_model_fixture():
    return cases.tiny_model


@pytest.fixture(scope="session")
def needs_gpu():
    """Skip where the GPU accelerator can't run, not even over SwiftShader, and say why."""
    if problem := gpu_problem():
        pytest.skip(problem)


@pytest.fixture(scope="session")
def needs_real_float16():
    """Skip where nothing computes float16 as such, neither a GPU nor Mesa's llvmpipe, and say why."""
    if problem := gpu_problem(real_float16=True):
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
