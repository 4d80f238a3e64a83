"""Every model and style on the real GPU accelerator, alone, against the CPU; and what the accelerator refuses.

On a machine without a GPU SwiftShader computes, float16 as float32: that fp16 is taken is tested there, and not what
half precision does to the numbers, for which there is tests/half/test_real_half.py.
"""

import functools

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import keras_mobattn
from helpers.cases import FAMILIES, FAMILY_CASES, OWN_STYLE, STYLES, tiny_model
from helpers.small_graphs import SHAPE, write_graph, write_graphs
from keras_mobattn import export, gpu
from keras_mobattn.attention import OWN
from keras_mobattn.data import sample_photos
from keras_mobattn.describe import GPU_MAX_ERROR
from keras_mobattn.describe.difference import max_error
from keras_mobattn.errors import InputError
from keras_mobattn.gpu import __main__ as gpu_script, driver, probe

pytestmark = pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
QUICK = {family: ("mobile", OWN) if family in OWN_STYLE else ("mobile",) for family in FAMILIES}
LOOSE = export.Tolerance(1e-3)  # tests/export/test_conversions.py holds conversions to their own
REAL = {
    "MobileViTv2 0.5": functools.partial(keras_mobattn.MobileViTv2, width=0.5),
    "MobileViTv2 1.0": functools.partial(keras_mobattn.MobileViTv2, width=1.0),
    **{f"MobileViT {v}": functools.partial(keras_mobattn.MobileViT, variant=v) for v in ("xxs", "xs", "s")},
    "DeiT tiny": functools.partial(keras_mobattn.DeiT, variant="tiny"),
    "PVTv2 b0": functools.partial(keras_mobattn.PVTv2, variant="b0"),
    "EfficientFormerV2 s0": functools.partial(keras_mobattn.EfficientFormerV2, variant="s0"),
}


def on_cpu(path, images):
    run = Interpreter(str(path)).get_signature_runner()
    return [run(image=image[np.newaxis]) for image in images]


def failures(files, images):
    """Run {name: path} on the GPU in fp32 and fp16; {(name, precision): error or refusal} of what isn't right."""
    cases = [(name, precision) for precision in GPU_MAX_ERROR for name in files]
    inputs = [{"image": image[np.newaxis]} for image in images]
    jobs = [gpu.GpuJob(files[name], inputs, float16=precision == "fp16") for name, precision in cases]
    expected = {name: on_cpu(path, images) for name, path in files.items()}
    found = {}
    for (name, precision), run in zip(cases, gpu.run_jobs_on_gpu(jobs), strict=True):
        result = str(run) if isinstance(run, gpu.GpuError) else max_error(run.outputs, expected[name])
        if isinstance(result, str) or not result <= GPU_MAX_ERROR[precision]:
            found[name, precision] = result
    return found


def convert_styles(make, styles, size, folder):
    """Convert a model with each of the attention styles; {style: path}."""
    images, files = sample_photos(2, size).astype(np.float32), {}
    for style in styles:
        files[style] = folder / f"{style}.tflite"
        export.to_tflite(make(style), files[style], check_images=images, tolerance=LOOSE)
    return files, images


def styles_of(family):
    return [style for each, style in STYLES if each == family]


@pytest.mark.usefixtures("needs_gpu")
@pytest.mark.parametrize("family", FAMILY_CASES)
def test_every_family_runs_on_the_gpu_alone(family, tmp_path):
    files, images = convert_styles(functools.partial(tiny_model, family), QUICK[family], (64, 64), tmp_path)
    assert failures(files, images) == {}


@pytest.mark.slow
@pytest.mark.usefixtures("needs_gpu")
@pytest.mark.parametrize("family", FAMILIES)
def test_every_style_runs_on_the_gpu_alone(family, tmp_path):
    """At 64 pixels, where the last maps hold a single token."""
    files, images = convert_styles(functools.partial(tiny_model, family), styles_of(family), (64, 64), tmp_path)
    assert failures(files, images) == {}


@pytest.mark.slow
@pytest.mark.usefixtures("needs_gpu")
@pytest.mark.parametrize("name", REAL)
def test_every_style_runs_on_the_gpu_alone_in_full_size(name, tmp_path):
    def make(style):
        return keras_mobattn.randomize_weights(REAL[name](attention=style, input_shape=(256, 256, 3)), seed=1)

    files, images = convert_styles(make, styles_of(name.split()[0]), (256, 256), tmp_path)
    assert failures(files, images) == {}


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    return write_graphs(tmp_path_factory.mktemp("graphs"))


def image(seed=0):
    return np.random.default_rng(seed).random(SHAPE, np.float32)


@pytest.mark.usefixtures("needs_gpu")
def test_wrong_numbers_are_found(graphs, tmp_path):
    """The accelerator takes a + b of two halves without a word, and returns something else."""
    images = [image(seed)[0] for seed in range(2)]
    found = failures({name: graphs[name] for name in ("good", "added_halves")}, images)
    assert set(found) == {("added_halves", "fp32"), ("added_halves", "fp16")}
    assert min(found.values()) > 0.1  # once it is right, describe/tflite/rules.py can drop its rule


REFUSED = {  # graph -> part of the reason
    "rank_5": "Tensor dimensions must be less than 5",
    "l2_normalized": "L2_NORMALIZATION: Operation is not supported",
    "broadcast": "BROADCAST_TO: Operation is not supported",
    "class": "INT64",
    "minus_itself": "SUB: No support of few identical inputs",
    "times_itself": "the runtime crashed: ",  # a failed check in its native code ends the process
    "any_batch": "no fixed size",
}


@pytest.mark.usefixtures("needs_gpu")
def test_refusals_and_crashes_cost_only_their_own_file(graphs):
    names = [name for name in graphs if name != "int8"]
    runs = gpu.run_jobs_on_gpu([gpu.GpuJob(graphs[name], [{"image": image()}]) for name in names])
    refused = {name: str(run) for name, run in zip(names, runs, strict=True) if isinstance(run, gpu.GpuError)}
    assert set(refused) == set(REFUSED)
    for name, reason in REFUSED.items():
        assert f"Received: '{graphs[name]}': " in refused[name]
        assert reason in refused[name]
    assert {run.adapter for run in runs if isinstance(run, gpu.GpuRun)} == {gpu.gpu_adapter()}


@pytest.mark.usefixtures("needs_gpu")
def test_one_call_runs_many_inputs(graphs):
    inputs = [{"image": image(seed)} for seed in range(3)]
    for float16 in (False, True):
        outputs = gpu.run_on_gpu(graphs["good"], inputs, float16)
        assert [{name: value.dtype for name, value in each.items()} for each in outputs] == [{"result": np.float32}] * 3
        expected = on_cpu(graphs["good"], [each["image"][0] for each in inputs])
        for received, wanted in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(received["result"], wanted["result"], atol=1e-5)


@pytest.mark.usefixtures("needs_gpu")
def test_a_hang_is_ended(graphs):
    slow = gpu.GpuJob(graphs["good"], [{"image": image()}], max_secs=0.001)  # compiling alone takes longer
    stopped, ran = gpu.run_jobs_on_gpu([slow, gpu.GpuJob(graphs["good"], [{"image": image()}])])
    assert "the process hung and was ended after 0:00:00.001" in str(stopped)
    assert isinstance(ran, gpu.GpuRun)


@pytest.mark.usefixtures("needs_gpu")
@pytest.mark.parametrize("inputs", [{"picture": image()}, {"image": image()[0]}, {}], ids=["name", "shape", "none"])
def test_inputs_that_do_not_fit(graphs, inputs):
    with pytest.raises(gpu.GpuError, match=r"expected inputs of shapes \{'image': \[1, 16, 16, 8\]\}, received "):
        gpu.run_on_gpu(graphs["good"], [inputs])


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        gpu.run_on_gpu(tmp_path / "gone.tflite", [])
    (tmp_path / "text.tflite").write_text("Dear reader, this is no model.")
    with pytest.raises(InputError, match="Expected a TFLite file.*text.tflite"):
        gpu.run_on_gpu(tmp_path / "text.tflite", [])


@pytest.mark.usefixtures("needs_gpu")
def test_a_corrupt_file(tmp_path):
    (tmp_path / "cut.tflite").write_bytes(write_graph("good", tmp_path).read_bytes()[:800])
    with pytest.raises(gpu.GpuError, match="cut.tflite"):
        gpu.run_on_gpu(tmp_path / "cut.tflite", [{"image": image()}])


@pytest.fixture
def no_driver(monkeypatch):
    monkeypatch.setattr(driver, "FOLDERS", ())
    monkeypatch.setenv("VK_DRIVER_FILES", "/nowhere.json")
    probe.probe.cache_clear()
    yield
    monkeypatch.undo()
    probe.probe.cache_clear()


@pytest.mark.usefixtures("no_driver")
def test_without_a_driver_the_problem_says_what_to_do(monkeypatch):
    assert (
        gpu.gpu_problem()
        == "The GPU accelerator can't run here: there is no driver for it: `python -m keras_mobattn.gpu` gets one."
    )
    assert gpu.gpu_adapter() == ""
    monkeypatch.setattr(driver.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="Expected apt-get and dpkg-deb.* Install a Vulkan driver"):
        gpu_script.main()


def test_swiftshader_stands_beside_the_machines_drivers(tmp_path, monkeypatch):
    for name in driver.FILES:
        (tmp_path / name).touch()
    for name in ("VK_ICD_FILENAMES", "VK_DRIVER_FILES", "VK_LOADER_DRIVERS_DISABLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/before")
    monkeypatch.setattr(driver.sys, "platform", "linux")
    monkeypatch.setattr(driver, "FOLDERS", (tmp_path / "absent", tmp_path))
    variables = driver.environment()
    assert variables["VK_ADD_DRIVER_FILES"] == str(tmp_path / "vk_swiftshader_icd.json")
    assert variables["LD_LIBRARY_PATH"] == f"{tmp_path}:/before"
    monkeypatch.setenv("VK_ICD_FILENAMES", "/mine.json")  # the user's choice holds
    assert "VK_ADD_DRIVER_FILES" not in driver.environment()


@pytest.mark.slow
@pytest.mark.skipif(not driver.shutil.which("apt-get"), reason="no apt-get here to get SwiftShader with")
def test_swiftshader_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "FETCHED", tmp_path / "swiftshader")
    monkeypatch.setattr(driver, "FOLDERS", (tmp_path / "swiftshader",))
    driver.fetch()
    assert driver.swiftshader() == tmp_path / "swiftshader"
    assert {path.name for path in driver.swiftshader().iterdir()} == {*driver.FILES, "copyright"}
    probe.probe.cache_clear()
    assert gpu.gpu_problem() is None


def test_the_probe_is_a_sigmoid(tmp_path):
    (tmp_path / "sigmoid.tflite").write_bytes(probe.sigmoid_model(3))
    interpreter = Interpreter(str(tmp_path / "sigmoid.tflite"))
    interpreter.allocate_tensors()
    values = np.float32([-1, 0, 2])
    interpreter.set_tensor(0, values)
    interpreter.invoke()
    np.testing.assert_allclose(interpreter.get_tensor(1), 1 / (1 + np.exp(-values)), rtol=1e-6)
