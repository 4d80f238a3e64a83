"""Time this package's models beside the same models of other packages, each built and converted as its users do it.

    python tflite/benchmark_peers.py                        # all of them; the first time makes their environments
    python tflite/benchmark_peers.py --models mobilevitv2_100 --peers kecam timm --precisions fp32

For each model a table of ratios to the first row's fp32, with parameters and MACs; benchmark.json, benchmark.csv and
tables.md in the output folder. What was built before is used again. Weights are random, batch norms included, and the
same images time all. Detectors are timed as far as their raw outputs, without what finds objects in these; segmenters
as each package has them: keras-cv's with probabilities of the image's size, others with logits at their own stride.

Exit code 0: every row was measured; 1: some could not be built or timed (the reason is in the table); 130: Ctrl-C.
"""

import collections
import dataclasses
import functools
import re
from pathlib import Path
from typing import Literal

import numpy as np
from peers.build import PEERS, BuildError, peer_file
from rich.markup import escape
from rich.table import Table

import keras_mobattn
from keras_mobattn import benchmark, cli, gpu
from keras_mobattn.benchmark.texts import operators_text
from keras_mobattn.errors import InputError, expect_range
from keras_mobattn.export import Tolerance, to_tflite
from keras_mobattn.files import write_text
from keras_mobattn.formats.tflite.contents import read_contents
from keras_mobattn.formats.tflite.macs import count_file_macs
from keras_mobattn.studies.resolution import up_to_date


@dataclasses.dataclass(frozen=True)
class Model:
    """What is compared: the image's side in pixels, as the peers' builders have it, our variants of it, {name in the
    row: function that builds it}, and options of to_tflite."""

    side: int
    variants: dict
    options: dict = dataclasses.field(default_factory=dict)


def _classifier(function, styles, **options):
    """A classifier with each of `styles`, the peers' own first."""
    build = functools.partial(function, include_preprocessing=False, input_shape=(256, 256, 3), **options)
    return Model(256, {style: functools.partial(build, attention=style) for style in styles})


def _detector(width, attention):
    """SSDLite of COCO's 80 classes on MobileViTv2."""
    options = {"include_top": False, "include_preprocessing": False, "input_shape": (320, 320, 3)}
    return keras_mobattn.SSDLite(keras_mobattn.MobileViTv2(width=width, attention=attention, **options), 80)


def _segmenter(build, family, attention, side, head_width, options):
    """A segmenter of Pascal VOC's 21 classes."""
    shape = {"include_top": False, "include_preprocessing": False, "input_shape": (side, side, 3)}
    return build(family(attention=attention, **options, **shape), 21, width=head_width)


def _segmenters(side):
    """DeepLabv3 as published, and the light head, on MobileViTv2; and the one that transformers has."""
    v2, deeplab, lraspp = keras_mobattn.MobileViTv2, keras_mobattn.DeepLabV3, keras_mobattn.LRASPP
    rows = {
        f"{name} on MobileViTv2 {width:.1f}, {style}": (build, v2, style, side, channels, {"width": width})
        for width in (0.5, 1.0)
        for name, build, channels in (("DeepLabv3", deeplab, 512), ("LR-ASPP", lraspp, 128))
        for style in ("separable", "mobile")
    }
    rows["DeepLabv3 on MobileViT s, softmax"] = (deeplab, keras_mobattn.MobileViT, "softmax", side, 256, {})
    return Model(side, {name: functools.partial(_segmenter, *arguments) for name, arguments in rows.items()})


MODELS = {
    "mobilevitv2_050": _classifier(keras_mobattn.MobileViTv2, ("separable", "mobile"), width=0.5),
    "mobilevitv2_100": _classifier(keras_mobattn.MobileViTv2, ("separable", "mobile"), width=1.0),
    "mobilevit_s": _classifier(keras_mobattn.MobileViT, ("softmax", "mobile"), variant="s"),
    "detectors_320": Model(
        320,
        {
            f"SSDLite on MobileViTv2 {width:.1f}, {style}": functools.partial(_detector, width, style)
            for width in (0.5, 1.0)
            for style in ("separable", "mobile")
        },
        {"form": "raw"},
    ),
    "segmenters_512": _segmenters(512),
    "segmenters_256": _segmenters(256),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One package's files of one model: {precision: path, or the error that it could not be built for}."""

    title: str
    files: dict


def main(
    models: tuple[Literal[tuple(MODELS)], ...] = tuple(MODELS),
    peers: tuple[Literal[tuple(PEERS)], ...] = tuple(PEERS),
    precisions: tuple[Literal["fp32", "int8"], ...] = ("fp32", "int8"),
    num_threads: int = 1,
    num_runs: int = 50,
    rounds: int = 5,
    output_dir: Path = Path("runs/peers"),
):
    """Build, convert and time each model of this package and of others; one interleaved run a model.

    Args:
        models: which.
        peers: which other packages; none shows ours alone.
        precisions: fp32, int8 (as each package's users get it: full post-training quantization with images).
        num_threads: for XNNPACK.
        num_runs: fewest inferences of a row.
        rounds: how often to go round the rows of a model.
        output_dir: folder for the results, the files (files/) and the virtual environments (environments/, some GB).
    """
    for name, value in {"num_threads": num_threads, "num_runs": num_runs, "rounds": rounds}.items():
        expect_range(name, value, 1, whole=True)  # told now, not after half an hour of building
    output_dir.mkdir(parents=True, exist_ok=True)
    precisions = tuple(sorted(set(precisions)))  # fp32 first: what ratios are to
    measurements, texts = [], []
    for model in models:
        theirs = [peer for peer in peers if model in PEERS[peer].models]
        rows = [
            *(_peer_row(peer, model, precisions, output_dir) for peer in theirs),
            *_our_rows(model, precisions, output_dir),
        ]
        timed = _time(rows, num_threads=num_threads, num_runs=num_runs, rounds=rounds)
        measurements += timed.values()
        header, cells = table(rows, precisions, timed, _on_gpu(rows, MODELS[model].side))
        _print(model, header, cells)
        texts.append(_markdown(model, header, cells))
        benchmark.save_json(output_dir / "benchmark.json", measurements)  # a long run that is stopped keeps its tables
        benchmark.save_csv(output_dir / "benchmark.csv", measurements)
        write_text(output_dir / "tables.md", "\n".join(texts))
    for remark in benchmark.remarks(measurements):
        _remark(remark)
    cli.console.print(escape(benchmark.devices_text(measurements)), style="dim", highlight=False, soft_wrap=True)
    cli.console.print(f"Written: {output_dir}/tables.md, benchmark.json, benchmark.csv", highlight=False, markup=False)
    return int(any(row.error for row in measurements))


def _remark(sentence):
    cli.console.print(escape(sentence), style="yellow", highlight=False, soft_wrap=True)


def _peer_row(name, model, precisions, folder):
    files = {precision: folder / "files" / f"{name}_{model}_{precision}.tflite" for precision in precisions}
    return Row(
        PEERS[name].title, {key: _attempt(peer_file, name, model, key, path, folder) for key, path in files.items()}
    )


def _attempt(build, *arguments):
    try:
        return build(*arguments)
    except (BuildError, InputError) as error:
        return error


def _our_rows(name, precisions, folder):
    model, rows = MODELS[name], []
    for variant, make in model.variants.items():
        build = functools.cache(lambda make=make: keras_mobattn.randomize_weights(make()))
        stem = f"ours_{name}_{re.sub(r'[^a-z0-9]+', '-', variant.lower())}"
        files = {precision: folder / "files" / f"{stem}_{precision}.tflite" for precision in precisions}
        title = f"keras_mobattn {keras_mobattn.__version__}, {variant}"
        rows.append(Row(title, {key: _attempt(_convert, build, key, path, model) for key, path in files.items()}))
    return rows


def _convert(build, precision, path, model):
    """Our file at `path`, made now if the package has changed since."""
    if up_to_date(path):
        return path
    images = np.random.default_rng(1).uniform(0, 1, (16, model.side, model.side, 3)).astype("float32")
    # Random weights say nothing about int8's accuracy: only fp32 has to agree with Keras here.
    options = {"representative_images": images, "tolerance": Tolerance(float("inf"))} if precision == "int8" else {}
    with cli.console.status(f"keras_mobattn: building {path.stem}"):
        to_tflite(build(), path, precision, check_images=images[:2], **model.options, **options)
    return path


def _time(rows, num_threads, **protocol):
    """{(title, precision): Measurement}, those that can't be built with the reason for their error."""
    files = {(row.title, precision): path for row in rows for precision, path in row.files.items()}
    built = {key: path for key, path in files.items() if isinstance(path, Path)}
    measured = iter(
        benchmark.benchmark_files(tuple(built.values()), num_threads=(num_threads,), **protocol) if built else ()
    )
    timed = {key: next(measured) if key in built else _failure(path, num_threads) for key, path in files.items()}
    return {key: dataclasses.replace(row, name=", ".join(key)) for key, row in timed.items()}


def _failure(error, num_threads):
    return benchmark.Measurement(
        "",
        "",
        benchmark.describe_host(),
        "none",
        "xnnpack",
        num_threads=num_threads,
        error=f"It was not built: {error}",
    )


def _on_gpu(rows, side):
    """{title: "yes, error 1e-06" or "no"} for the fp32 files that are there; {} where the accelerator can't run."""
    files = {row.title: row.files["fp32"] for row in rows if isinstance(row.files.get("fp32"), Path)}
    problem = gpu.gpu_problem()
    if problem or not files:
        _remark(problem or "No fp32 file to run on the GPU.")
        return {}
    image = np.random.default_rng(0).uniform(0, 1, (1, side, side, 3)).astype("float32")
    expected = {title: _on_cpu(path, image) for title, path in files.items()}
    jobs = [gpu.GpuJob(path, [inputs]) for path, (inputs, _) in zip(files.values(), expected.values(), strict=True)]
    with cli.console.status("Running on the GPU accelerator alone"):
        results = gpu.run_jobs_on_gpu(jobs)
    for title, result in zip(files, results, strict=True):
        if isinstance(result, gpu.GpuError):
            operators = collections.Counter(reason.split(":")[0] for reason in result.reasons)
            _remark(f"{title}: the GPU accelerator refuses {operators_text(operators)}.")
    return {
        title: "no" if isinstance(result, gpu.GpuError) else f"yes, error {_error(result.outputs[0], outputs):.0e}"
        for (title, (_, outputs)), result in zip(expected.items(), results, strict=True)
    }


def _on_cpu(path, image):
    """({input name: image}, {output name: array}) of a file with one input."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path)).get_signature_runner()
    inputs = {name: image for name in runner.get_input_details()}
    return inputs, runner(**inputs)


def _error(received, expected):
    """The largest difference as a share of the output's spread."""
    return max(float(np.abs(received[name] - y).max() / np.ptp(y)) for name, y in expected.items())


def table(rows, precisions, timed, gpu_verdicts):
    """Headings and one list of texts per package; ratios are to the first row of the first precision."""
    ms = {key: row.statistics.median_ms for key, row in timed.items() if not row.error}
    reference = next((ms[row.title, precisions[0]] for row in rows if (row.title, precisions[0]) in ms), None)
    both = {"fp32", "int8"} <= set(precisions)
    header = ["package", "M parameters", "M MACs", f"{precisions[0]} ms", *precisions]
    header += ["int8 / own fp32"] if both else []
    header += [f"partitions {' / '.join(precisions)}", "on the GPU alone"]
    cells = []
    for row in rows:
        own = {precision: ms.get((row.title, precision)) for precision in precisions}
        partitions = [timed[row.title, precision].detail("partitions") for precision in precisions]
        texts = [row.title, *_costs(row), f"{own[precisions[0]]:.3g}" if own[precisions[0]] else ""]
        texts += [_ratio(own[precision], reference) for precision in precisions]
        texts += [_ratio(own["int8"], own["fp32"])] if both else []
        texts.append(" / ".join("-" if count is None else str(count) for count in partitions))
        cells.append([*texts, gpu_verdicts.get(row.title, "")])
    return header, cells


def _costs(row):
    """Millions of parameters and of MACs, by the fp32 file; "" where there is none."""
    path = row.files.get("fp32")
    if not isinstance(path, Path):
        return "", ""
    values = sum(tensor.constant_bytes for tensor in read_contents(path).tensors if tensor.dtype == "float32") / 4
    return f"{values / 1e6:.1f}", f"{sum(count_file_macs(path).values()) / 1e6:,.0f}"


def _ratio(ms, reference):
    return f"{ms / reference:.2f}" if ms and reference else "failed"


def _print(model, header, cells):
    printed = Table(title=model, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for index, heading in enumerate(header):
        printed.add_column(heading, justify="right" if 0 < index < len(header) - 1 else "left", overflow="fold")
    for row in cells:
        printed.add_row(*map(escape, row))
    cli.table_console().print(printed)


def _markdown(model, header, cells):
    lines = [header, ["---"] * len(header), *cells]
    return "\n".join([f"{model}:", "", *(f"| {' | '.join(line)} |" for line in lines), ""])


if __name__ == "__main__":
    cli.run(main)
