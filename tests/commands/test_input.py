"""benchmark_input.py and show_batch.py: what they write, and how they refuse."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_mobattn import InputError
from keras_mobattn.commands import benchmark_input, show_batch
from keras_mobattn.data import AUGMENTATIONS, input_speed, photo_source
from keras_mobattn.tasks import TASKS


def test_benchmark(tmp_path, capsys):
    rates = {"timm": 200.0, "ours": 90.0, "kecam": None}  # as training/benchmark_step.py writes them
    rows = [{"package": package, "images_per_second": rate} for package, rate in rates.items()]
    (tmp_path / "step.json").write_text(json.dumps({"rows": rows}))
    options = {"image_size": 32, "images": 4, "rounds": 3, "step": tmp_path / "step.json", "output_dir": tmp_path}
    benchmark_input.main(("imagenet",), **options)
    record = json.loads((tmp_path / "input.json").read_text())
    (row,) = record["rows"]
    assert record["step_images_per_second"] == 90
    assert row["cores"] == pytest.approx(90 / row["images_per_second"])
    assert set(row["parts_ms"]) == set(input_speed.PARTS)
    assert {len(samples) for samples in row["samples_ms"].values()} == {2}
    assert 20 < row["images_per_second"] < 20000
    assert 80 < record["photos"]["mean_kb"] < 140  # ImageNet's mean is 110
    assert Image.open(tmp_path / "input.png").size[0] > 300
    assert f"{row['images_per_second']:.0f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"augment": ("flip",)}, "Expected augmentation to be one of 'none'.*Received: 'flip'"),
        ({"image_size": 4}, "image_size to be a whole number from 8 up. Received: 4"),
        ({"rounds": 1}, "rounds to be a whole number from 2 up. Received: 1"),
        ({"images": 0}, "images to be a whole number from 1 up. Received: 0"),
        ({"step_images_per_second": -1.0}, "step_images_per_second to be a number above 0. Received: -1.0"),
    ],
)
def test_benchmark_refuses(change, message):
    with pytest.raises(InputError, match=message):
        benchmark_input.main(**change)


@pytest.mark.parametrize("text", ["no json", "[1]", '{"rows": []}', '{"rows": [{"package": "timm"}]}'])
def test_a_step_file_that_is_none(tmp_path, text):
    (tmp_path / "step.json").write_text(text)
    with pytest.raises(InputError, match="with a row of ours"):
        benchmark_input.main(step=tmp_path / "step.json")


def test_sheet(tmp_path, capsys):
    sheets = []
    for name, step in (("a", 0), ("b", 0), ("c", 5)):
        output = tmp_path / f"{name}.png"
        show_batch.main(show_batch.Sheet(augment="imagenet", image_size=32, count=6, step=step), output)
        sheets.append(np.array(Image.open(output)))
    np.testing.assert_array_equal(sheets[0], sheets[1])
    assert sheets[0].shape != sheets[2].shape or (sheets[0] != sheets[2]).any()
    assert "6 images of step 5" in capsys.readouterr().out


def test_sheet_captions():
    caption, names = TASKS["classification"].caption, ("cat", "dog", "a rather long name")
    assert caption(np.array([0.0, 1.0, 0.0]), names) == "dog"
    assert caption(np.array([0.29, 0.71, 0.0]), names) == "dog .71 / cat .29"
    assert caption(np.array([0.001, 0.0, 0.999]), names) == "a rather long name"
    assert caption(np.array([0.5, 0.0, 0.5]), names) == "cat .50 /\na rather long name .50"


@pytest.mark.parametrize(
    ("change", "output", "message"),
    [
        ({"augment": "x"}, "a.png", "Expected augmentation to be one of .*Received: 'x'"),
        ({"step": -1}, "a.png", "step to be a whole number from 0 up. Received: -1"),
        ({"count": 0}, "a.png", "count to be a whole number from 1 up. Received: 0"),
        ({"aug_repeats": 0}, "a.png", "aug_repeats to be a whole number from 1 up. Received: 0"),
        ({"image_size": 0}, "a.png", "image_size to be a whole number from 1 up. Received: 0"),
        ({"dataset": "./nowhere"}, "a.png", "nowhere, which is not there"),
        ({}, "a.jpg", "ends with .png"),
    ],
)
def test_sheet_refuses(tmp_path, change, output, message):
    with pytest.raises(InputError, match=message):
        show_batch.main(show_batch.Sheet(**change), tmp_path / output)
    assert not list(tmp_path.iterdir())


def test_photo_source():
    source = photo_source(3)
    examples = list(source.open("train").as_numpy_iterator())
    assert [int(example["label"]) for example in examples] == [0, 1, 0]
    assert examples[0]["image"].shape == (375, 500, 3)
    assert {name for name, each in AUGMENTATIONS.items() if each.crop_area} >= {"imagenet", "mobilevitv2", "flowformer"}
