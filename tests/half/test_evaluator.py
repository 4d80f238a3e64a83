"""Files in half precision: operators against the interpreter and float64, models against the interpreter."""

import json

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from helpers.cases import QUICK_FAMILIES, STYLE_CASES, tiny_model
from helpers.half_cases import CASES, KERNEL, ROWS, TAPS, convolved, names_of, tensors, write_cases
from helpers.small_graphs import SHAPE, write_graph
from helpers.small_models import convert, photos, shared_model
from keras_mobattn import export
from keras_mobattn.data import sample_photos
from keras_mobattn.errors import InputError
from keras_mobattn.formats.tflite.contents import read_contents
from keras_mobattn.half import HALF_MAX, MODES, OPERATORS, TensorReport, evaluate_half

OUTPUTS = {name: f"case {number}" for number, name in enumerate(CASES)}
ROUNDING = 2.0**-23  # float32's last place
MODEL_ERROR = 1e-5  # of the float32 mode against the interpreter, as a share of the outputs' spread


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """The file of all operators, what the interpreter makes of it, and each mode's report."""
    path = write_cases(tmp_path_factory.mktemp("half") / "cases.tflite")
    expected = Interpreter(str(path)).get_signature_runner()(**tensors())
    return path, expected, {mode: evaluate_half(path, tensors(), mode) for mode in MODES}


def test_every_operator_is_tested(cases):
    assert {operator.kind for operator in read_contents(cases[0]).operators} == set(OPERATORS)


@pytest.mark.parametrize("name", CASES)
def test_float32_is_the_interpreter_s(name, cases):
    _, expected, reports = cases
    received, wanted = reports["float32"].outputs[OUTPUTS[name]], expected[OUTPUTS[name]]
    assert received.dtype == wanted.dtype
    np.testing.assert_allclose(received, wanted, rtol=1e-5, atol=1e-6 * np.ptp(wanted), strict=True)


@pytest.mark.parametrize("name", CASES)
def test_a_stored_result_is_the_rounded_one(name, cases):
    """Of inputs that float16 keeps: the formula in float64, rounded once; where two are as near, either."""
    formula = CASES[name][1]
    exact = formula(*(tensors()[each].astype(np.float64) for each in names_of(formula)))
    wanted = exact.astype(np.float16).astype(np.float64)
    received = cases[2]["stored"].outputs[OUTPUTS[name]]
    assert received.shape == wanted.shape
    differs = received != wanted
    assert differs.mean() < 0.01
    assert (np.abs(received - wanted) <= np.spacing(np.abs(wanted).astype(np.float16))).all()


def added(terms, axis):
    """np.float16 terms in blocks of four."""
    total = 0
    terms = np.moveaxis(np.asarray(terms).astype(np.float16), axis, 0)
    for start in range(0, len(terms), 4):
        block = terms[start]
        for term in terms[start + 1 : start + 4]:
            block = block + term
        total = total + block
    return total.astype(np.float64)


def in_half(x):
    return np.asarray(x).astype(np.float16).astype(np.float64)


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / added(e, -1)[..., None]


SUMMED = {  # in the mode -> operator -> formula with sums in float16, on x, y in float64
    "reductions": {
        "SUM": lambda x, y: added(x.transpose(0, 2, 1, 3).reshape(1, 11, 35), -1),
        "MEAN": lambda x, y: added(x.reshape(1, 77, 5), 1)[:, None, None] / 77,
        "SOFTMAX": lambda x, y: _softmax(x),
        "L2_NORMALIZATION": lambda x, y: x / np.sqrt(added(x * x, -1))[..., None],
        "AVERAGE_POOL_2D": lambda x, y: np.stack(
            [[added(x[:, r : r + 3, c : c + 3].reshape(1, 9, 5), 1) / 9 for c in (0, 2, 4, 6, 8)] for r in (0, 2, 4)]
        ).transpose(2, 0, 1, 3),
    },
    "products": {
        "BATCH_MATMUL": lambda x, y: added(in_half(x[..., :, None, :] * y[..., None, :, :]), -1),
    },
}


def _padded(x):
    return np.pad(x, [(0, 0), (1, 1), (0, 1), (0, 0)])  # 7 x 11 by a stride of 2: "SAME" for 3 x 2


def _convolved(x, y):
    """Terms by row, column and channel of the kernel."""
    places = [(r, c) for r in range(0, 7, 2) for c in range(0, 11, 2)]
    patches = np.stack([_padded(x)[0, r : r + 3, c : c + 2].reshape(-1) for r, c in places])
    return added(in_half(patches[:, None] * KERNEL.reshape(-1, 13).T), -1).reshape(1, 4, 6, 13)


def _depthwise(x, y):
    x = np.pad(np.repeat(x, 2, -1), [(0, 0), (1, 1), (1, 1), (0, 0)])
    places = [(r, c) for r in range(0, 7, 2) for c in range(0, 11, 2)]
    patches = np.stack([x[0, r : r + 3, c : c + 3].reshape(9, 10) for r, c in places])
    return added(in_half(patches * TAPS.reshape(9, 10)), 1).reshape(1, 4, 6, 10)


SUMMED["products"] |= {
    "CONV_2D": _convolved,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": lambda x, y: added(in_half(x.reshape(77, 5)[:, None] * ROWS.T), -1),
}


@pytest.mark.parametrize(("mode", "name"), [(mode, name) for mode, table in SUMMED.items() for name in table])
def test_sums_in_float16(mode, name, cases):
    x, y = (tensors()[each].astype(np.float64) for each in "xy")
    wanted = in_half(SUMMED[mode][name](x, y))
    received = cases[2][mode].outputs[OUTPUTS[name]]
    assert received.shape == wanted.shape
    assert (received == wanted).mean() > 0.99  # float32 between the sum and the rounding, float64 here
    assert (np.abs(received - wanted) <= np.spacing(np.abs(wanted).astype(np.float16))).all()
    assert (received != cases[2]["stored"].outputs[OUTPUTS[name]]).any()


@pytest.mark.parametrize("name", [name for name in CASES if "CONV" in name or name == "FULLY_CONNECTED"])
def test_convolutions_in_float16(name, cases):
    """Their terms' order is proven by tests/half/test_arithmetic.py; here that they are summed so, and nearly right."""
    stored, products = (cases[2][mode].outputs[OUTPUTS[name]] for mode in ("stored", "products"))
    assert 0 < np.abs(stored - products).max() < 0.05
    assert cases[2]["reductions"].outputs[OUTPUTS[name]].tolist() == stored.tolist()


def test_the_terms_of_a_convolution_go_by_row_column_and_channel(tmp_path):
    """65504 and what is added to it is infinite or not by the order: the kernel's first taps cancel, or its last."""
    kernel = np.zeros((2, 2, 3, 1), np.float32)
    kernel.reshape(-1)[[0, 1, 4, 8]] = 60000, -60000, 60000, 40000  # running: 0, 60000, then beyond
    path = write_cases(
        tmp_path / "order.tflite",
        {"late": (lambda x: tf.nn.conv2d(x, kernel, 1, "VALID"), None),
         "early": (lambda x: tf.nn.conv2d(x, kernel * np.float32(0.5), 1, "VALID"), None)},
        {"x": (1, 2, 2, 3)},
    )  # fmt: skip
    one = np.ones((1, 2, 2, 3), np.float32)
    report = evaluate_half(path, one, "products")
    assert np.isinf(report.outputs["case 0"]).all()
    assert report.outputs["case 1"] == in_half(convolved(one, kernel / 2, same=False))


OVERFLOWS = {
    "sum": (lambda x: tf.reduce_sum(x, 2), None),
    "mean": (lambda x: tf.reduce_mean(x, 2), None),
    "square": (lambda y: y * y, None),
    "difference": (lambda y: y * y - tf.exp(y), None),
    "epsilon": (lambda y: tf.math.rsqrt((y - 300.0) + 1e-12), None),
    "large sum": (lambda x: tf.reduce_sum(tf.abs(x), 2), None),
}


def test_known_overflows(tmp_path):
    path = write_cases(tmp_path / "overflows.tflite", OVERFLOWS, {"x": (1, 1, 503, 1), "y": (1, 3)})
    x = np.full((1, 1, 503, 1), 256, np.float32)
    x[:, :, 300:] *= -1  # on its way the sum is 76800, in the end 24832
    inputs = {"x": x, "y": np.full((1, 3), 300, np.float32)}
    reports = {mode: evaluate_half(path, inputs, mode) for mode in MODES}

    def value(mode, name):
        return float(reports[mode].outputs[f"case {list(OVERFLOWS).index(name)}"].reshape(-1)[0])

    inf = float("inf")
    assert (value("float32", "sum"), value("stored", "sum"), value("reductions", "sum")) == (24832, 24832, inf)
    assert value("stored", "mean") == pytest.approx(24832 / 503, rel=2**-11)
    assert value("reductions", "mean") == inf
    assert (value("float32", "square"), value("stored", "square")) == (90000, inf)
    assert np.isnan(value("stored", "difference"))
    assert value("float32", "epsilon") == pytest.approx(1e6)
    assert value("stored", "epsilon") == inf
    assert value("stored", "large sum") == inf
    sums = {t.name: t for t in reports["stored"].tensors if t.operator == "SUM"}
    assert sorted((t.running_sum, t.error == inf) for t in sums.values()) == [(76800, False), (128768, True)]
    assert min(t.headroom for t in sums.values()) == 65504 / 128768
    assert reports["float32"].first_overflow is None
    assert reports["stored"].first_overflow.largest > 65504
    tiny = [t for t in reports["stored"].tensors if not t.operator and t.subnormal]
    assert [t.error for t in tiny] == [1.0]  # the epsilon: all of it is lost


END = 65504.0


@pytest.mark.parametrize(
    ("operator", "largest", "headroom"),
    [
        *(("ADD", END, 1.0), ("ADD", 2 * END, 0.5), ("ADD", 0.0, np.inf)),
        *(("", END, np.inf), ("", 2 * END, 0.5), ("RSQRT", END, np.inf), ("rsqrt", 2 * END, 0.5)),
    ],
)
def test_constants_have_room_unless_they_overflow(operator, largest, headroom):
    """65504 itself is the end of a norm's 1 / sqrt: no image makes it larger."""
    assert HALF_MAX == END
    assert TensorReport("name", operator, largest, 0.0, None, 0.0, 0.0, 0.0).headroom == headroom


def model_file(path, precision, family="MobileViTv2", style="mobile"):
    """A converted model with random weights, an image, and what the interpreter makes of it."""
    images = sample_photos(1, (32, 32), seed=0).astype(np.float32)
    source = export.load(tiny_model(family, style, side=32))
    export.to_tflite(source, path, precision, check_images=images, tolerance=export.Tolerance(10))
    return images, Interpreter(str(path)).get_signature_runner()(image=images)["probabilities"]


@pytest.mark.sampled
@pytest.mark.parametrize(("family", "style"), STYLE_CASES)
def test_every_family_and_style(family, style, tmp_path):
    for precision in ("fp32", "fp16")[: 2 if family in QUICK_FAMILIES else 1]:
        path = tmp_path / f"{precision}.tflite"
        images, wanted = model_file(path, precision, family, style)
        reports = {mode: evaluate_half(path, images, mode) for mode in ("float32", "stored")}
        received = reports["float32"].outputs["probabilities"]
        # Random weights can make a model that one rounding moves by more: relu_linear's divisors may be near 0.
        run = Interpreter(str(path)).get_signature_runner()
        brighter = run(image=images * np.float32(1 + ROUNDING))["probabilities"]
        allowed = max(MODEL_ERROR * max(np.ptp(wanted), 1e-30), np.abs(brighter - wanted).max())
        assert np.abs(received - wanted).max() <= allowed
        assert all(tensor.error == 0 for tensor in reports["float32"].tensors)
        made = {tensor.name for tensor in reports["stored"].tensors if tensor.operator}
        assert made == {tensor.name for operator in read_contents(path).operators for tensor in operator.outputs}


def test_float16_weights(tmp_path):
    """They are the file's own rounding: the modes find them as they are."""
    images, wanted = model_file(tmp_path / "model.tflite", "fp16")
    for mode in MODES:
        report = evaluate_half(tmp_path / "model.tflite", images, mode)
        assert np.abs(report.expected["probabilities"] - wanted).max() <= MODEL_ERROR * np.ptp(wanted)
        assert all(tensor.error == 0 for tensor in report.tensors if tensor.operator == "DEQUANTIZE")
        error = np.abs(report.outputs["probabilities"] - wanted).max() / np.ptp(wanted)
        assert error <= MODEL_ERROR if mode == "float32" else error > 1e-4


def test_int8_regions_are_the_interpreter_s(tmp_path):
    """To one step, which a kernel may round another way."""
    path, images = tmp_path / "model.tflite", photos(5).astype(np.float32)
    convert(".tflite", "int8", shared_model(), path)
    run = Interpreter(str(path)).get_signature_runner()
    for image in images:
        wanted = run(image=image[None])["probabilities"]
        np.testing.assert_allclose(
            evaluate_half(path, image[None], "float32").outputs["probabilities"], wanted, atol=2e-2
        )


def test_quantized_inputs_and_operators(tmp_path):
    """A file that the TF converter quantized: convolutions and SOFTMAX in int8, its input too."""
    path = write_graph("int8", tmp_path)
    image = np.random.default_rng(0).integers(-128, 128, SHAPE).astype(np.int8)
    wanted = Interpreter(str(path)).get_signature_runner()(image=image)["result"]
    received = evaluate_half(path, image, "products").outputs["result"]
    assert np.abs(received - wanted).max() <= (wanted.max() - wanted.min()) / 100


@pytest.mark.parametrize(
    ("graph", "inputs", "message"),
    [
        ("any_batch", np.zeros(SHAPE), "operators among .*SHAPE.*Write the model without"),
        ("dynamic_range", np.zeros(SHAPE), "float weights under float activations.*int8 weights"),
        ("good", np.zeros((1, 16, 17, 8)), r"the input 'image' of shape \(1, 16, 16, 8\).*\(1, 16, 17, 8\)"),
        ("good", {"other": np.zeros(SHAPE)}, "the input 'image'.*Received: none"),
    ],
)
def test_refusals(graph, inputs, message, tmp_path):
    with pytest.raises(InputError, match=message):
        evaluate_half(write_graph(graph, tmp_path), inputs)


def test_an_unknown_mode_is_refused(cases):
    with pytest.raises(InputError, match="mode to be one of 'float32', 'stored'"):
        evaluate_half(cases[0], tensors(), "bfloat16")


def test_figures_are_plain(cases):
    for tensor in cases[2]["stored"].tensors:
        assert json.loads(json.dumps(vars(tensor)))["name"] == tensor.name
