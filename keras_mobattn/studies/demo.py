"""The demo: train, convert, verify, time and report, on real images, in a few minutes.

Trains MobileViTv2 0.5 with Mobile-Attention on scikit-learn's handwritten digits, converts it to TFLite and Core ML,
proves each file against Keras on test images, times every attention style on this machine, and writes one HTML page.
"""

import dataclasses
import platform
import tempfile
from pathlib import Path

import numpy as np
import tf_keras as keras

import keras_mobattn
from keras_mobattn import cli, report
from keras_mobattn.benchmark import benchmark_files, print_table, save_csv, save_json
from keras_mobattn.data import take_images
from keras_mobattn.export import COREML_PRECISIONS, TFLITE_PRECISIONS, file_name, report_table, to_coreml, to_tflite
from keras_mobattn.files import replacing, write_json
from keras_mobattn.formats.kinds import COREML, TFLITE
from keras_mobattn.models import count_macs, load_model
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.studies.resolution import DIM, time_layers
from keras_mobattn.training import evaluate, read_history, train

RESOLUTIONS = (64, 128, 256, 512)  # of the input image in pixels
CHECK_IMAGES, REPRESENTATIVE_IMAGES = 64, 100


def demo(output_dir, settings):
    """Train, convert, verify, time every attention style, and write a report, into a new folder.

    `output_dir` None: the first free one of runs/demo, runs/demo-2, ...
    """
    run = RunFolder(output_dir or _free_folder(Path("runs/demo")))
    folder = run.path
    step("1/5", f"Training {settings.model} with {settings.attention} attention on {settings.dataset}")
    result = train(settings, folder)
    step("2/5", "Evaluating on the test images")
    source = run.open_source()
    model = load_model(run.model_file)
    evaluation = evaluate(model, source, **run.view)
    cli.console.print(f"Test accuracy {100 * evaluation['accuracy']:.2f} % on {evaluation['num_images']} images")
    step("3/5", "Converting to TFLite and Core ML, each file checked against Keras on test images")
    conversions = convert_to_every_format(model, source, run)
    cli.console.print(report_table(conversions))
    step("4/5", "Timing the converted model and every attention style with XNNPACK, one thread")
    whole = benchmark_files([row.path for row in conversions if row.format == TFLITE.name], num_runs=100, min_secs=1.0)
    print_table(whole, cli.console)
    with tempfile.TemporaryDirectory() as layers:
        brief = dict(rounds=1, warmup_runs=3, num_runs=20, min_secs=0.3, max_secs=3.0)
        styles = time_layers(RESOLUTIONS, layers, **brief)
    print_table([rows[-1][1] for rows in styles.values()], cli.console)
    step("5/5", "Writing the report")
    everything = [*whole, *(row for rows in styles.values() for _, row in rows)]
    save_json(folder / "benchmark.json", everything)
    save_csv(folder / "benchmark.csv", everything)
    write_json(folder / "conversions.json", [dataclasses.asdict(row) for row in conversions])
    history = read_history(run.history_file)
    page = compose(run, result, history, source, model, evaluation, conversions, whole, styles)
    report.write_report(folder / "report.html", page)
    with replacing(folder / "latency_by_tokens.png") as picture:
        picture.write_bytes(report.latency_by_tokens(styles, format="png"))
    cli.console.print(f"\nReport: {folder / 'report.html'}", style="bold green")


def step(number, what):
    """Announce a part of the demo."""
    cli.console.rule(f"[bold]{number}[/] {what}", align="left")


def _free_folder(path):
    taken = (path.with_name(f"{path.name}-{i}") if i > 1 else path for i in range(1, 10_000))
    return next(folder for folder in taken if not folder.exists())


def convert_to_every_format(model, source, run):
    """Convert to every precision of TFLite and Core ML; return the CheckReports."""
    check, representative = (
        take_images(source, split, min(count, source.num_examples[split]), model.input_shape[1:3], **run.view)[0]
        for split, count in (("test", CHECK_IMAGES), ("train", REPRESENTATIVE_IMAGES))
    )
    rows, options = [], dict(check_images=check, representative_images=representative, labels=source.class_names)
    for precision in TFLITE_PRECISIONS:
        with cli.console.status(f"TFLite {precision}"):
            rows.append(to_tflite(model, run.path / file_name("model", TFLITE, precision), precision, **options))
    for precision in COREML_PRECISIONS:
        with cli.console.status(f"Core ML {precision}"):
            rows.append(
                to_coreml(model, run.path / file_name("model", COREML, precision), precision, check_images=check)
            )
    return rows


def compose(run, result, history, source, model, evaluation, conversions, whole, styles):
    """The report as plain data."""
    settings = run.settings
    largest = {style: rows[-1][1] for style, rows in styles.items()}
    tokens = next(iter(styles.values()))[-1][0]
    by_name = {row.name: row for row in whole}
    fp32 = by_name["model_fp32"].statistics
    curves = {name: [row[name] for row in history] for name in history[0]}
    summary = (
        ("Test accuracy", f"{100 * evaluation['accuracy']:.2f} %"),
        ("Trained in", f"{result['seconds']:.0f} s"),
        ("Parameters", f"{model.count_params():,}"),
        ("MACs", f"{count_macs(model) / 1e6:.1f} M"),
        ("TFLite fp32", f"{fp32.median_ms:.2f} ms" if fp32 else "failed"),
        ("Conversions proven", f"{len(conversions)} of {len(TFLITE_PRECISIONS) + len(COREML_PRECISIONS)}"),
    )
    sections = (
        report.Section(
            "Training",
            f"{model.name}, {settings.attention} attention, {settings.image_size} pixels, {settings.epochs} epochs of "
            f"{source.num_examples['train']} images. Validation is on the {source.num_examples[source.selection]} "
            f"{source.selection} images, with the averaged weights; the saved model is the last epoch's, so nothing "
            "was chosen by them.",
            figures=(report.Figure(report.learning_curves(curves), "Loss and accuracy by epoch"),),
        ),
        _predictions(source, evaluation, model.input_shape[1:3], run.view),
        report.Section(
            "Conversions",
            f"Each file ran on {CHECK_IMAGES} test images beside the Keras model. Core ML ran in the package's own "
            f"evaluator of MIL programs, {'and' if any(row.device_errors for row in conversions) else 'not'} on Apple "
            "hardware.",
            table=report.conversions_table(conversions),
        ),
        report.Section(
            "The model on this machine",
            "The trained model in each TFLite precision.",
            table=report.latency_table(whole),
        ),
        report.Section(
            "Latency by attention style",
            f"One attention layer of MobileViTv2 1.0 (layer 3: {DIM} channels, 2x2 patches), alone, in fp32, with "
            f"random weights, for images of {RESOLUTIONS[-1]} x {RESOLUTIONS[-1]} pixels: {tokens} tokens at each of "
            "the 4 patch positions. Median, whisker to the 95th percentile.",
            figures=(report.Figure(report.latency_by_style(largest), "Median latency of each attention style"),),
            table=report.latency_table(largest.values()),
        ),
        report.Section(
            "Latency against the number of tokens",
            f"The same layer for images of {', '.join(map(str, RESOLUTIONS))} pixels.",
            figures=(report.Figure(report.latency_by_tokens(styles), "Latency by tokens on log axes"),),
        ),
    )
    versions = (
        f"keras_mobattn {keras_mobattn.__version__}, tf-keras {keras.__version__}, Python {platform.python_version()}"
    )
    return report.Report("From real images to a phone-ready model", f"{versions}, {whole[0].date}", summary, sections)


def _predictions(source, evaluation, size, view):
    labels, guesses = evaluation["labels"], evaluation["probabilities"].argmax(-1)
    wrong = np.flatnonzero(labels != guesses)
    rest = np.flatnonzero(labels == guesses)
    chosen = np.concatenate([wrong[:6], rest])[:12]  # wrong ones first: these one wants to see
    images, _ = take_images(source, "test", source.num_examples["test"], size, **view)
    names = source.class_names
    captions = [
        f"{names[guess]} ({p:.0%})" if guess == label else f"{names[guess]}, is {names[label]}"
        for guess, label, p in zip(
            guesses[chosen], labels[chosen], evaluation["probabilities"][chosen].max(-1), strict=True
        )
    ]
    grid = report.image_grid(images[chosen], captions, wrong=range(min(6, len(wrong))))
    confusion = report.confusion_matrix(evaluation["confusion"], source.class_names)
    return report.Section(
        "Test images",
        f"{len(wrong)} of {len(labels)} test images were taken for another class.",
        figures=(report.Figure(grid, "Test images with predictions"), report.Figure(confusion, "Confusion matrix")),
    )
