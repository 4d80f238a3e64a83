"""The report is one file that needs nothing else, and shows what it was given."""

import dataclasses
import functools
import io
import re

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from keras_mobattn import benchmark, report
from keras_mobattn.benchmark import Device, Measurement, Statistics
from keras_mobattn.benchmark.android.details import AndroidDetails
from keras_mobattn.commands import benchmark_report
from keras_mobattn.errors import InputError
from keras_mobattn.report import plots

STYLES = [
    "softmax",
    "separable",
    "mobile",
    "flow",
    "linear",
    "relu_linear",
    "efficient",
    "additive",
    "hydra",
    "xca",
    "focused",
]  # as many as there are, so that marks and labels have to differ


def _measured(name, ms):
    return Measurement(
        name, f"{name}.tflite", Device("chip", "Linux", 2), "rt 1", "xnnpack", statistics=Statistics.of([ms, 1.2 * ms])
    )


def _failed(name):
    return Measurement(name, f"{name}.tflite", Device("chip", "Linux", 2), "rt 1", "xnnpack", error="Crashed <badly>.")


BY_STYLE = {style: _measured(style, 3 + index / 7) for index, style in enumerate(STYLES)} | {"lost": _failed("lost")}
BY_TOKENS = {
    style: [(n, _measured(style, (1 + index / 9) * n / 64)) for n in (64, 256, 1024)]
    for index, style in enumerate(STYLES)
} | {"lost": [(64, _failed("lost"))]}
HISTORY = {
    "loss": [2.0, 1.0, 0.5],
    "accuracy": [0.2, 0.7, 0.9],
    "val_loss": [1.9, 0.9, 0.95],
    "val_accuracy": [0.3, 0.8, 0.75],
    "learning_rate": [0.1, 0.1, 0.1],
}
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 8, 11, 3), np.uint8)
PLOTS = {
    "learning_curves": (HISTORY,),
    "latency_by_style": (BY_STYLE,),
    "latency_by_tokens": (BY_TOKENS,),
    "confusion_matrix": ([[5, 1], [0, 7]], ("cat", "$\\dog$")),
    "image_grid": (IMAGES, [f"$\\image {index}$" for index in range(7)], (2,)),
    "operator_bars": ({"conv": {"CPU": 40.5, "GPU": 2.0}, "$\\relu$": {"CPU": 1.0}}, "cost in %", ("GPU", "CPU")),
}
EDGES = {  # inputs that are thin but right
    "one epoch, loss alone": ("learning_curves", {"loss": [1.0]}),
    "diverged": ("learning_curves", {"loss": [1.0, float("nan")], "val_loss": [float("nan")] * 2}),
    "every style failed": ("latency_by_style", {"lost": _failed("lost")}),
    "every size failed": ("latency_by_tokens", {"lost": [(64, _failed("lost"))]}),
    "one size": ("latency_by_tokens", {"mobile": [(64, _measured("mobile", 1.0))]}),
    "no test images of a class": ("confusion_matrix", [[0, 0], [1, 3]], ("a", "b")),
    "a hundred classes": ("confusion_matrix", np.eye(100, dtype=int), [f"class {index}" for index in range(100)]),
    "no operators": ("operator_bars", {}, "operators"),
    "one image": ("image_grid", IMAGES[:1], ["lone"]),
}


@pytest.mark.parametrize("name", PLOTS)
def test_plots_as_svg_and_png(name):
    plot = getattr(report, name)
    svg, png = plot(*PLOTS[name]), plot(*PLOTS[name], format="png")
    assert b"<svg" in svg
    assert b"viewBox" in svg
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    assert picture.shape[1] > 700
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10
    assert tuple(picture[0, 0]) == (255, 255, 255)
    with pytest.raises(InputError, match="'svg' or 'png'. Received: 'gif'"):
        plot(*PLOTS[name], format="gif")


@pytest.mark.parametrize("name", EDGES)
def test_thin_inputs_make_plots(name):
    function, *arguments = EDGES[name]
    assert b"<svg" in getattr(report, function)(*arguments)


def test_bad_inputs_of_plots():
    with pytest.raises(InputError, match="Expected a history"):
        report.learning_curves({"lr": [1.0]})
    with pytest.raises(InputError, match=r"shape \(2, 2\).*Received: \(2, 3\)"):
        report.confusion_matrix(np.ones((2, 3)), ("a", "b"))
    with pytest.raises(InputError, match="Received: 1, 7"):
        report.image_grid(IMAGES, ["one"])


def _drawn(function, *arguments):
    """The matplotlib figure behind a plot, drawn so that its layout is settled."""
    figure = function.__wrapped__(*arguments)
    FigureCanvasAgg(figure).draw()
    return figure


def _texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_curves_mark_the_best_epoch():
    figure = _drawn(report.learning_curves, HISTORY)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["loss", "accuracy"]  # no learning rate
    labels = [axes.get_legend_handles_labels()[1][1] for axes in figure.axes]
    assert labels == ["validation, best 0.9 in epoch 2", "validation, best 0.8 in epoch 2"]


def test_bars_are_medians_from_the_fastest_to_the_failed():
    shuffled = dict(sorted(BY_STYLE.items(), key=lambda item: item[0][::-1]))
    (axes,) = _drawn(report.latency_by_style, shuffled).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == list(BY_STYLE)
    medians = [BY_STYLE[style].statistics.median_ms for style in STYLES]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(medians)
    whiskers = [line.get_xdata()[1] for line in axes.lines[::2]]
    assert whiskers == pytest.approx([BY_STYLE[style].statistics.p95_ms for style in STYLES])
    assert "failed" in [text.get_text() for text in axes.texts]


def test_lines_are_told_apart_and_labelled_with_their_slopes():
    (axes,) = _drawn(report.latency_by_tokens, BY_TOKENS).axes
    lines = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert len({line.get_color() for line in lines}) == len({line.get_marker() for line in lines}) == len(STYLES) == 11
    texts = _texts(axes.figure)
    assert all(style in texts for style in STYLES)
    assert texts.count("1.00") == 11
    assert "not measured: lost (1)" in texts
    renderer = axes.figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axes.texts if text.get_text() in STYLES]
    assert not any(a.overlaps(b) for index, a in enumerate(boxes) for b in boxes[:index])


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.0])
def test_slope(slope):
    assert report.loglog_slope([(n, 0.3 * n**slope) for n in (16, 64, 256)]) == pytest.approx(slope)
    assert report.loglog_slope([(16, 1.0), (16, 2.0)]) is None


def test_labels_move_apart_and_stay_inside():
    assert plots._apart([0.1, 0.11, 0.5, 0.99, 1.0], 0.1) == pytest.approx([0.1, 0.2, 0.5, 0.9, 1.0])


CHECK = dict(
    path="m.tflite",
    format="tflite",
    precision="int8",
    output="probabilities",
    num_images=64,
    max_abs_error=0.03,
    spread=0.5,
    snr_db=27.04,
    agreement=0.9921875,
    size_bytes=1_512_345,
    seconds=3.21,
)


def test_conversions_table():
    lost = {"format": "coreml", "precision": "fp16", "error": "Top-1 too low."}
    table = report.conversions_table([CHECK, CHECK | {"agreement": None, "spread": 0}, lost])
    first, second, third = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    assert (first["size MB"], first["max abs error"], first["of the spread"]) == ("1.51", "3.0e-02", "6.0e-02")
    assert (first["SNR dB"], first["agreement"], first["images"]) == ("27.0", "99.2 %", 64)
    assert second["agreement"] is None
    assert second["of the spread"] is None
    assert third["size MB"] == "failed"
    assert table.failed == (2,)
    assert "coreml fp16 failed: Top-1 too low." in table.notes


@functools.cache
def _sections():
    return (
        report.Section(
            "Latency <by> style", "First & foremost.\n\nSecond.", table=report.latency_table(BY_STYLE.values())
        ),
        report.Section(
            "Plots", figures=tuple(report.Figure(getattr(report, name)(*PLOTS[name]), name) for name in PLOTS)
        ),
        report.Section(
            "PNG", figures=(report.Figure(report.learning_curves(HISTORY, format="png"), 'a "quoted" \\1'),)
        ),
        report.Section(
            "Settings", table=report.Table(("setting", "value"), (("a", 3), ("b", "x"), ("c", None), ("d", 1e-3)))
        ),
        report.Section("Nothing", table=report.Table(("a", "b"), ())),
    )


def _page(tmp_path, **changes):
    given = dict(title="A <script>alert(1)</script> run", summary=(("top-1", "99.1 %"),), sections=_sections())
    report.write_report(tmp_path / "report.html", report.Report(**{**given, **changes}))
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_page_needs_nothing_else(tmp_path):
    page = _page(tmp_path)
    assert "http" not in page
    assert "//" not in re.sub(r"base64,[\w+/=\s]*", "", page)
    for address in re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", page):
        assert address.startswith(("#", "data:image/png;base64,")), address
    assert page.count("<style") == 1
    assert "<?xml" not in page
    assert "<metadata" not in page
    assert page.count("<svg ") == len(PLOTS)
    assert page.count("</svg>") == len(PLOTS)
    for must in ('name="viewport"', "prefers-color-scheme: dark", 'lang="en"'):
        assert must in page


def test_page_shows_every_row_and_escapes_every_text(tmp_path):
    page = _page(tmp_path)
    assert "<script" not in page
    assert "A &lt;script&gt;alert(1)&lt;/script&gt; run" in page
    assert "<h2>Latency &lt;by&gt; style</h2>" in page
    assert "<p>First &amp; foremost.</p>" in page
    assert 'alt="a &#34;quoted&#34; \\1"' in page
    assert "lost failed: Crashed &lt;badly&gt;." in page
    for style in STYLES:
        assert f'<th scope="row">{style}</th>' in page
    assert page.count('<tr class="failed">') == 1
    assert f'<td class="number">{BY_STYLE["mobile"].statistics.median_ms:.2f}</td>' in page
    assert '<td class="word">x</td>' in page
    assert '<td class="word">0.001</td>' in page


def test_drawings_take_the_colours_of_the_page(tmp_path):
    page = _page(tmp_path)
    assert not any(colour in page for colour in (plots.INK, plots.MUTED, plots.GRID))
    assert "currentColor" in page
    assert "var(--muted)" in page
    assert "var(--line)" in page


def test_a_bad_page_leaves_the_earlier_one(tmp_path):
    before = _page(tmp_path)
    crooked = report.Section("Crooked", table=report.Table(("a", "b"), (("only one",),)))
    with pytest.raises(InputError, match="Expected 2 cells"):
        _page(tmp_path, sections=(crooked,))
    picture = report.Section("Not a picture", figures=(report.Figure(b"GIF89a", "?"),))
    with pytest.raises(InputError, match="SVG or PNG. Received: b'GIF89a'"):
        _page(tmp_path, sections=(picture,))
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == before


def test_benchmarks_of_several_devices_in_one_page(tmp_path):
    operators = ({"op": "CONV_2D", "name": "c", "ms": 3.0, "percent": 75.0, "calls": 1, "inside": False},) * 2
    here = dataclasses.replace(_measured("net", 2.0), num_threads=1)
    device, details = Device("Phone", "Android 14", soc="X1"), AndroidDetails(op_profile=operators)
    phone = dataclasses.replace(here, device=device, details=details)
    benchmark.save_json(tmp_path / "here.json", [here, dataclasses.replace(here, num_threads=2), _failed("lost")])
    benchmark.save_json(tmp_path / "phone.json", [phone, phone])
    benchmark_report.main((tmp_path / "here.json", tmp_path / "phone.json"), output=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Operators of net, 1 thread, Phone</h2>" in page
    assert "Operators of net, 1 thread, Phone #2</h2>" in page
    assert '<th scope="row">CONV_2D</th>' in page
    assert "6.000" in page
    assert page.count('<td class="word">Phone</td>') == 2
    assert "chip, 2 cores, Linux, rt 1; Phone, X1, Android 14, rt 1" in page
    benchmark.save_json(tmp_path / "none.json", [])
    with pytest.raises(InputError, match="at least one row"):
        benchmark_report.main((tmp_path / "none.json",), output=tmp_path / "page.html")


def test_labels_say_what_differs():
    a, b = _measured("a", 1.0), _measured("b", 1.0)
    gpu = dataclasses.replace(a, backend="gpu fp16")
    assert benchmark.labels_of([a, b]) == ["a", "b"]
    assert benchmark.labels_of([a, gpu]) == ["xnnpack", "gpu fp16"]
    assert benchmark.labels_of([a, b, gpu]) == ["a, xnnpack", "b, xnnpack", "a, gpu fp16"]
    assert benchmark.labels_of([a, a, a]) == ["a", "a #2", "a #3"]
    assert benchmark.labels_of([]) == []
