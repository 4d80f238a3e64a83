"""Small files of each task with their Keras models beside them, a Site of them, and the page at work on one."""

import pytest

from helpers import detectors, segmenters, small_models
from helpers.made_up_site import PROTOCOL
from helpers.small_segmenters import small_segmenter
from keras_mobattn import export
from keras_mobattn.benchmark.browser.litert_js import litert_js_folder
from keras_mobattn.benchmark.browser.site import Site
from keras_mobattn.commands.served import served_files
from keras_mobattn.errors import InputError

LABELS = tuple("abcdefg")
MADE = {  # file -> its Keras model, the labels, and to_tflite's options
    "classifier_fp32": (small_models.shared_model, LABELS, {"precision": "fp32"}),
    "classifier_int8": (small_models.shared_model, LABELS, {"precision": "int8"}),
    "classifier_int8_uint8in": (
        small_models.shared_model,
        LABELS,
        {"precision": "int8", "input_dtype": "uint8", "output_dtype": "uint8"},
    ),
    "detector_fp32_anchors": (detectors.detector, detectors.NAMES, {"precision": "fp32", "form": "anchors"}),
    "detector_fp32": (detectors.detector, detectors.NAMES, {"precision": "fp32"}),
    "segmenter_fp32": (small_segmenter, segmenters.NAMES, {"precision": "fp32"}),
}
# For page.evaluate with a model of the manifest and a backend: what comes of opening, proving and timing it
PROVEN = """async ([model, backend]) => {
  const {openEngine} = await import('./engine.js'), {prove} = await import('./compare.js');
  const engine = await openEngine(model, backend);
  const {load_ms, whole, threads, fell_back} = engine, proof = await prove(model, engine, backend);
  const pixels = new Uint8Array(model.height * model.width * 3).map((_, i) => i % 251), samples = [];
  const protocol = {warmup_runs: 2, num_runs: 3, min_secs: 0, max_secs: 20};
  const timed = await engine.time(pixels, protocol, (some) => samples.push(...some));
  engine.close();
  return {load_ms, whole, threads, fell_back, proof, timed, samples};
}"""
ANY = export.Tolerance(2.0)  # random weights


def litert():
    """The folder of LiteRT.js; skips the test where it can't be had."""
    try:
        return litert_js_folder()
    except InputError as error:
        pytest.skip(str(error))


def make_file(folder, name):
    """Write folder/NAME.tflite with its Keras model beside it, and return its path."""
    model, labels, options = MADE[name]
    keras, path = folder / f"{name.split('_')[0]}.keras", folder / f"{name}.tflite"
    source = export.load(model(), labels)
    if not keras.exists():
        source.model.save(keras)
    if options["precision"] == "int8":
        options = options | {"representative_images": small_models.photos(16, seed=1)}
    export.to_tflite(source, path, tolerance=ANY, **options)
    return path


def site_of(folder, names, **options):
    """A Site of such files."""
    files = tuple(file for file, _ in served_files([make_file(folder, name) for name in names]))
    return Site("models", files, litert(), PROTOCOL, **options)


def manifest_of(page, address):
    """{name: model} of a site's manifest, in a page from which its modules can be imported."""
    page.goto(f"{address}manifest.json")
    manifest = page.evaluate("async () => (await fetch('manifest.json')).json()")
    return {model["name"]: model for model in manifest["models"]}


def number_of(site, name):
    """Which of a site's files has this name."""
    return next(number for number, file in enumerate(site.files) if file.facts["name"] == name)


def at(page, address, site, name, screen):
    """Open the screen of a file."""
    page.goto(f"{address}#/{number_of(site, name)}/{screen}")
    page.wait_for_selector("nav")
