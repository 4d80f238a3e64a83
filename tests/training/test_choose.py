"""Settings for photographs: what is there decides, what is given stays, and each choice is told."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from helpers import hub as loopback
from helpers.annotated_folders import write_coco, write_voc, write_yolo
from keras_mobattn.commands import train as command
from keras_mobattn.errors import InputError
from keras_mobattn.families import FAMILIES
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.settings import TrainSettings, save_settings
from keras_mobattn.tasks import TASKS
from keras_mobattn.training import choose
from keras_mobattn.weights import find_tag, hub

TAG = find_tag("mobilevitv2_100.cvnets_in1k")


def fill(folder, classes=2, images=10, size=(300, 200), split=None):
    for name in map(str, range(classes)):
        (folder / (split or ".") / name).mkdir(parents=True)
        for i in range(images):
            Image.fromarray(np.zeros((*size, 3), np.uint8)).save(folder / (split or ".") / name / f"{i}.png")
    return TrainSettings(dataset=str(folder))


@pytest.fixture
def answers(monkeypatch):
    """What asking for published weights says: "" where the hub has them."""
    said = {"problem": "", "asked": []}
    monkeypatch.setattr(choose, "_free_memory", lambda: 64e9)
    monkeypatch.setattr(choose, "hub_problem", lambda tag: said["asked"].append(tag.name) or said["problem"])
    return said


def test_photographs_start_from_published_weights(answers, tmp_path):
    settings, told = choose.choose_settings(fill(tmp_path, images=500), {"dataset"})
    assert answers["asked"] == [TAG.name]
    chosen = {
        "model": "MobileViTv2", "width": 1.0, "attention": "own", "weights": "imagenet", "weights_skip": None,
        "image_size": 256, "augment": "photos", "batch_size": 32, "epochs": 25, "head_epochs": 1, "layer_decay": 0.8,
        "learning_rate": 5e-4,
    }  # fmt: skip
    assert {name: getattr(settings, name) for name in chosen} == chosen  # 800 images: a fifth is held out
    assert told["data"] == f"800 training images of 2 classes in {tmp_path}"
    assert told["model"] == "MobileViTv2(width=1.0), from imagenet"
    assert list(told) == ["data", "model", "images", "batch", "epochs", "rates"]


def test_without_a_hub_they_start_from_random_ones(answers, tmp_path):
    answers["problem"] = "the hub sleeps"
    settings, told = choose.choose_settings(fill(tmp_path, images=500), {"dataset"})
    assert (settings.weights, settings.head_epochs, settings.layer_decay, settings.epochs) == (None, 0, 1.0, 125)
    assert told["model"].endswith("from random weights: the hub sleeps")


def test_what_is_given_stays(answers, tmp_path):
    given = {"attention": "mobile", "image_size": (64, 96), "epochs": 3, "batch_size": 5, "layer_decay": 0.9}
    settings = dataclasses.replace(fill(tmp_path), **given)
    settings, told = choose.choose_settings(settings, {"dataset", *given})
    assert {name: getattr(settings, name) for name in given} == given
    assert settings.weights_skip == "attention"  # the published ones are of separable attention
    assert (settings.head_epochs, settings.learning_rate) == (0, 4e-4)  # 1e-3 for batches of 32
    assert "its mobile attention starts anew" in told["model"]
    assert "(64, 96)" in told["images"]
    settings = dataclasses.replace(settings, model="DeiT", variant="tiny", attention="own", weights_skip=None)
    chosen, told = choose.choose_settings(settings, {"dataset", "model", "variant", "attention"})
    assert (chosen.image_size, chosen.weights, chosen.weights_skip) == (224, "imagenet", None)
    settings = dataclasses.replace(settings, model="MobileViTv2", width=0.6, variant=None)
    chosen, told = choose.choose_settings(settings, {"dataset", "width"})
    assert (chosen.weights, told["model"]) == (
        None,
        "MobileViTv2(width=0.6), from random weights: none were published for it",
    )
    answers["asked"].clear()
    settings = dataclasses.replace(settings, weights="own.keras", attention="mobile", width=1.0)
    chosen, told = choose.choose_settings(settings, {"dataset", "weights", "attention"})
    assert (answers["asked"], chosen.weights, chosen.weights_skip, chosen.head_epochs) == ([], "own.keras", None, 1)
    settings = dataclasses.replace(settings, weights=None)
    chosen, told = choose.choose_settings(settings, {"dataset", "weights", "attention"})
    assert (chosen.weights, chosen.weights_skip, chosen.head_epochs) == (None, None, 0)


@pytest.mark.parametrize("given", [{"trainable": "head"}, {"optimizer": "sgd"}, {"learning_rate": 0.1}])
def test_what_does_not_go_together_is_not_chosen(given, answers, tmp_path):
    settings = dataclasses.replace(fill(tmp_path), **given)
    settings, told = choose.choose_settings(settings, {"dataset", *given})
    assert settings.head_epochs == (0 if "trainable" in given else 1)
    assert settings.layer_decay == (1.0 if "optimizer" in given else 0.8)
    assert told["rates"].split(",")[0] == ("0.1" if "learning_rate" in given else "0.00018")  # 16 images, batches of 4


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_published_weights_for_what_it_makes(family, answers, tmp_path):
    chosen, told = choose.choose_settings(dataclasses.replace(fill(tmp_path), model=family), {"dataset", "model"})
    (name,) = answers["asked"]
    assert find_tag(name).family.name == family
    assert chosen.weights == "imagenet"


SIZES = {(28, 28): 64, (60, 90): 128, (90, 60): 128, (100, 200): 224, (127, 500): 256, (128, 128): 256}


@pytest.mark.parametrize("size", SIZES)
def test_small_images_are_not_blown_up(size, answers, tmp_path):
    settings, _ = choose.choose_settings(fill(tmp_path, size=size), {"dataset"})
    assert settings.image_size == SIZES[size]


def test_few_images_and_little_memory_make_small_batches(answers, tmp_path, monkeypatch):
    settings, told = choose.choose_settings(fill(tmp_path, images=50, split="train"), {"dataset"})
    assert (settings.batch_size, told["batch"]) == (8, "8 images, since there are few")  # 100 in 8 steps or more
    monkeypatch.setattr(choose, "_free_memory", lambda: 5e9)
    settings, told = choose.choose_settings(fill(tmp_path / "many", images=400), {"dataset"})
    assert (settings.batch_size, told["batch"]) == (8, "8 images, as 5.0 GB of free memory allow")
    assert settings.learning_rate == 2.5e-4  # of 5e-4 for 32


def test_the_command_chooses_and_tells(answers, tmp_path, mobattn, capsys, monkeypatch):
    fill(tmp_path / "pets")
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr(command, "train_and_tell", lambda *given: seen.append(given) or 0)
    assert mobattn("train", "pets", "--image-size", "96", "--no-class-weights") == 0
    settings, folder, resume, _ = seen.pop()
    assert (settings.image_size, settings.width, str(folder), resume) == (96, 1.0, "runs/pets", False)
    printed = capsys.readouterr().out
    assert "16 training images of 2 classes in pets" in printed
    assert "96 pixels" in printed
    assert mobattn("train", "--dataset", "pets", "--attention", "mobile", "--print-settings") == 0
    assert "'imagenet'" in capsys.readouterr().out
    assert seen == []
    mobattn("train", "pets", "--attention", "mobile")
    assert str(seen.pop()[1]) == "runs/pets-mobile"
    mobattn("train", "digits")
    assert seen.pop()[0] == TrainSettings()
    mobattn("train", "pets", "--epochs", "1")  # warm-up follows, in place of two epochs of it
    assert seen.pop()[0].warmup == 0.125


def test_the_images_that_are_told_are_those_that_are_trained_on(answers, tmp_path):
    """Of each class of seven one is held out, of a class of three one."""
    settings = fill(tmp_path / "pets", classes=3, images=7)
    for path in sorted((tmp_path / "pets" / "0").iterdir())[3:]:
        path.unlink()
    _, told = choose.choose_settings(settings, {"dataset"})
    count = settings.open_source().num_examples["train"]
    assert count == 2 + 6 + 6
    assert told["data"].startswith(f"{count} training images of 3 classes")


@pytest.mark.parametrize("several", [True, False])
def test_where_nothing_is_chosen_the_task_has_to_be_given(several, tmp_path, mobattn, capsys, monkeypatch):
    """With a recipe, or on several machines: otherwise the folders of images and of labels would be two classes."""
    write_yolo(tmp_path / "boxes")
    monkeypatch.chdir(tmp_path)
    seen, recipe = [], () if several else ("--recipe", "mobilevitv2_in1k")
    monkeypatch.setattr(command, "train_and_tell", lambda *given: seen.append(given) or 0)
    if several:
        monkeypatch.setenv("SLURM_NTASKS", "2")
    assert mobattn("train", "boxes", *recipe) == 2
    assert "Expected --task detection for boxes, by the files in it." in " ".join(capsys.readouterr().err.split())
    assert mobattn("train", "boxes", "--task", "detection", *recipe) == 0
    assert seen.pop()[0].task == "detection"
    if several:
        began = RunFolder("runs/began")
        save_settings(began.settings_file, TrainSettings(dataset="boxes"))  # which settled it
        assert mobattn("train", "boxes", "--output-dir", began.path, "--auto-resume") == 0
        assert seen.pop()[0].task == "classification"
    write_voc(tmp_path / "voc")  # whose images have boxes too, beside masks
    assert mobattn("train", "voc", "--recipe", "deeplabv3_voc") == 0
    assert seen.pop()[0].task == "segmentation"


def test_auto_resume_keeps_what_was_chosen(answers, tmp_path, mobattn, monkeypatch, capsys):
    """Also where the hub answers no more."""
    settings = fill(tmp_path / "pets")
    monkeypatch.chdir(tmp_path)
    settings, _ = choose.choose_settings(dataclasses.replace(settings, dataset="pets"), {"dataset"})
    run = RunFolder("runs/pets")
    seen = []
    monkeypatch.setattr(command, "train_and_tell", lambda *given: seen.append(given) or 0)
    from keras_mobattn.settings import save_settings

    save_settings(run.settings_file, settings)
    answers["problem"] = "the hub sleeps"
    assert mobattn("train", "pets", "--auto-resume") == 0
    assert seen.pop()[:3] == (settings, run.path, True)
    assert mobattn("train", "pets", "--auto-resume", "--epochs", "999") == 2
    assert "To go on with it: --resume runs/pets --epochs 999." in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("words", [["--resume=runs/a"], ["--resume", "runs/a"], ["--auto_resume"], []])
def test_a_worker_that_starts_itself_again_resumes(words, monkeypatch):
    begun = []
    monkeypatch.setattr("os.execv", lambda program, arguments: begun.append(arguments))
    monkeypatch.setattr("sys.argv", ["train", *words])
    monkeypatch.setattr("sys.orig_argv", ["python", "train", *words])
    command.restart()
    assert begun == [["python", "train", *(words or ["--auto-resume"])]]


def test_the_hub_is_asked_no_longer_than_it_may(monkeypatch):
    import huggingface_hub

    with loopback.running({TAG.repository: b"weights"}) as running:
        url = f"{running.endpoint}/{TAG.repository}/resolve/main/{hub.FILE}"
        monkeypatch.setattr(huggingface_hub, "hf_hub_url", lambda *_: url)
        monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
        assert hub.hub_problem(TAG) == ""
        running.errors.append(404)
        assert hub.hub_problem(TAG) != ""
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_, **__: __import__("time").sleep(5))
    assert "does not answer within 0.2 seconds" in hub.hub_problem(TAG, 0.2)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: "/there")
    assert hub.hub_problem(TAG, 0.2) == ""


def test_a_folder_without_images_is_refused(answers, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="Expected"):
        choose.choose_settings(TrainSettings(dataset=str(tmp_path / "empty")), {"dataset"})


@pytest.mark.parametrize("write", [write_coco, write_voc, write_yolo])
def test_a_folder_of_boxes_trains_a_detector(answers, tmp_path, write):
    settings, told = choose.choose_settings(TrainSettings(dataset=str(write(tmp_path / "boxes"))), {"dataset"})
    chosen = {
        "task": "detection", "model": "MobileViTv2", "width": 1.0, "weights": "imagenet", "image_size": 128,
        "augment": "ssd", "label_smoothing": 0.0, "test_crop": 1.0, "interpolation": "bicubic", "epochs": 200,
        "head_epochs": 0, "anchors": "fit",
    }  # fmt: skip
    assert {name: getattr(settings, name) for name in chosen} == chosen  # images of 40 x 60 pixels, and few
    TASKS["detection"].expect_settings(settings)
    assert "of 4 classes" in told["data"]
    assert told["images"] == "128 pixels, since theirs are about 40"
    kept = TrainSettings(dataset=settings.dataset, image_size=192, augment="none")
    kept, _ = choose.choose_settings(kept, {"dataset", "image_size", "augment"})
    assert (kept.image_size, kept.augment) == (192, "none")


def test_large_photographs_with_boxes_get_320_pixels(answers, tmp_path):
    folder = write_coco(tmp_path / "boxes", change=scaled)
    for path in folder.rglob("*.png"):
        Image.open(path).resize((600, 400)).save(path)
    settings, told = choose.choose_settings(TrainSettings(dataset=str(folder)), {"dataset"})
    assert settings.image_size == 320
    assert told["images"] == "320 pixels, as published"


def scaled(record, split):
    for image in record["images"]:
        image.update(width=600, height=400)
