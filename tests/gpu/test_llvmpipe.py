"""The driver with real float16: how it is had, told from others, and taken."""

import json
import os
import shutil

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_mobattn import _debian as debian, gpu
from keras_mobattn.errors import InputError
from keras_mobattn.gpu import __main__ as gpu_script, driver, llvmpipe, probe

needs_apt = pytest.mark.skipif(not shutil.which("apt-get"), reason="no apt-get here to get Mesa's llvmpipe with")


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """A folder in the place of the virtual environment's, empty; nobody has named a driver."""
    for name in driver.CHOSEN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(llvmpipe, "FETCHED", tmp_path / "llvmpipe")
    probe.probe.cache_clear()
    yield llvmpipe.FETCHED
    probe.probe.cache_clear()


class OneApt:
    """Stands in for apt: {suite: version of Mesa}."""

    def __init__(self, versions):
        self.versions = versions
        self.unpacked = []

    def __call__(self, *suites):
        self.suites = suites
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def version(self, _package):
        return self.versions.get(self.suites[-1])

    def needed(self, package):
        return [package, "libvulkan1", "libdrm2", "libc6"]

    def unpack(self, packages, folder):
        self.unpacked.append((self.suites[-1], *sorted(packages)))
        for number, name in enumerate(("libvulkan_lvp.so", "libvulkan.so.1", "lvp_icd.x86_64.json", "libdrm.so.2")):
            if number < 3 or "libdrm2" in packages:
                path = os.path.join(folder, "usr/lib", name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w") as file:
                    file.write('{"ICD": {"library_path": "/usr/lib/libvulkan_lvp.so", "api_version": "1.4"}}')
        os.makedirs(os.path.join(folder, "usr/share/doc/mesa-vulkan-drivers"), exist_ok=True)
        with open(os.path.join(folder, "usr/share/doc/mesa-vulkan-drivers/copyright"), "w") as file:
            file.write("MIT")


OWN = [("x-updates", "libvulkan1", "mesa-vulkan-drivers")]
BACKPORTS = [("x-backports", "libvulkan1", "mesa-vulkan-drivers")]
MESAS = {  # what apt has -> what is unpacked
    "own": ({"x-updates": "25.0.7-2+deb13u1", "x-backports": "26.1"}, OWN),
    "epoch": ({"x-updates": "1:25.0"}, OWN),
    "backports": ({"x-updates": "22.3.6-1", "x-backports": "25.0.7-2~bpo12+1"}, BACKPORTS),
}


@pytest.mark.parametrize("name", MESAS)
def test_the_systems_own_mesa_comes_before_backports(name, fetched, monkeypatch):
    versions, unpacked = MESAS[name]
    apt = OneApt(versions)
    monkeypatch.setattr(debian, "apt", apt)
    monkeypatch.setattr(debian, "codename", lambda: "x")
    monkeypatch.setattr(llvmpipe, "_missing", lambda folder: [])
    llvmpipe.fetch()
    assert apt.unpacked == unpacked
    assert {path.name for path in fetched.iterdir()} == {
        *("libvulkan_lvp.so", "libvulkan.so.1", "lvp_icd.json", "copyright")
    }
    assert json.loads((fetched / "lvp_icd.json").read_text())["ICD"]["library_path"] == "./libvulkan_lvp.so"


def test_libraries_that_the_system_lacks_come_along(fetched, monkeypatch):
    apt = OneApt({"x-updates": "25.0"})
    monkeypatch.setattr(debian, "apt", apt)
    monkeypatch.setattr(debian, "codename", lambda: "x")
    monkeypatch.setattr(
        llvmpipe, "_missing", lambda folder: [] if (folder / "libdrm.so.2").exists() else ["libdrm.so.2"]
    )
    llvmpipe.fetch()
    assert apt.unpacked == [*OWN, ("x-updates", "libc6", "libdrm2")]
    assert (fetched / "libdrm.so.2").exists()
    monkeypatch.setattr(llvmpipe, "_missing", lambda folder: ["libgone.so.1"])
    with pytest.raises(InputError, match="Expected libgone.so.1 in the packages that mesa-vulkan-drivers needs"):
        llvmpipe.fetch()
    assert (fetched / "libdrm.so.2").exists()  # what was there stays


def test_where_mesa_is_too_old(fetched, monkeypatch):
    monkeypatch.setattr(debian, "apt", OneApt({"x-updates": "22.3.6-1"}))
    monkeypatch.setattr(debian, "codename", lambda: "x")
    with pytest.raises(
        InputError, match="Mesa 25 or newer.* 22.3.6-1 in x and x-updates, none in x and x-backports. Use a newer"
    ):
        llvmpipe.fetch()
    assert not fetched.exists()


def test_without_apt(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="Expected apt-get and dpkg-deb.* a machine without them"):
        llvmpipe.fetch()


@needs_apt
def test_without_a_mirror(monkeypatch):
    monkeypatch.setattr(debian, "codename", lambda: "nowhere")
    with pytest.raises(InputError, match="Expected nowhere among apt's sources. Received: .* Add it to"):
        llvmpipe.fetch()


def test_it_is_taken_where_it_was_fetched(fetched, monkeypatch):
    monkeypatch.setattr(driver.sys, "platform", "linux")
    assert driver.environment(real_float16=True) == driver.environment()
    fetched.mkdir()
    (fetched / "lvp_icd.json").touch()
    variables = driver.environment(real_float16=True)
    assert variables["VK_DRIVER_FILES"] == str(fetched / "lvp_icd.json")
    assert variables["LD_LIBRARY_PATH"].split(os.pathsep)[0] == str(fetched)
    assert "VK_DRIVER_FILES" not in driver.environment()
    monkeypatch.setenv("VK_ICD_FILENAMES", "/mine.json")  # the user's choice holds
    assert "VK_DRIVER_FILES" not in driver.environment(real_float16=True)


@pytest.mark.usefixtures("needs_gpu")
@pytest.mark.skipif(not driver.swiftshader(), reason="no SwiftShader here, whose float16 is float32")
def test_swiftshader_is_found_out(fetched, monkeypatch):
    monkeypatch.setenv("VK_DRIVER_FILES", str(driver.swiftshader() / driver.FILES[0]))
    problem = gpu.gpu_problem(real_float16=True)
    assert problem.startswith("No real float16: SwiftShader")
    monkeypatch.setattr(llvmpipe, "fetch", lambda: None)  # as if it were no better
    with pytest.raises(InputError, match="No real float16: SwiftShader.* computes half precision otherwise"):
        gpu_script.main(half=True)
    assert gpu.gpu_problem() is None


@pytest.mark.slow
@needs_apt
def test_it_is_fetched(fetched, capsys):
    llvmpipe.fetch()
    assert {"libvulkan_lvp.so", "libvulkan.so.1", "lvp_icd.json", "copyright"} <= {p.name for p in fetched.iterdir()}
    assert not [path for path in fetched.iterdir() if path.name.startswith(("libc.", "libstdc++", "libgcc"))]
    gpu_script.main(half=True)
    assert "with real float16, on llvmpipe" in capsys.readouterr().out
    assert llvmpipe._missing(fetched) == []


def test_a_square_is_told_from_float32s(tmp_path):
    """What the probe runs: the interpreter, in float32, is none that has float16."""
    (tmp_path / "square.tflite").write_bytes(probe.square_model(3))
    interpreter = Interpreter(str(tmp_path / "square.tflite"))
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, probe.HALF_INPUTS)
    interpreter.invoke()
    squares = interpreter.get_tensor(1)
    np.testing.assert_array_equal(squares, probe.HALF_INPUTS**2)
    assert probe._not_half(None, squares, "A").startswith("No real float16: A computes")
    with np.errstate(over="ignore"):
        half = (probe.HALF_INPUTS.astype(np.float16) ** 2).astype(np.float32)
    assert probe._not_half(None, half, "A") is None
    assert probe._not_half(None, np.minimum(half, probe.HALF_MAX), "A") is None
