"""The values that fuzz_functions.py gives to arguments: by the argument's name, or by the function's and its own."""

import dataclasses
import functools
import io
from pathlib import Path
from typing import get_args

import numpy as np
import rich.console
import tensorflow as tf

import keras_mobattn
from helpers import fuzz_tasks
from helpers.fuzz_kit import IMAGENET, PIXELS, SIGNED, SIZE, UNIT, Fresh, forms_of, images_in
from keras_mobattn import delivery, export, gpu, training
from keras_mobattn.data import sample_photos
from keras_mobattn.families import FAMILIES
from keras_mobattn.tasks import TASKS

NAN, INF = float("nan"), float("inf")
WRONG = (None, True, 0, -1, 2.5, NAN, INF, 10**30, "", "x", "é b", b"x", [], (), {}, object, np.empty(0), [None], "\0")
SUFFIXES = (".tflite", ".mlpackage", ".html", ".md", ".json", ".csv", ".safetensors")


def make_work(work):
    """A folder for one case, with what stood there before: earlier results, and folders of somebody's."""
    (work / "folder").mkdir(parents=True)
    (work / "folder" / "keep.txt").write_text("kept", encoding="utf-8")
    (work / "file").write_text("a file", encoding="utf-8")
    for suffix in SUFFIXES:
        (work / f"folder{suffix}").mkdir()
        (work / f"folder{suffix}" / "keep.txt").write_text("kept", encoding="utf-8")
        if suffix == ".mlpackage":
            (work / "earlier.mlpackage").mkdir()
            (work / "earlier.mlpackage" / "Manifest.json").write_text("{}", encoding="utf-8")
        else:
            (work / f"earlier{suffix}").write_text("earlier", encoding="utf-8")


def _written(work, suffix):
    """Paths to write to, and paths that can't be written."""
    good = [work / f"new{suffix}", str(work / "sub é" / f"a b{suffix}"), work / f"earlier{suffix}", f"here{suffix}"]
    bad = ["folder", f"folder{suffix}", f"file/x{suffix}", f"new{suffix}x", suffix, "x" * 300 + suffix, f"\0{suffix}"]
    return good, [*(work / name if "\0" not in name else name for name in bad), 3, ".", ""]


def _read(kit, work, *good):
    """Paths of files of the right kind, and of others."""
    others = [kit.photos, kit.run, kit.keras_file, kit.tflite, kit.coreml, kit.image, work / "nowhere", work / "file"]
    return [*good, *map(Path, good)], [*others, work / "folder.tflite", "é b", "~", "/", 3]


def _images(kit, work):
    """Images in every range and form, and what is none."""
    good = [form for span in (PIXELS, UNIT, SIGNED, IMAGENET) for form in forms_of(images_in(*span))]
    good += [images_in(*UNIT, channels=1), images_in(*PIXELS, channels=5), None]
    one = images_in(*PIXELS)
    endless = tf.data.Dataset.from_tensors(one[0]).repeat()
    used = Fresh(lambda: iter(()))
    bad = [one[0], one[:, :20], one * NAN, one * 2, one.astype(str), one.astype(complex), one > 9, one[:0], used]
    return good, [*bad, endless, kit.photos, [one[0], one[0, :9]], [[1, 2], [3]], lambda: None, lambda x: x, [[]]]


def _models(kit):
    return kit.own_models, [*kit.odd_models.values(), kit.keras_file, kit.run, keras_mobattn.PVTv2]


def values(kit, work):
    """{argument, or function.argument: (values that may be right, values that people mistype)}."""
    rng = np.random.default_rng(0)
    photo = np.uint8(images_in(*PIXELS)[0])
    console = rich.console.Console(file=io.StringIO())
    tables = {"measurements": ([kit.rows, [], kit.rows[:1]], [])}
    maps = [rng.normal(size=(2, 8, 8, 16)).astype("f4"), rng.normal(size=(2, 9, 16)).astype("f4")]
    no_maps = [maps[0][0], maps[0][None], maps[0][..., :3], maps[0].astype(int), "x", maps[0][:, :7], maps[1][0, 0]]
    family = FAMILIES["MobileViTv2"]
    styles = {"mean": {"soft": [50.0, 60.0], "mobile": []}}
    by_style = {"soft": kit.rows[1], "mobile": kit.rows[0], "phone": kit.rows[3]}
    points = {"soft": [(16, kit.rows[1]), (64, kit.rows[2])], "lost": [(16, kit.rows[0])]}
    exportable = [kit.source_of("ours"), kit.source_of("one sigmoid"), kit.source_of("five channels")]
    small_images = functools.partial(sample_photos, 1)
    small_photos = np.stack([photo] * 3)
    numbers = [1, 2, 4], [10**9, -(10**9), "1", [1], 1.5]
    by_name = {
        **tables,
        "model": _models(kit),
        "model_or_file": (
            [*kit.own_models, *kit.own_models, kit.keras_file, *exportable],
            [*_models(kit)[1], kit.tflite, kit.image],
        ),
        "path": _read(kit, work, kit.tflite),
        "file": _read(kit, work, kit.tflite),
        "paths": ([[kit.tflite], [kit.tflite] * 2, (Path(kit.tflite),)], [kit.tflite, [kit.image], [work / "nowhere"]]),
        "folder": ([work / "out", str(work / "é b")], [work / "file", "\0"]),
        "output_dir": ([work / "out", work / "é b"], [work / "file", "\0"]),
        "input_scale": ([None, None, 1, 1 / 255, 1 / 127.5, [1 / 255] * 3], ["1", [1, 2], (1, 1, 1, 1), -0.1, 1e-50]),
        "input_bias": ([None, None, 0, -1, [0, 0, 0]], ["1", [1, 2], (1, 2, 3, 4), 1e50]),
        "labels": (
            [(), "abc", ("a", "b", "c"), ["é", "b c", "ü"], ("no", "yes"), ("a", "a", "b")],
            [
                ("a",),
                "abc",
                ("", "b", "c"),
                ("a\nb", "c", "d"),
                (1, 2, 3),
                [None],
                Fresh(lambda: iter(("a", "b", "c"))),
            ],
        ),
        "single_output": ([True, False], ["no"]),
        "form": ([None], ["nms", "boxes", 1]),
        "tolerance": ([None, export.Tolerance(0.5), export.Tolerance(0.5, 0.5, 0.5)], [0.5, export.Tolerance(0.0)]),
        "about": ([export.About(), export.About("é", "b", "1", "c", "MIT")], []),
        "images": _images(kit, work),
        "check_images": _images(kit, work),
        "representative_images": _images(kit, work),
        "task": ([None, *TASKS.values()], ["classification"]),
        "source": ([kit.source, kit.source.first("test", 2)], []),
        "split": (["test", "train"], ["validation", "Test"]),
        "count": ([1, 2, 3], [10**9, "2"]),
        "image_size": ([(32, 32), SIZE, (1, 1)], [32, (32,), (32, 32, 3), (0, 32), (32.0, 32.0), "32", (NAN, 1)]),
        "crop": ([1.0, 0.875, 0.01], [1.5, "1", 1e-9]),
        "interpolation": (["bilinear", "bicubic"], ["nearest", "Bilinear"]),
        "augment": (["none", "imagenet", "digits", "deit"], ["None", "heavy"]),
        "seed": ([0, 1, 2**40], ["1", 2**70]),
        "batch_size": ([1, 2, 64], [0, 1.5, "2"]),
        "shuffle": ([True, False], []),
        "levels": ([None, ["P4"], ["P3", "P5"]], ["P4", ["P9"], [["P4"]]]),
        "norms": ([True, False], []),
        "input_shape": ([(32, 32, 3), (*SIZE, 3), (None, None, 3)], [(32, 32), 32, (8, 8, 3), (32.0, 32, 3), "32"]),
        "scale": ([None, 1 / 255, [1 / 255] * 3], [-1, "x", [1, 2]]),
        "bias": ([None, 0, [0.0] * 3], ["x", [1, 2]]),
        "name": (["a", "P4"], ["a b/\0", 3]),
        "num_threads": numbers,
        "warmup_runs": ([0, 1], numbers[1]),
        "num_runs": ([1, 2], [-5, "1", 1.5]),
        "rounds": ([1, 2], [-5, "1", 1.5]),
        "min_secs": ([0, 0.01], [-5, "1"]),
        "max_secs": ([0.1, 1.0], [-5, "1", 1e-12]),
        "x": (maps, no_maps),
        "dim": ([16], [8, -16, 16.0, "16", 10**9]),
        "num_heads": ([None, 2, 4], [3, 32, -4, 2.0, "4"]),
        "head_dim": ([None, 4, 8], [3, 32, -4, 2.0, "4"]),
        "patch_size": ([1, 2], [3, -2, 2.0, "2"]),
        "dropout": ([0.0, 0.1], [1.0, -0.1, "x", 5]),
        "output_stride": ([8, 16, 32], [4, 64, 16.0, "16"]),
        "auxiliary": ([True, False], []),
        "align_corners": ([True, False], []),
        "dilation": ([1, 2], [-1, "2"]),
        "padded": ([True, False], []),
        "drop_path_rate": ([0.0, 0.1], [1.0, -0.1, "x"]),
        "rate": ([0.0, 0.5], [1.0, -0.1, "x", 5]),
        "multiple": ([2, 3], [-2, 1.5, "2"]),
        "epsilon": ([1e-5], [-1.0]),
        "grid": ([(8, 8), [4, 4]], [(8,), 8, (8.0, 8.0), (0, 0)]),
        "axis": ([-1, 1, (1, 2)], [9, "x", 1.5]),
        "small": ([1.0, 1 / 16], ["x"]),
        "attention": (["softmax", "mobile", "own"], ["Mobile", keras_mobattn.PVTv2, lambda dim: None]),
        "include_top": ([True, False], []),
        "include_preprocessing": ([True, False], []),
        "distilled": ([True, False], []),
        "weights": ([None], ["x", "imagenet", kit.image, kit.tflite, kit.keras_file, Path("nowhere.keras"), "a.h5"]),
        "weights_skip": ([None, "attention"], ["head"]),
        "pooling": ([None, "avg", "max"], ["mean"]),
        "classes": ([1, 2, 7], ["7", 7.0, -7]),
        "classifier_activation": (["softmax", None, "sigmoid"], ["soft max"]),
        "variant": (["test"], ["Test", "b9"]),
        "width": ([0.25], [-0.5, "x", 1e-9]),
        "input_tensor": ([None], ["x", photo, np.zeros((1, 32, 32, 3), "f4")]),
        "console": ([console], []),
        "description": ([kit.described["tflite"]], []),
        "delivery": ([kit.delivery], []),
        "report": ([kit.report], []),
        "reports": ([[kit.check], []], []),
        "settings": ([kit.settings], []),
        "top": ([1, 5], [1001, 1.5]),
        "tag": (["x"], []),
        "precision": (["fp32", "fp16"], ["FP32", "int4", "float32"]),
        "compute_units": ([None], ["CPU", "ALL"]),
        "epochs": ([1, 2], [1.5, "1"]),
    }
    own = {
        "training.evaluate.progress": ([lambda done, total: None], []),
        **fuzz_tasks.values(kit, photo),
        "export.to_tflite.path": _written(work, ".tflite"),
        "export.to_tflite.precision": (list(export.TFLITE_PRECISIONS), ["FP32", "int4"]),
        "export.to_tflite.input_dtype": (list(export.IO_DTYPES), ["float16"]),
        "export.to_tflite.output_dtype": (list(export.IO_DTYPES), ["float16"]),
        "export.to_coreml.path": _written(work, ".mlpackage"),
        "export.to_coreml.minimum_deployment_target": (list(export.COREML_TARGETS), ["iOS9", "iOS 17"]),
        "export.to_coreml.compression": ([None, *export.COREML_COMPRESSIONS], ["int3"]),
        "export.to_coreml.output_dtype": (["float32", "float16"], ["fp16", "uint8", 16]),
        "export.to_coreml.input_type": (list(export.INPUT_TYPES), ["Image"]),
        "export.to_coreml.input_sizes": ([(), [(64, 64)], ((64, 32), SIZE)], [(64, 64), [64], "64", [(8, 8)]]),
        "export.to_coreml.float32_layers": ([()], ["conv", 3, ("no such layer",), (3,)]),
        "export.expect_coreml.float32_layers": ([()], ["conv", 3, ("no such layer",), (3,)]),
        "export.expect_coreml.source": (exportable, []),
        "export.expect_coreml.minimum_deployment_target": (list(export.COREML_TARGETS), ["iOS9"]),
        "export.expect_coreml.compression": ([None, *export.COREML_COMPRESSIONS], ["int3"]),
        "export.expect_coreml.input_type": (list(export.INPUT_TYPES), ["Image"]),
        "export.expect_coreml.input_sizes": ([(), [(64, 64)]], [(64, 64), [64], "64", [(8, 8)]]),
        "export.expect_io.source": (exportable, []),
        "export.expect_io.input_dtype": (list(export.IO_DTYPES), ["float16"]),
        "export.expect_io.output_dtype": (list(export.IO_DTYPES), ["float16"]),
        "export.load_trained.path": _read(kit, work, kit.run, kit.keras_file),
        "export.read_labels.file": _read(kit, work, kit.run + "/labels.txt"),
        "export.CoreMLModel.path": _read(kit, work, kit.coreml),
        "describe.describe_coreml.path": _read(kit, work, kit.coreml),
        "describe.describe_coreml.plan": ([True, False], []),
        "describe.describe_coreml.half_images": ([None, small_images], [3]),
        "describe.describe_tflite.execute_on_gpu": ([False], []),
        "describe.describe_tflite.half_images": ([None, small_images], [3]),
        "describe.describe_tflite.half_modes": ([(), ("products",)], []),
        "describe.print_coreml.description": ([kit.described["coreml"]], []),
        "data.read_image.path": _read(kit, work, kit.image),
        "data.is_folder.name": _read(kit, work, kit.photos, "digits"),
        "data.open_source.name": _read(kit, work, kit.photos, "digits"),
        "data.open_source.data_dir": ([None], [work / "file", 3]),
        "data.open_source.on_corrupt": (["error", "skip"], ["warn"]),
        "data.open_source.targets": ([("label",)], [("boxes",), "label", ("labels",)]),
        "data.open_source.for_test": ([True, False], []),
        "data.batches.task": ([keras_mobattn.data.LABELS], []),
        "data.resize_and_crop.image": ([photo], [photo[0], photo[None], photo[..., :1], photo / 255, "x"]),
        "data.training_stream.plan": ([kit.plan], []),
        "data.training_stream.first_step": ([0, 1], [99, "1"]),
        "data.training_stream.num_steps": ([None, 1], [99, "1"]),
        "data.training_stream.share": ([keras_mobattn.data.Share()], []),
        "data.training_stream.repeats": ([1, 2], [1.5, "2"]),
        "data.training_stream.service": ([None], ["grpc://", "http://localhost:1", "grpc://127.0.0.1:1", 3]),
        "data.training_stream.task": ([keras_mobattn.data.LABELS], []),
        "data.StepPlan.num_examples": ([10, 100], [1.5, "10"]),
        "data.StepPlan.image_size": ([32, (32, 64)], ["32", (32,), 32.5, (1, 2, 3)]),
        "data.StepPlan.sizes": ([None, (32, 64)], [(64, 32), "32", 32, (1.5,)]),
        "data.StepPlan.granularity": ([1, 2], [3, 1.5, "1"]),
        "data.Share.pipeline": ([0, 1], numbers[1]),
        "data.Share.pipelines": ([1, 2], numbers[1]),
        "data.Share.replicas": numbers,
        "models.known_range.model": _models(kit),
        "models.labels_file.path": _read(kit, work, kit.run),
        "models.model_file.path": _read(kit, work, kit.run),
        "models.load_model.file": _read(kit, work, kit.keras_file),
        "models.published_name.family": (list(FAMILIES), ["MobileViTV2"]),
        "models.randomize_weights.model": ([Fresh(kit.reloaded)], list(kit.odd_models.values())),
        "models.rematerialize.model": ([Fresh(kit.reloaded)], []),
        "weights.decode_predictions.predictions": ([np.eye(2, 1000)], [np.eye(2), np.full((2, 1000), NAN), "x", [[1]]]),
        "weights.preprocess_input.images": ([images_in(*PIXELS), tf.constant(photo)], [images_in(*UNIT), "x", [[1]]]),
        "weights.preprocess_input.model": (list(FAMILIES), [kit.own_models[0]]),
        "weights.find_segmenter.name": (["deeplabv3-mobilevit-small"], ["deeplabv3"]),
        "weights.find_tag.name": (["mobilevitv2_100.cvnets_in1k"], ["mobilevitv2"]),
        "weights.imagenet_tag.architecture": (["pvt_v2_b0"], ["pvt_v2_b9"]),
        "weights.load_weights.model": ([Fresh(kit.reloaded)], []),
        "weights.load_weights.weights": ([kit.keras_file], [kit.image, kit.tflite, "x"]),
        "weights.load_weights.family": ([family], []),
        "weights.load_weights.architecture": (["mobilevitv2_025"], ["x"]),
        "weights.load_weights.skip": ([None, "attention"], ["head"]),
        "weights.read_checkpoint.path": _read(kit, work, kit.checkpoint),
        "weights.to_timm.path": _written(work, ".safetensors"),
        "weights.to_timm.model": ([kit.published], _models(kit)[1]),
        "training.evaluate.model": ([*kit.own_models, *kit.file_models.values()], _models(kit)[1]),
        "training.load_settings.path": _read(kit, work, kit.run + "/settings.json"),
        "training.read_history.path": _read(kit, work, kit.run + "/history.csv"),
        "training.recipe_settings.name": (list(training.RECIPES), ["deit"]),
        "training.recipe_settings.width": ([0.5, 1.0], [-1, "x"]),
        "training.recipe_settings.variant": ([None], ["x"]),
        "training.train.resume": ([False], []),
        "training.train.execution": ([None, training.Execution(strategy="one")], []),
        "training.train.progress": ([False], []),
        "training.train.callbacks": ([()], []),
        "benchmark.load_measurements.path": _read(kit, work, kit.saved[0]),
        "benchmark.save_csv.path": _written(work, ".csv"),
        "benchmark.save_json.path": _written(work, ".json"),
        "benchmark.benchmark_tflite.backend": (["xnnpack", "builtin"], ["cpu", "XNNPACK"]),
        "benchmark.benchmark_files.backends": ([("xnnpack",), ["builtin"]], ["xnnpack", ("cpu",)]),
        "benchmark.benchmark_files.num_threads": ([(1,), [1, 2]], [1, (0,), "1"]),
        "benchmark.top_operators.op_profile": ([(), ({"op": "CONV_2D", "inside": False, "ms": 1.0},)], []),
        "delivery.folder_of.model": _read(kit, work, kit.run, kit.keras_file),
        "delivery.load_delivery.path": _read(kit, work, kit.saved[1]),
        "delivery.save_delivery.path": _written(work, ".json"),
        "delivery.deliver.model": ([Path(kit.run), kit.keras_file], [kit.tflite, "nowhere"]),
        "delivery.deliver.output_dir": ([work / "out"], [work / "file"]),
        "delivery.deliver.formats": ([("tflite-fp32",)], ["tflite-fp32", ("fp32",), [3]]),
        "delivery.deliver.images": ([None, kit.photos], [work / "folder", work / "nowhere", kit.image]),
        "delivery.deliver.on_corrupt": (["error", "skip"], []),
        "delivery.deliver.num_test_images": ([1, 4], [1.5, "4"]),
        "delivery.deliver.wishes": ([delivery.Wishes()], [delivery.Wishes("x"), delivery.Wishes(num_threads=0)]),
        "delivery.deliver.progress": ([lambda *told: None], []),
        "report.write_report.path": _written(work, ".html"),
        "report.write_markdown.path": _written(work, ".md"),
        "report.accuracy_by_style.accuracies": ([styles], [{}]),
        "report.accuracy_by_style.chance": ([None, 50], []),
        "report.by_resolution.values": ([{"mean": {"soft": [(32, 1.0), (64, 2.0)]}}], [{}]),
        "report.by_resolution.ylabel": (["ms", "é $_"], []),
        "report.by_resolution.linear": ([True, False], []),
        "report.bars_by_class.shares": ([(0.5, NAN, 1.0), np.zeros(3)], [(0.5,), "x", (0, 1, 2), np.eye(3)]),
        "report.bars_by_class.class_names": ([("a", "b", "$_^")], ["ab", (), ("a", "b")]),
        "report.confusion_matrix.counts": ([np.eye(3, dtype=int)], [np.eye(2), np.eye(3) * NAN, -np.eye(3), "x"]),
        "report.confusion_matrix.class_names": ([("a", "b", "$_^")], ["abc", (), (1, 2, 3), ("a", "b")]),
        "report.image_grid.images": ([small_photos, list(small_photos)], [small_photos[0], small_photos / 255, "abc"]),
        "report.image_grid.captions": ([("a", "b", "$c$_")], ["abc", (), ("a",), (1, 2, 3)]),
        "report.image_grid.wrong": ([(), (0,)], [(9,)]),
        "report.image_grid.columns": ([1, 6], ["1"]),
        "report.latency_by_style.measurements": ([by_style, {}], []),
        "report.latency_by_tokens.measurements": ([points, {}], []),
        "report.latency_by_tokens.last": ([None, 2], ["1"]),
        "report.learning_curves.history": (
            [{"loss": [1.0, 0.5]}, {"loss": [1.0], "val_loss": [NAN]}],
            [{}, {"loss": []}, {"loss": ["x"]}, "loss"],
        ),
        "report.loglog_slope.points": (
            [[(16, 1.0), (64, 2.0)], [(16, 1.0)]],
            [[(0, 1.0), (4, 2.0)], [(1, -1), (2, 1)]],
        ),
        "report.op_profile_table.measurement": (kit.rows[1:3], []),
        "report.operator_bars.operators": ([{"CONV": {"cpu": 2}, "MUL": {}}, {}], []),
        "report.operator_bars.xlabel": (["ms"], []),
        "report.operator_bars.order": ([(), ("gpu", "cpu")], []),
        "benchmark.benchmark_coreml.paths": ([[kit.coreml]], [kit.coreml, [kit.tflite]]),
        "benchmark.benchmark_coreml.device": (["mac"], ["Mac"]),
        "benchmark.benchmark_coreml.units": ([("all",), ["cpu"]], ["all", ("gpu",)]),
        "benchmark.benchmark_coreml.identifier": ([None], []),
        "benchmark.benchmark_coreml.development_team": ([None], []),
        "benchmark.benchmark_coreml.load_runs": numbers,
        "benchmark.benchmark_coreml.cool_down": ([0.0], [-1, "1"]),
        "gpu.run_on_gpu.float16": ([False], []),
        "real_float16": ([False], [None, "half", []]),
        "gpu.adapter.stderr": (["Selected adapter: a, arch=b", ""], []),
        "gpu.why.stderr": (["Check failed: x", ""], []),
        "gpu.why.otherwise": (["unknown"], []),
        "gpu.run_on_gpu.inputs": ([[]], []),
        "gpu.run_jobs_on_gpu.jobs": ([[]], [[gpu.GpuJob(work / "nowhere", [])]]),
        "layers.InputRange.scale": ([1.0, 1 / 255, [1 / 255] * 16], [-1, "x", [1, 2], 0]),
        "layers.InputRange.bias": ([0.0, -1], ["x", [1, 2]]),
        "layers.ImageRange.scale": ([1.0, (1 / 255,)], [-1, "x", ()]),
        "layers.ImageRange.bias": ([0.0, (-1, 0, 1)], ["x", ()]),
        "layers.ImageRange.is_image": ([True, False], []),
        "layers.LayerScale.initial_value": ([1e-5], ["x"]),
        "layers.AdaptiveMean.bins": ([1, 2, 3, 6], [0, 1.5, "2"]),
        "layers.resize_bilinear.size": ([(4, 4), [16, 12]], [(0, 0), 4, "4", (-1, 2)]),
        "layers.SplitTokens.prefix": ([1, 2], [99, 1.5]),
        "layers.SplitTokens.x": (
            [[maps[0][:, :, :1], maps[0][:, :1, :6]], [np.ones((2, 11, 1, 4), "f4"), np.ones((2, 3, 3, 1), "f4")]],
            [],
        ),  # fmt: skip
        "layers.ResizeLike.x": ([[maps[0], maps[0][:, :3, :5]]], []),
        "layers.conv_norm_act.filters": ([8], [-8, "8", 1.5]),
        "layers.conv_norm_act.kernel_size": ([1, 3], [-1, "3"]),
        "layers.conv_norm_act.strides": ([1, 2], [-1, "2"]),
        "layers.conv_norm_act.depthwise": ([True, False], []),
        "layers.conv_norm_act.norm": ([True, False], []),
        "layers.conv_norm_act.use_bias": ([True, False], []),
        "layers.conv_norm_act.initializer": ([None, "glorot_uniform"], []),
        "layers.JoinLevels.sizes": ([[[(0.1, 0.2)], [(0.3, 0.4), (0.5, 0.5)]]], [[[(0.1,)]], [[(0.1, -0.2)]], [[]]]),
        "layers.conv_norm_act.act": ([None, keras_mobattn.layers.Gelu], []),
        "layers.inverted_residual.filters": ([16, 8], [-8, "8", 1.5]),
        "layers.inverted_residual.strides": ([1, 2], [-1, "2"]),
        "layers.inverted_residual.expansion": ([2, 1.5], [-1, "2"]),
        "layers.drop_path_rates.depths": ([(1, 3), [2]], [(-1, 2), "12", (1.5,)]),
        "layers.from_heads.x": ([np.ones((2, 2, 8, 64), "f4")], no_maps),
        "layers.from_heads.like": ([maps[0]], no_maps),
        "layers.linear_initializer.fan_in": ([16, 10**6], [-16, "16"]),
        "layers.make_divisible.value": ([17, 3.5], [-5, "x"]),
        "layers.make_divisible.divisor": ([8], [-8, 1.5]),
        "layers.make_divisible.minimum": ([None, 16], [-8]),
        "layers.resample.x": ([maps[0][0]], no_maps),
        "layers.resample.size": ([(4, 4)], [(0, 0), 4, "4", (-1, 2)]),
        "layers.resample_to.array": ([maps[0][0]], no_maps),
        "layers.resample_to.shape": ([(4, 4, 16), (4, 4, 3)], [(0, 0, 16), (-1, 2, 16)]),
        "layers.saturate.x": ([tf.constant(maps[0])], []),
        "layers.saturate.dtype": (["float16", tf.float32], ["float99"]),
        "layers.at_least_float32.x": ([tf.constant(maps[0]), tf.cast(maps[0], tf.float16)], []),
        "layers.global_policy.name": (["float32", "mixed_float16"], ["float99"]),
        "attention.MobileAttention.published": ([True, False], []),
        "attention.TalkingHeadAttention.grid": ([(8, 8)], [(8,), 8, (0, 0), "88"]),
        "attention.TalkingHeadAttention.x": ([[maps[0]] * 3], []),
        "attention.TalkingHeadAttention.stride": ([1, 2], [3, -1, 0, 1.5]),
        "attention.TalkingHeadAttention.talking": ([True, False], []),
        "attention.attention_layer.own": ([None, keras_mobattn.attention.SoftmaxAttention], []),
        "attention.SpatialReductionAttention.sr_ratio": ([1, 2], [3, -1, 0, 1.5]),
        "attention.SpatialReductionAttention.linear": ([True, False], []),
    }
    gains = {f"attention.{name}.gain": ([None, 1.0], ["x", -1]) for name in keras_mobattn.attention.__all__}
    return by_name | gains | own


def settings(rng, kind):
    """Fields of TrainSettings or Execution: values that the type allows, and others."""
    drawn = {}
    for field in dataclasses.fields(kind):
        if rng.random() < 0.1:
            choices = get_args(field.type)
            good = [field.default, *(choice for choice in choices if not isinstance(choice, type))]
            values = good if rng.random() < 0.7 else [*WRONG, "1", -0.5, 1.5, (32, 64)]
            drawn[field.name] = values[rng.integers(len(values))]
    return drawn
