"""tflite/convert.py and coreml/convert.py as a user runs them: files, tables, exit codes, and the images they take."""

import json
import zipfile

import numpy as np
import pytest
import tf_keras as keras
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

import keras_mobattn
from helpers.small_models import small_model
from keras_mobattn import cli, export
from keras_mobattn.errors import InputError
from keras_mobattn.export import images
from keras_mobattn.export.tflite import convert as tflite
from keras_mobattn.formats.coreml.package import read_mlprogram

SIZE = (16, 24)


def save_model(path, size=SIZE, scale=1 / 255, activation="softmax"):
    image = keras.Input((*size, 3))
    x = keras.layers.Conv2D(4, 3, 2, activation="relu")(keras.layers.Rescaling(scale)(image))
    x = keras.layers.Dense(10, activation=activation)(keras.layers.GlobalAveragePooling2D()(x))
    path.parent.mkdir(exist_ok=True)
    keras_mobattn.randomize_weights(keras.Model(image, x)).save(path)
    return path


@pytest.fixture(name="run")
def run_fixture(call_script):
    """run("tflite", *flags): the exit code of that folder's convert.py."""
    return lambda script, *flags: call_script(f"{script}/convert.py", *flags)


@pytest.mark.parametrize(
    ("script", "precisions", "suffix"),
    [("tflite", export.TFLITE_PRECISIONS, ".tflite"), ("coreml", export.COREML_PRECISIONS, ".mlpackage")],
)
def test_all_precisions_beside_the_model(script, precisions, suffix, tmp_path, run, capsys):
    model = save_model(tmp_path / "net.keras")
    assert run(script, model, "--precision", *precisions) == 0
    made = {path.name for path in tmp_path.iterdir()} - {"net.keras"}
    assert made == {f"net_{precision}{suffix}" for precision in precisions}
    text = capsys.readouterr().out
    assert "sample photographs" in text
    assert all(f"net_{precision}{suffix}" in text for precision in precisions)
    in_half = {precision for precision in precisions if f"\n{precision}: headroom " in text}
    assert in_half == ({"fp32", "fp16"} if suffix == ".tflite" else {"fp16"})


def test_output_names_a_file_or_a_folder(tmp_path, run, capsys):
    model = save_model(tmp_path / "net.keras")
    assert run("tflite", model, "--output", tmp_path / "a.tflite") == 0
    assert run("tflite", model, "--output", tmp_path / "folder") == 0
    assert (tmp_path / "a.tflite").is_file()
    assert (tmp_path / "folder" / "net_fp32.tflite").is_file()
    two = ["--precision", "fp32", "fp16", "--output", tmp_path / "b.tflite"]
    assert run("tflite", model, *two) == cli.BAD_INPUT
    assert "folder as --output for 2 files" in capsys.readouterr().err


def test_a_missed_check_is_one_sentence_and_exit_code_1(tmp_path, run, monkeypatch, capsys):
    strict = {**export.TFLITE_PRECISIONS, "fp16": tflite.TFLitePrecision(export.Tolerance(1e-9))}
    monkeypatch.setattr(tflite, "TFLITE_PRECISIONS", strict)
    model = save_model(tmp_path / "net.keras")
    assert run("tflite", model, "--precision", "fp16", "fp32") == 1
    output = capsys.readouterr()
    assert output.err.startswith("Error: Expected the fp16 TFLite model to agree with Keras")
    assert output.err.count("\n") == 1
    assert "from before" not in output.err
    assert {path.name for path in tmp_path.iterdir()} == {"net.keras", "net_fp32.tflite"}
    (tmp_path / "net_fp16.tflite").write_bytes(b"earlier")
    assert run("tflite", model, "--precision", "fp16") == 1
    assert capsys.readouterr().err.endswith(" net_fp16.tflite is there all the same, from before.\n")


def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path, run, capsys):
    (tmp_path / "corrupt.keras").write_bytes(b"nothing")
    (tmp_path / "empty").mkdir()
    model = save_model(tmp_path / "net.keras")
    for script in ("tflite", "coreml"):
        for arguments in (
            [tmp_path / "absent.keras"],
            [tmp_path / "corrupt.keras"],
            [model, "--images", tmp_path / "empty"],
            [model, "--images", tmp_path / "absent"],
            *([[model, "--precision", "fp16", "fp32", "--require-ane"]] if script == "coreml" else []),
        ):
            assert run(script, *arguments) == cli.BAD_INPUT
            error = capsys.readouterr().err
            assert error.startswith("Error: Expected")
            assert "Received: " in error
            assert error.count("\n") == 1


def test_a_run_folder_brings_its_dataset(tmp_path, run, capsys):
    save_model(tmp_path / "run" / "model.keras")
    settings = {"dataset": "digits", "data_dir": str(tmp_path / "data"), "on_corrupt": "error"}
    (tmp_path / "run" / "settings.json").write_text(json.dumps(settings))
    assert run("tflite", tmp_path / "run", "--precision", "int8") == 0
    assert (tmp_path / "run" / "model_int8.tflite").is_file()
    assert "dataset 'digits'" in capsys.readouterr().out
    chosen = images.choose_images(tmp_path / "run", None, SIZE)
    assert chosen.check.shape == (images.NUM_CHECK, *SIZE, 3)
    assert chosen.representative.shape == (images.NUM_REPRESENTATIVE, *SIZE, 3)
    assert not any((chosen.representative == image).all(axis=(1, 2, 3)).any() for image in chosen.check)
    (tmp_path / "run" / "settings.json").write_text('{"dataset": ')
    with pytest.raises(InputError, match="Expected the settings of a run in .*settings.json"):
        images.choose_images(tmp_path / "run", None, SIZE)


def paint(folder, count, size=(20, 20)):
    """Images of one colour each, different from all others."""
    folder.mkdir(parents=True)
    for i in range(count):
        Image.new("RGB", size, (i, 2 * i, 200)).save(folder / f"{i}.png")
    return folder


@pytest.mark.parametrize("folders", [["flat"], ["classes/a", "classes/b"]])
def test_any_folder_of_images(folders, tmp_path):
    for folder in folders:
        paint(tmp_path / folder, 12, size=(31, 47))
    root = tmp_path / folders[0].split("/")[0]
    (root / "notes.txt").write_text("no image")
    chosen = images.choose_images(tmp_path / "net.keras", root, SIZE)
    count = 12 * len(folders)
    assert len(chosen.check) == count // 3
    assert len(chosen.representative) == count - count // 3
    for stack in (chosen.check, chosen.representative):
        assert stack.dtype == np.uint8
        assert stack.shape[1:] == (*SIZE, 3)
    colours = np.concatenate([chosen.check, chosen.representative])[:, 0, 0]
    assert sorted(colours[:, 0]) == sorted(list(range(12)) * len(folders))  # each file once
    assert (colours[:, 2] == 200).all()


def test_one_image_serves_both(tmp_path):
    paint(tmp_path / "one", 1)
    chosen = images.choose_images(tmp_path / "net.keras", tmp_path / "one", SIZE)
    assert len(chosen.check) == len(chosen.representative) == 1


def test_a_corrupt_image_is_named(tmp_path):
    paint(tmp_path / "photos", 2)
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    with pytest.raises(InputError, match=r"can't be decoded: broken\.jpg"):
        images.choose_images(tmp_path / "net.keras", tmp_path / "photos", SIZE)


def test_input_scale_reaches_check_and_calibration(tmp_path, run, monkeypatch):
    seen = {}

    def record(source, path, precision, *, representative_images, check_images, **options):
        stacks = {"representative_images": representative_images, "check_images": check_images}
        seen.update({name: stack.max() for name, stack in stacks.items()})
        raise InputError("Expected nothing. Received: images.")

    monkeypatch.setattr("keras_mobattn.export.to_tflite", record)
    model = save_model(tmp_path / "net.keras", scale=1.0)
    run("tflite", model, "--precision", "int8", "--input-scale", "0.00392157")
    assert all(0.9 < value <= 1.001 for value in seen.values())
    assert set(seen) == {"representative_images", "check_images"}


@pytest.mark.slow
def test_core_ml_by_flags(tmp_path, run, capsys):
    """Labels make an image input a classifier; each compression is a package of its own."""
    model = save_model(tmp_path / "net.keras", size=(64, 64))
    (tmp_path / "names.txt").write_text("".join(f"name {i}\n" for i in range(10)))
    flags = ["--input-type", "image", "--labels", tmp_path / "names.txt", "--license", "Apache-2.0"]
    assert run("coreml", model, *flags, "--input-sizes", "64x128") == 0
    assert "Labels in the file: name 0, name 1" in capsys.readouterr().out
    description = read_mlprogram(tmp_path / "net_fp16_image_64x128.mlpackage").description
    assert description.predictedFeatureName == "classLabel"
    assert description.metadata.license == "Apache-2.0"
    sizes = description.input[0].type.imageType.enumeratedSizes.sizes
    assert [(size.height, size.width) for size in sizes] == [(64, 64), (64, 128)]
    assert run("coreml", model, "--compression", "none", "int8", "--output", tmp_path / "two") == 0
    assert {path.name for path in (tmp_path / "two").iterdir()} == {"net_fp16.mlpackage", "net_fp16_int8.mlpackage"}


def test_what_core_ml_itself_said_is_shown(tmp_path, run, monkeypatch, capsys):
    """On a Mac; here from a report as to_coreml makes it there (tests/export/coreml/test_options.py)."""
    report = export.CheckReport(
        str(tmp_path / "net.mlpackage"), "Core ML", "fp16", "probabilities", 8, 1e-3, 0.9, 60.0, 1.0, 1000, 2.0,
        device_errors={"CPU_ONLY": 1.2e-4, "ALL": 2e-3},
    )  # fmt: skip
    monkeypatch.setattr("keras_mobattn.export.to_coreml", lambda *args, **options: report)
    assert run("coreml", save_model(tmp_path / "net.keras")) == 0
    text = capsys.readouterr().out
    assert "fp16: Core ML on CPU_ONLY is within 1.2e-04 of the evaluator." in text
    assert "fp16: Core ML on ALL is within 2.0e-03 of the evaluator." in text


def labels_in(path):
    with zipfile.ZipFile(path) as archive:
        return archive.read("labels.txt").decode().splitlines()


def test_labels_of_the_run_or_of_a_file(tmp_path, run, capsys):
    model = save_model(tmp_path / "run" / "model.keras")
    (tmp_path / "run" / "settings.json").write_text(json.dumps({"dataset": "digits", "data_dir": str(tmp_path)}))
    (tmp_path / "run" / "labels.txt").write_text("".join(f"digit {i}\n" for i in range(10)))
    (tmp_path / "own.txt").write_text("".join(f"own {i}\n" for i in range(10)))
    alone = save_model(tmp_path / "alone.keras")
    photos = paint(tmp_path / "photos", 3)
    out = tmp_path / "out.tflite"
    for arguments, names, told in (
        ([tmp_path / "run"], "digit", "digit 0, digit 1, digit 2, digit 3, digit 4, ... (10 classes)"),
        ([tmp_path / "run", "--labels", tmp_path / "own.txt"], "own", "own 0, own 1"),
        ([model], "digit", "digit 0, digit 1"),  # a file in a run's folder is the run's
        ([alone], None, "none. To name the classes: --labels FILE"),
    ):
        assert run("tflite", *arguments, "--images", photos, "--output", out) == 0
        assert f"Labels in the file: {told}" in capsys.readouterr().out
        if names is None:
            assert not zipfile.is_zipfile(out)
        else:
            assert labels_in(out) == [f"{names} {i}" for i in range(10)]


def test_bytes_by_flags(tmp_path, run):
    model = save_model(tmp_path / "net.keras", scale=1.0)
    flags = ["--input-dtype", "uint8", "--output-dtype", "int8", "--input-scale", "0.00392157", "--author", "me"]
    assert run("tflite", model, *flags, "--precision", "fp32", "int8") == 0
    for precision in ("fp32", "int8"):
        signature = Interpreter(str(tmp_path / f"net_{precision}_uint8in_int8out.tflite")).get_signature_runner()
        (image,), (output,) = signature.get_input_details().values(), signature.get_output_details().values()
        assert (image["dtype"], image["quantization"]) == (np.uint8, (1.0, 0))
        assert (output["dtype"], output["quantization"]) == (np.int8, (1 / 256, -128))


def test_flags_that_do_not_fit_the_model_are_bad_input(tmp_path, run, capsys):
    """Before anything is converted, once for all precisions."""
    model, logits = save_model(tmp_path / "net.keras"), save_model(tmp_path / "logits.keras", activation=None)
    (tmp_path / "two.txt").write_text("a\nb\n")
    (tmp_path / "ten.txt").write_text("crane\n" * 10)
    cases = (
        ("tflite", model, ["--labels", tmp_path / "two.txt"], "each of the model's 10 classes. Received: 2"),
        ("tflite", model, ["--labels", tmp_path / "absent.txt"], "absent.txt' (No such file"),
        ("tflite", model, ["--input-scale", "0"], "Expected input_scale above 0"),
        ("tflite", model, ["--input-scale", "0.00392157"], "what the model says itself: pixels 0..255. Received: 0..1"),
        ("tflite", logits, ["--output-dtype", "uint8"], "outputs other than probabilities"),
        ("coreml", model, ["--compression", "int4"], "minimum_deployment_target 'iOS18' or 'macOS15' or newer"),
        ("coreml", model, ["--input-sizes", "64"], "--input-sizes like 320x320, height first. Received: '64'"),
        ("coreml", model, ["--input-sizes", "8x64"], "each side from 32 up"),
        ("coreml", model, ["--float32-layers", "nowhere"], "or what some begin with. Received: 'nowhere'"),
        ("coreml", model, ["--input-bias", "1", "2"], "one for each of 3 channels. Received: [1.0] and [1.0, 2.0]"),
        ("coreml", logits, ["--input-type", "image", "--labels", tmp_path / "ten.txt"], "ends in probabilities"),
        ("coreml", model, ["--input-type", "image", "--labels", tmp_path / "ten.txt"], "class names that differ"),
    )
    for script, file, flags, message in cases:
        code = run(script, file, *flags, "--precision", "fp32", "fp16")
        assert code == cli.BAD_INPUT
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not [*tmp_path.glob("*.tflite"), *tmp_path.glob("*.mlpackage")]


def test_no_image_that_can_be_decoded(tmp_path):
    (tmp_path / "a.jpg").write_text("no image")
    with (
        pytest.warns(UserWarning, match="1 of 1"),
        pytest.raises(InputError, match="can be decoded. Received: none in"),
    ):
        images.choose_images(tmp_path / "net.keras", tmp_path, SIZE, "skip")


def test_a_binary_classifier_by_flags(tmp_path, run, capsys):
    model = small_model(keras.layers.Dense(1, activation="sigmoid"))
    model.save(tmp_path / "net.keras")
    (tmp_path / "two.txt").write_text("day\nnight\n")
    flags = ["--labels", tmp_path / "two.txt"]
    assert run("tflite", tmp_path / "net.keras", *flags) == 0
    assert "Labels in the file: day, night (2 classes)." in capsys.readouterr().out
    assert run("tflite", tmp_path / "net.keras", *flags, "--single-output") == 0
    assert "Labels in the file: none. The probability of night, 0..1; that of day is the rest." in (
        capsys.readouterr().out
    )
    names = {path.name: export.TFLiteModel(path).output_shape for path in tmp_path.glob("*.tflite")}
    assert names == {"net_fp32.tflite": (None, 2), "net_fp32_single.tflite": (None, 1)}
