"""What `describe` says of half precision: numbers that are known beforehand, verdicts, the screen, exit codes."""

import io
import json
import re

import numpy as np
import pytest
import rich.console
from PIL import Image

from helpers.half_files import GRAPHS, PIXELS, SIDE, images, write_tflite
from helpers.small_graphs import write_graph
from helpers.small_models import convert, shared_model
from keras_mobattn import describe
from keras_mobattn.commands import describe as command
from keras_mobattn.describe.difference import NO_NUMBER
from keras_mobattn.describe.half import MAX_ERROR, half_verdict
from keras_mobattn.describe.half_screen import print_half
from keras_mobattn.errors import InputError
from keras_mobattn.half import HALF_MAX

JUDGED = [name for name in GRAPHS if name != "lacking"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("half")
    return {name: write_tflite(name, folder) for name in GRAPHS}


@pytest.fixture(scope="module")
def verdicts(files):
    return {name: half_verdict(path, images) for name, path in files.items()}


HEADROOM = {  # of GRAPHS, by what 200 everywhere gives, or the ramp's 255; the image itself doesn't grow
    "fine": HALF_MAX / (0.5 * 255),
    "overflow": HALF_MAX / (300 * 255),
    "sum": HALF_MAX / (200 * PIXELS),
    "mean": HALF_MAX / (200 * PIXELS),
    "long mean": HALF_MAX / (800 * PIXELS),
    "vanished": HALF_MAX / (1e-5 * 255),
    "cancelled": HALF_MAX / 2001,
}
PASSED = {"fine"}


@pytest.mark.parametrize("name", JUDGED)
def test_headroom(name, verdicts):
    verdict = verdicts[name]
    assert (verdict.num_images, verdict.problem, verdict.not_judged) == (2, None, None)
    assert verdict.headroom == pytest.approx(HEADROOM[name], rel=1e-3)
    assert list(verdict.modes) == ["stored", "reductions"]
    assert verdict.passed == (name in PASSED)
    assert [tensor.headroom for tensor in verdict.tightest] == sorted(tensor.headroom for tensor in verdict.tightest)


def errors(verdict):
    """The error in each mode of a file with one output."""
    return [next(iter(mode.errors.values())) for mode in verdict.modes.values()]


def test_errors_are_shares_of_the_spread_over_all_images(verdicts):
    """A half of a whole number up to 255 is a float16."""
    assert errors(verdicts["fine"]) == [0.0, 0.0]
    assert errors(verdicts["vanished"]) == [1.0, 1.0]  # 2.55e-8 became 0
    stored, summed = errors(verdicts["long mean"])
    assert stored < 1e-3
    assert summed == NO_NUMBER


def test_the_first_overflow_has_a_name(verdicts):
    for name, mode, operator in (("overflow", "stored", "MUL"), ("long mean", "reductions", "MEAN")):
        assert verdicts[name].modes[mode].first_overflow.operator == operator
    assert verdicts["long mean"].modes["stored"].first_overflow is None
    assert verdicts["fine"].modes["reductions"].first_overflow is None
    assert not verdicts["long mean"].passed


def test_the_operator_to_blame_has_a_name(verdicts):
    """1 is a two-thousandth of 2001; float16 has steps of 1 there, and half a step is half of what is left."""
    (jump, *_) = verdicts["cancelled"].modes["stored"].jumps
    assert jump.operator == "SUB"
    assert jump.inherited == pytest.approx(0.5 / 2001, rel=0.01)
    assert jump.error == pytest.approx(0.5, rel=0.01)
    assert verdicts["cancelled"].modes["stored"].errors == {"case 0": pytest.approx(0.5, rel=0.01)}


def test_what_vanishes_has_a_name(verdicts):
    subnormal = [(tensor.operator, tensor.subnormal) for tensor in verdicts["vanished"].subnormal]
    assert sorted(subnormal[:2]) == [("", 1.0), ("MUL", 1.0)]  # the constant, and the second product
    assert subnormal[2] == ("MUL", pytest.approx(6 / 255, abs=1 / 255))  # up to 6.1 of the ramp, times 1e-5
    assert not verdicts["fine"].subnormal


def test_products_when_asked(files):
    verdict = describe.describe_tflite(files["fine"], False, images, ("products",)).half
    assert list(verdict.modes) == ["stored", "reductions", "products"]
    with pytest.raises(InputError, match="half_modes to be one of 'float32', 'stored'"):
        half_verdict(files["fine"], images, ("half",))
    with pytest.raises(InputError, match="half_images to be a function"):
        describe.describe_tflite(files["fine"], False, images((16, 16)))


@pytest.mark.parametrize(
    ("name", "problem"), [("lacking", "Received: .*lacking.tflite' with CUMSUM. Write"), ("any_batch", "fixed size")]
)
def test_what_cannot_be_run_fails(name, problem, files, tmp_path, capsys):
    path = files.get(name) or write_graph(name, tmp_path)
    verdict = half_verdict(path, images)
    assert verdict.problem
    assert not verdict.passed
    assert re.search(problem, verdict.problem)
    assert command.main((path,), require=("half",), gpu=False) == 1
    assert "Half precision  not run:" in capsys.readouterr().out


def test_weights_of_any_float_and_inputs_of_any_type(tmp_path):
    """uint8 pixels reach the same numbers as float32 ones; float16 weights are rounded already."""
    found = {}
    for precision, dtype in (("fp32", "float32"), ("fp32", "uint8"), ("fp32", "int8"), ("fp16", "float32")):
        path = tmp_path / f"{precision}_{dtype}.tflite"
        convert(".tflite", precision, shared_model(), path, input_dtype=dtype)
        found[precision, dtype] = half_verdict(path, lambda size: np.round(images(size)))
    room, *rooms = (verdict.headroom for verdict in found.values())
    assert 100 < room <= HALF_MAX / 255
    assert rooms == [pytest.approx(room, rel=2e-3)] * 3
    (name,) = found["fp32", "float32"].modes["stored"].errors
    plain, *others = (verdict.modes["stored"].errors[name] for verdict in found.values())
    assert plain < MAX_ERROR
    assert others[:2] == [pytest.approx(plain, rel=1e-3)] * 2
    assert others[2] != plain


def test_files_for_the_cpu_are_not_judged(files, tmp_path, capsys):
    path = tmp_path / "model_int8.tflite"
    convert(".tflite", "int8", shared_model(), path)
    verdict = half_verdict(path, images)
    assert "int8 weights" in verdict.not_judged
    assert not verdict.passed
    assert command.main((files["fine"], path), require=("half",), gpu=False) == 0
    assert "not judged: int8 weights: the file is for the CPU" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(InputError, match="processors of half precision for --require half.*int8 weights"):
        command.main((path,), require=("half",), gpu=False)


@pytest.mark.parametrize("name", JUDGED)
def test_exit_codes(name, files, tmp_path, capsys):
    Image.fromarray(images((SIDE, SIDE))[0].round().astype(np.uint8)).save(tmp_path / "ramp.png")
    code = command.main((files[name],), require=("half",), gpu=False, images=tmp_path)
    assert code == (name not in PASSED)
    assert ("not passed" in capsys.readouterr().out) == (name not in PASSED)


def test_a_folder_of_images_and_another_range(files, tmp_path, capsys):
    folder, written = tmp_path / "images", tmp_path / "found.json"
    folder.mkdir()
    for index, value in enumerate((10, 20)):
        Image.new("RGB", (20, 20), (value,) * 3).save(folder / f"{index}.png")

    def headroom(**options):
        command.main((files["sum"],), half=True, gpu=False, images=folder, json=written, **options)
        return json.loads(written.read_text())[0]["half"]["headroom"]

    assert headroom() == pytest.approx(HALF_MAX / (20 * PIXELS))
    assert headroom(input_scale=(0.5,), input_bias=(1.0,)) == pytest.approx(HALF_MAX / (11 * PIXELS))
    for alone in ({"images": folder}, {"input_scale": (0.5,)}, {"input_bias": (1.0,)}):
        with pytest.raises(InputError, match=f"Expected --half.* for --{next(iter(alone)).replace('_', '-')}"):
            command.main((files["sum"],), **alone)
    with pytest.raises(InputError, match=r"one for each of 3 channels. Received: \[1.0, 2.0\]"):
        command.main((files["sum"],), half=True, gpu=False, input_scale=(1.0, 2.0))
    with pytest.raises(InputError, match="folder of images"):
        command.main((files["sum"],), half=True, images=tmp_path / "none")


def test_json_is_whole_and_finite(files):
    record = describe.describe_tflite(files["overflow"], False, images).as_dict()
    half = json.loads(json.dumps(record, allow_nan=False))["half"]
    assert half["passed"] is False
    assert half["modes"]["stored"]["errors"] == {"case 0": NO_NUMBER}
    assert "MUL" in {tensor["operator"] for tensor in half["modes"]["stored"]["tensors"]}
    assert describe.describe_tflite(files["fine"], False).as_dict()["half"] is None


@pytest.mark.parametrize("name", GRAPHS)
def test_the_screen_fits_80_columns(name, verdicts):
    out = io.StringIO()
    print_half(verdicts[name], rich.console.Console(file=out, width=80, color_system=None))
    lines = out.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert len(lines) < 50
    assert ("headroom" in lines[0]) == (name in JUDGED)
    for tensor in verdicts[name].tightest:
        assert tensor.operator in out.getvalue()
