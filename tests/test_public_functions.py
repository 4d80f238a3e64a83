"""A seeded part of tests/helpers/fuzz_functions.py, which tries 300 by itself; and what it found, case by case."""

import importlib

import numpy as np
import pytest
import tf_keras as keras

from helpers import fuzz_functions
from keras_mobattn import export
from keras_mobattn.errors import InputError


def test_calls_made_at_random_work_or_are_refused():
    ends = fuzz_functions.run(0, 40, print)
    assert ends["refused"] >= 8
    assert ends["done"] >= 8


def test_a_new_public_function_must_have_values_or_a_reason():
    for given in ({}, {"export.to_tflite.path": ([], [])}):
        missing = fuzz_functions.unknown(given)
        assert "export.to_coreml(path)" in missing
        assert ("export.to_tflite(path)" in missing) is (not given)


@pytest.mark.parametrize("name", fuzz_functions.LEFT_OUT)
def test_what_is_left_out_is_public(name):
    assert name in fuzz_functions.public()


def subclass():
    return type("Subclass", (keras.Model,), {})(name="mine")


NAN = float("nan")
FOUND = {  # a call that the fuzz found, which raised Python's own error or gave a wrong result -> what it says now
    "models.at_output_stride(True, 16)": "model to be a keras.Model",
    "models.count_macs('model.keras')": "model to be a keras.Model",
    "models.feature_pyramid(())": "model to be a keras.Model",
    "models.known_range({}, bias=0)": "model to be a keras.Model",
    "models.rematerialize(None)": "model to be a keras.Model",
    "models.randomize_weights(None)": "model to be a layer or a keras.Model",
    "models.randomize_weights(keras.layers.Dense(1))": "layer or model with weights",
    "models.published_name({})": "family to be one of",
    "models.model_file(3)": "path to be the path",
    "models.DeiT('test', classifier_activation='soft max')": "classifier_activation to be None",
    "models.DeiT('test', input_tensor=3)": "input_tensor to be a tensor",
    "tasks.task_of(subclass())": "model with an input of known shape",
    "weights.layers_with_forms('x')": "model to be a keras.Model",
    "weights.to_timm(b'x', 'a.safetensors')": "model to be a keras.Model",
    "weights.imagenet_tag(np.empty(0))": "architecture to be a text",
    "weights.read_checkpoint(3)": "path to be the path",
    "weights.preprocess_input('x')": "images to be an array or a tensor of numbers",
    "weights.preprocess_input([[0.5]])": "images in the range",
    "weights.decode_predictions(np.full((1, 1000), NAN))": "predictions to be finite numbers",
    "data.sample_photos(10**9, (32, 32))": "count to be a whole number",
    "data.sample_photos(1, 32)": "image_size to be .height, width.",
    "data.sample_photos(1, (32, 32), seed=-1)": "seed to be a whole number",
    "data.is_folder(None)": "name to be the path",
    "data.open_source('digits', targets='label')": "targets to be a tuple",
    "data.resize_and_crop(np.zeros((8, 8, 3), 'u1'), (8, 8), 1e-9)": "crop, .* from 0.01",
    "data.resize_and_crop(np.zeros((8, 8, 3)), (8, 8))": "image of uint8",
    "data.resize_and_crop(np.zeros((1, 8, 8, 3), 'u1'), (8, 8))": "image of uint8",
    "data.resize_and_crop(10**30, (8, 8))": "image of uint8",
    "data.StepPlan(10, 1.5, 1, 32)": "batch_size to be a whole number",
    "data.StepPlan(10, 2, 1, '32')": "image_size to be a number, or",
    "data.StepPlan(10, 2, 1, 32, sizes=(1.5,))": "each of sizes to be a whole number",
    "data.Share(0.5)": "pipeline to be a whole number",
    "training.TrainSettings(sizes=3)": "sizes to be pixels",
    "training.recipe_settings('deit_in1k', width=None)": "width to be a number",
    "training.load_settings(())": "path to be the path",
    "training.read_history(__file__)": "the history.csv of a run",
    "training.evaluate('x', None)": "model to be a keras.Model",
    "export.load(keras.Sequential(), -1)": "labels to be a tuple",
    "export.load(keras.Sequential(), single_output='no')": "single_output to be True or False",
    "export.to_tflite(None, 'a.tflite', tolerance=0.5)": "tolerance to be an export.Tolerance",
    "export.to_coreml(None, 'a.mlpackage', tolerance=0.5)": "tolerance to be an export.Tolerance",
    "export.CoreMLModel('a.mlpackage', 'GPU')": "compute_units to be one of 'ALL', 'CPU_ONLY'",
    "export.CoreMLModel('a.mlpackage', ())": "compute_units to be one of",
    "benchmark.top_operators((), '2')": "count to be a whole number",
    "benchmark.roofline_files(True, 'x')": "paths to be several paths",
    "benchmark.benchmark_files('a.tflite')": "paths to be several",
    "benchmark.benchmark_coreml('a.mlpackage')": "paths to be several",
    "gpu.run_jobs_on_gpu(True)": "jobs to be several GpuJobs",
    "report.by_resolution({}, 'ms')": "at least one host",
    "report.accuracy_by_style({})": "at least one host",
    "delivery.folder_of('x', NAN)": "output_dir to be the path",
    "layers.to_patches(np.zeros((1, 8, 8, 1)), 10**30)": "patch_size to be a whole number",
    "layers.Resize(0, True)": "multiple to be a whole number",
    "layers.PadToMultiple(-2)": "multiple to be a whole number",
    "layers.Dropout(1)": "rate to be a number",
    "layers.GroupNorm1(-1.0)": "epsilon to be a finite number",
    "layers.LayerScale(NAN)": "initial_value to be a finite number",
    "layers.SplitTokens(-1)": "prefix to be a whole number",
    "layers.linear_initializer(0)": "fan_in to be a number",
    "layers.make_divisible(17, 0)": "divisor to be a whole number",
    "attention.SoftmaxAttention(16, gain=NAN)": "gain of SoftmaxAttention",
    "attention.TalkingHeadAttention(0, (8, 8))": "num_heads to be a whole number",
    "attention.SpatialReductionAttention(16, sr_ratio=0)": "sr_ratio to be a whole number",
}


@pytest.mark.parametrize("call", FOUND)
def test_what_the_fuzz_found_is_refused(call):
    parts = {part: importlib.import_module(f"keras_mobattn.{part}") for part in fuzz_functions.PARTS}
    with pytest.raises(InputError, match=f"Expected (an? |one )?{FOUND[call]}.*Received: "):
        eval(call, {**parts, "keras": keras, "np": np, "NAN": NAN, "subclass": subclass, "__file__": __file__})


@pytest.mark.parametrize("write", ["report.write_report", "report.write_markdown", "benchmark.save_json"])
def test_a_folder_is_not_lost_to_a_file(write, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.keras").touch()
    part, name = write.split(".")
    content = [] if part == "benchmark" else importlib.import_module("keras_mobattn.report").Report("a")
    function = getattr(importlib.import_module(f"keras_mobattn.{part}"), name)
    with pytest.raises(InputError, match="Expected the path of a file to write"):
        function(tmp_path / "run", content)
    assert (tmp_path / "run" / "model.keras").exists()


def test_a_table_of_reports_without_a_spread_is_written():
    report = export.CheckReport("a", "TFLite", "fp32", "a", 8, 0.0, 0.0, 90.0, None, 1000, 1.0)
    assert list(export.report_table([report]).columns[4].cells) == ["-"]


def test_a_folder_is_not_lost_to_a_package(tmp_path):
    (tmp_path / "a.mlpackage").mkdir()
    (tmp_path / "a.mlpackage" / "thesis.txt").touch()
    with pytest.raises(InputError, match="Expected the path of a package to write"):
        export.to_coreml(None, tmp_path / "a.mlpackage")
    assert (tmp_path / "a.mlpackage" / "thesis.txt").exists()
