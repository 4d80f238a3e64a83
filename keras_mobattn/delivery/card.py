"""The model card: one page for whoever builds the app, written from facts in the files alone."""

import contextlib
import json
from pathlib import Path

import numpy as np

from keras_mobattn import report
from keras_mobattn._packages import needs
from keras_mobattn.about import About
from keras_mobattn.catalog import COREML_COMPRESSIONS
from keras_mobattn.data import take_images
from keras_mobattn.delivery.format_table import SHARES, delivery_table
from keras_mobattn.errors import InputError
from keras_mobattn.files import read_json
from keras_mobattn.formats.kinds import COREML, TFLITE
from keras_mobattn.models import count_macs, published_name
from keras_mobattn.report.pictures import under
from keras_mobattn.weights import TAGS, imagenet_tag
from keras_mobattn.weights.tags import published_segmenter

SNIPPETS = Path(__file__).with_name("snippets")  # /the task's `programs`/language
EXAMPLES = 12  # images with predictions
NAMED = 20  # classes
NOT_STATED = "not stated"
LANGUAGES = {  # template -> (heading, language in Markdown, suffix of the file that it loads, whether tests run it)
    "python": ("Python", "python", TFLITE.suffix, True),
    "javascript": ("JavaScript, in a browser", "javascript", TFLITE.suffix, True),
    "kotlin": ("Kotlin, on Android", "kotlin", TFLITE.suffix, False),
    "swift": ("Swift, on iOS and macOS", "swift", COREML.suffix, False),
}
BEST_FIRST = {TFLITE.suffix: ("int8", "fp16", "fp32", "dynamic"), COREML.suffix: ("fp16", "fp32", *COREML_COMPRESSIONS)}


def write_card(path, delivery, source, images=None, run=None, file=None, about=About()):  # noqa: B008  frozen
    """Write PATH.html, and the same as PATH.md with its pictures beside it.

    `delivery` is the Delivery of the Exportable `source`, `images` the Source of test images that it was scored on,
    `run` the RunFolder that the model's `file` lies in, `about` an About.

    Raises:
        OSError: a file can't be written.
    """
    path = Path(path)
    page = report.Report(
        title=about.name or source.model.name,
        subtitle=f"{source.task.title}, exported {delivery.date}",
        summary=_summary(delivery, source),
        sections=tuple(_sections(delivery, source, images, run, file, about)),
    )
    report.write_report(path.with_name(f"{path.name}.html"), page)
    report.write_markdown(path.with_name(f"{path.name}.md"), page)


def _summary(delivery, source):
    keras, files = delivery.rows[0], [row for row in delivery.rows[1:] if not row.error]
    smallest = min(files, key=lambda row: row.size_bytes, default=None)
    summary = []
    if keras.score is not None:
        shown = f"{100 * keras.score:.1f} %" if delivery.metric in SHARES else f"{keras.score:.4g}"
        title = source.task.titles.get(delivery.metric, delivery.metric)
        summary.append((f"{title}, {delivery.num_images} test images", shown))
    summary.append(("parameters", f"{source.computed.count_params():,}"))
    with contextlib.suppress(InputError):  # of a model with compiled functions, whose inside isn't seen
        summary.append(("MACs", f"{count_macs(source.computed) / 1e6:,.0f} M"))
    if smallest:
        summary.append((f"smallest file, {smallest.precision}", f"{smallest.size_bytes / 1e6:.2f} MB"))
    return tuple(summary)


def _sections(delivery, source, images, run, file, about):
    view = run.view if run else {}
    yield report.Section("What it is", _what(source, run))
    if run:
        yield report.Section("What it was trained on", _trained(run, file))
    yield report.Section("How to feed it", _feeding(delivery, source, view))
    yield report.Section(
        "Files", "Each file that is there was proven against the Keras model.", table=delivery_table(delivery)
    )
    if source.task.forms:
        yield _outputs(delivery, source)
    if colours := source.task.colours(source.labels):
        yield _coloured(colours, delivery, source)
    if images and source.task.draws:
        yield _drawn(source, images, view)
    elif images and source.scores_classes:
        yield _classified(source, images, view)
    yield from _snippets(delivery, source, view)
    yield report.Section("Licence", _licence(run, about))


def _what(source, run):
    labels = source.labels
    named = f" {', '.join(labels[:NAMED])}{', ...' if len(labels) > NAMED else ''}." if labels else ""
    classes = f"{len(labels)} classes:{named}" if labels else ""
    attention = f" Attention: {run.settings.attention}." if run else ""
    outputs = "" if source.task.forms else f" Outputs: {', '.join(source.output_names)}."
    if source.single_output:
        outputs += f" {source.describe_output(source.output_names[0])}"
    return f"{source.task.title}, {source.model.name}.{attention}{outputs}\n\n{classes}"


def _outputs(delivery, source):
    """A section with a row for each output of each kind of file."""
    rows = []
    for kind in (TFLITE, COREML):
        if any(row.format == kind.name and not row.error for row in delivery.rows):
            form = form_of(source, kind, delivery)
            named = source.task.forms[form].outputs
            rows += [(kind.name, name, source.task.describe_output(name, source.model, form)) for name in named]
    return report.Section("What the files give", table=report.Table(("files", "output", "what it is"), tuple(rows)))


def form_of(source, kind, delivery):
    """The form of a delivery's files of a kind."""
    own = source.task.own_form(kind.name, delivery.form)
    return source.task.form_for(kind.name, own, delivery.input_type == "image")


def _coloured(colours, delivery, source):
    """A section on the classes of masks; colours are (red, green, blue)."""
    shown = delivery.input_type == "image" and form_of(source, COREML, delivery) == "class_map"
    packages = any(row.format == COREML.name and not row.error for row in delivery.rows) and shown
    preview = "; the packages do, for Xcode's preview" if packages else ""
    text = (
        "Pixels of a mask are the numbers of these classes. The colours are those of the pictures here and of mobattn "
        "predict, Pascal VOC's, which Android's Task Library has by itself. .tflite files don't have them, "
        f"since nothing would read them{preview}."
    )
    rows = [(number, name, "#" + bytes(colour).hex()) for number, (name, colour) in enumerate(colours.items())]
    return report.Section("Classes", text, table=report.Table(("number", "class", "colour"), tuple(rows)))


def _trained(run, file):
    settings, data = run.settings, read_json(run.data_file, {})
    counts = ", ".join(f"{count:,} {split}" for split, count in data.get("num_examples", {}).items())
    start = f"from the weights {settings.weights}" if settings.weights else "from random weights"
    head = f"{settings.head_epochs} for the head alone and " if settings.head_epochs else ""
    epochs = f"{settings.epochs} epochs"
    if file != run.model_file:  # of the best epoch, say, or of a shorter run
        epochs = f"up to {epochs} ({file.name} may be of an earlier one)"
    text = (
        f"Images of {settings.dataset!r}{f' ({counts})' if counts else ''}, {start}, {head}{epochs} in batches of "
        f"{settings.batch_size}, augmentation {settings.augment!r}, seed {settings.seed}."
    )
    result = read_json(run.result_file, None)
    if result is None or file != run.model_file:  # what the run came to is said of its last epoch's model
        return text
    return f"{text}\n\n{run.task.last_words(result)} on all {result['num_examples']['test']} test images."


def _feeding(delivery, source, view):
    height, width, channels = source.input_shape
    colours = {1: "grey", 3: "RGB, in this order"}.get(channels, f"{channels} channels")
    array = f"float32 [1, {height}, {width}, {channels}], named 'image', values 0..255 as they are"
    resized = ""
    if view and view["crop"] is None:
        resized = f" The model was tested on whole images, stretched ({view['interpolation']}) to that size."
    elif view:
        covered = " x ".join(str(int(side / view["crop"])) for side in (height, width))  # rounded as in data.resizing
        resized = (
            f" The model was tested on images that were resized ({view['interpolation']}, their aspect kept) until "
            f"they covered {covered} pixels, and cut out around the centre."
        )
    first = array.replace(f"{height}, {width}, {channels}", f"{channels}, {height}, {width}")
    package = {"image": "an image of that size", "channels_first": first}.get(delivery.input_type, array)
    return (
        f"{height} x {width} pixels (height x width), {colours}.{resized}\n\n.tflite files take {array}. .mlpackage "
        f"folders take {package}."
    )


def _classified(source, images, view):
    """Test images with their most likely class, and the true one where it is another."""
    pixels, labels = _first(source, images, view)
    names = source.labels or images.class_names
    scores = source.predict(pixels)[source.output_names[0]]
    guesses = [source.task.record(each[None], names, 1)["classes"][0]["class"] for each in scores]
    truth = [names[label] for label in labels]
    captions = [guess if guess == true else f"{guess},\nis {true}" for guess, true in zip(guesses, truth, strict=True)]
    wrong = np.flatnonzero([guess != true for guess, true in zip(guesses, truth, strict=True)])
    grid = report.image_grid(pixels, captions, wrong, format="png")
    text = f"The first {len(pixels)} test images; the model is wrong in {len(wrong)} of them."
    return report.Section("Examples", text, figures=(report.Figure(grid, "Test images with predictions"),))


def _drawn(source, images, view):
    """Test images, as the model sees them, with its answers drawn into them."""
    pixels, _ = _first(source, images, view)
    outputs = source.predict(pixels)
    pictures, captions = [], []
    for index, image in enumerate(pixels):
        seen = {name: values[index : index + 1] for name, values in outputs.items()}
        record = source.task.record(seen, source.labels or images.class_names, len(outputs), image.shape[:2])
        pictures.append(source.task.picture(np.uint8(image), np.uint8(image), record))
        captions.append(under(source.task.in_words(record)))
    grid = report.image_grid(np.stack(pictures), captions, format="png")
    text = f"The first {len(pixels)} test images, with what the Keras model finds in them."
    return report.Section("Examples", text, figures=(report.Figure(grid, "Test images with predictions"),))


def _first(source, images, view):
    """(pixels, labels) of the first EXAMPLES test images."""
    return take_images(images, "test", min(EXAMPLES, images.num_examples["test"]), source.input_shape[:2], **view)


def row_of(language, delivery):
    """The Row whose file the program in a language loads; None where it can't have one."""
    suffix = LANGUAGES[language][2]
    if suffix == COREML.suffix and delivery.input_type != "image":  # Vision takes no other
        return None
    rows = {row.precision: row for row in delivery.rows if row.file.endswith(suffix) and not row.error}
    return next((rows[precision] for precision in BEST_FIRST[suffix] if precision in rows), None)


def snippet(language, row, source, view):
    """The program in a language that loads the file of a Row."""
    needs("jinja2")
    import jinja2

    height, width, _ = source.input_shape
    text = _template(language, source.task).read_text(encoding="utf-8")
    template = jinja2.Template(text, keep_trailing_newline=True)
    return template.render(
        file=row.file,
        stem=Path(row.file).stem,
        height=height,
        width=width,
        crop=view.get("crop", 1.0),
        interpolation=view.get("interpolation", "bilinear"),
        input="image",
        output=source.output_names[0],
        labels_json=json.dumps(source.labels, ensure_ascii=False),
        top=min(5, len(source.labels) or 5),
        min_score=getattr(source.task, "min_score", 0),
    )


def _template(language, task):
    return SNIPPETS / str(task.programs) / f"{language}.j2"


def _snippets(delivery, source, view):
    if not source.labels or source.single_output:
        return
    for name, (heading, language, suffix, tested) in LANGUAGES.items():
        row = row_of(name, delivery)
        usual = _is_usual(source, TFLITE if suffix == TFLITE.suffix else COREML, delivery)
        if row and usual and _template(name, source.task).exists():
            how = "The package's tests run this." if tested else "This was written by the documentation, and not run."
            code = snippet(name, row, source, view)
            yield report.Section(f"{heading}: {row.file}", how, code=code, language=language)


def _is_usual(source, kind, delivery):
    """Whether files of a kind have the form that the programs read."""
    return form_of(source, kind, delivery) == source.task.form_for(kind.name, None, delivery.input_type == "image")


def _licence(run, about):
    text = f"Licence of this model: {about.license or NOT_STATED}. Author: {about.author or NOT_STATED}."
    weights = run and run.settings.weights
    if not weights:
        return text
    if segmenter := published_segmenter(weights):
        return f"{text}\n\nIt was trained from {weights}, licence: {segmenter.licence}."
    tag = _imagenet(run.settings) if weights == "imagenet" else TAGS.get(str(weights).removeprefix("timm/"))
    if tag is None:
        return f"{text}\n\nIt was trained from {weights}, whose licence is {NOT_STATED}."
    return f"{text}\n\nIt was trained from timm/{tag.name}: {tag.source}, licence {tag.licence}."


def _imagenet(settings):
    """The published checkpoint that weights="imagenet" means for a run."""
    options = {"width": settings.width, "variant": settings.variant, "distilled": settings.distilled}
    return imagenet_tag(published_name(settings.model, **options))
