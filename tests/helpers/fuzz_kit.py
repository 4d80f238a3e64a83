"""What fuzz_functions.py gives to functions: models of every kind with the range that they take, images, files."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras as keras
from PIL import Image

import keras_mobattn
from helpers.made_up_rows import example_rows
from helpers.small_models import small_model
from keras_mobattn import benchmark, data, delivery, export, report, training
from keras_mobattn.describe import describe_coreml, describe_tflite
from keras_mobattn.layers import InputRange, global_policy
from keras_mobattn.models import load_model
from keras_mobattn.run_folder import RunFolder

SIZE = (32, 40)  # not square, so that a swap shows; no side below 32, the smallest of this package's models
PIXELS, UNIT, SIGNED = (1.0, 0.0), (1 / 255, 0.0), (1 / 127.5, -1.0)  # what pixels are multiplied by, and shifted by
IMAGENET = (1 / (255 * np.float32([0.229, 0.224, 0.225])), -np.float32([0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225])


@dataclasses.dataclass(frozen=True)
class Fresh:
    """A value that each case makes anew: it is used up, or changed."""

    make: Callable


def bare(outputs, channels=3, before=(), size=SIZE, **options):
    """A model of one's own whose layers don't say its range, unless `before` has one that does."""
    image = keras.Input((*size, channels), **options)
    x = image
    for layer in before:
        x = layer(x)
    x = keras.layers.Conv2D(6, 3, 2, "same", activation="relu")(x)
    return keras.Model(image, outputs(keras.layers.BatchNormalization()(x)))


def pooled(units, activation, name=None):
    """A head on the mean of a map."""

    def head(x):
        x = keras.layers.GlobalAveragePooling2D()(x) if x.shape.rank == 4 else x
        return keras.layers.Dense(units, activation, name=name)(x)

    return head


def _models():
    """{name: (model, (scale, bias) of its range or None where nobody knows)} of those that can be exported."""
    softmax, shape = pooled(3, "softmax"), {"input_shape": (*SIZE, 3)}
    mobile = {"width": 0.25, "attention": "mobile", "variant": "test", "classes": 3}
    models = {
        "ours": (keras_mobattn.MobileViTv2(**mobile, **shape), PIXELS),
        "ours without preprocessing": (keras_mobattn.MobileViTv2(**mobile, include_preprocessing=False, **shape), UNIT),
        "ImageNet's range": (keras_mobattn.DeiT("test", classes=3, include_preprocessing=False, **shape), IMAGENET),
        "features": (keras_mobattn.PVTv2("test", include_top=False, **shape), PIXELS),
        "Rescaling": (small_model(size=SIZE), PIXELS),
        "InputRange": (bare(softmax, before=[InputRange(*SIGNED)]), SIGNED),
        "no range": (bare(softmax), None),
        "logits": (bare(pooled(4, None), before=[InputRange(*UNIT)]), UNIT),
        "one sigmoid": (bare(pooled(1, "sigmoid"), before=[InputRange(*UNIT)]), UNIT),
        "several outputs": (
            bare(lambda x: [pooled(3, "softmax", "a")(x), pooled(2, None, "b")(x)], before=[InputRange(*UNIT)]), UNIT
        ),
        "grey": (bare(softmax, 1, [InputRange(*UNIT)]), UNIT),
        "five channels": (bare(softmax, 5), PIXELS),
        "batch of one": (bare(softmax, before=[InputRange(*UNIT)], batch_size=1), UNIT),
    }  # fmt: skip
    with global_policy("mixed_float16"):
        models["mixed"] = bare(softmax, before=[keras.layers.Rescaling(1 / 255)]), PIXELS
    frozen = bare(softmax, before=[InputRange(*UNIT)])
    for layer in frozen.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    models["frozen norms"] = frozen, UNIT
    for seed, (model, _) in enumerate(models.values()):
        keras_mobattn.randomize_weights(model, seed)
    return models


def _odd_models():
    """Models that can't be exported."""

    class Subclass(keras.Model):
        def call(self, x):
            return x

    broken, constant = (bare(pooled(3, "softmax"), before=[InputRange(*UNIT)]) for _ in range(2))
    broken.set_weights([weight * np.float32("nan") for weight in broken.get_weights()])
    constant.set_weights([weight * 0 for weight in constant.get_weights()])
    one, two = keras.Input((*SIZE, 3)), keras.Input((*SIZE, 3))
    return {
        "NaN weights": broken,
        "the same for all": constant,
        "open size": bare(pooled(3, "softmax"), before=[InputRange(*UNIT)], size=(None, None)),
        "two inputs": keras.Model([one, two], one + two),
        "tokens": keras.Sequential([keras.Input((9, 8)), keras.layers.Dense(4)]),
        "not built": keras.Sequential([keras.layers.Dense(4)]),
        "subclass": Subclass(),
        "batch of two": bare(pooled(3, "softmax"), before=[InputRange(*UNIT)], batch_size=2),
        "nested": keras.Model(one, {"a": [one, one], "b": one}),
    }


def make_files(folder):
    """A folder of photographs, a run on it as if it were trained, and its files."""
    photos, run, rng = folder / "photos", RunFolder(folder / "run"), np.random.default_rng(0)
    for name in ("cat", "dog"):
        (photos / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(photos / name / f"{i}.png")
    settings = training.TrainSettings(
        dataset=str(photos), variant="test", width=0.25, image_size=32, epochs=1, batch_size=4, augment="none"
    )
    run.write_start(settings, settings.open_source())
    run.write_result({"test_accuracy": 0.5, "num_examples": {"train": 8, "test": 4}})
    run.history_file.write_text("epoch,loss\n1,2.5\n", encoding="utf-8")
    model = keras_mobattn.randomize_weights(
        keras_mobattn.MobileViTv2(0.25, "mobile", "test", input_shape=(32, 32, 3), classes=2)
    )
    model.save(run.model_file)
    small = small_model(pooled(2, "softmax"), (32, 32))
    export.to_tflite(small, folder / "a.tflite")
    export.to_coreml(small, folder / "a.mlpackage")
    return [str(folder / name) for name in ("photos", "run", "a.tflite", "a.mlpackage", "photos/cat/0.png")]


@dataclasses.dataclass
class Kit:
    """All of it, made once."""

    folder: object

    def __post_init__(self):
        self.photos, self.run, self.tflite, self.coreml, self.image = make_files(self.folder)
        self.keras_file = f"{self.run}/model.keras"
        self.models, self.odd_models = _models(), _odd_models()
        self.own_models = [model for model, _ in self.models.values()]
        self.backbone = keras_mobattn.MobileViTv2(variant="test", include_top=False, input_shape=(64, 64, 3))
        self.detector = keras_mobattn.SSDLite(self.backbone, 3)
        self.segmenter = keras_mobattn.LRASPP(self.backbone, 3)
        self.source = data.open_source(self.photos)
        self.settings = training.load_settings(self.run + "/settings.json")
        self.file_models = {suffix: kind(getattr(self, name)) for (suffix, kind), name in
                            zip(export.FILE_MODELS.items(), ("tflite", "coreml"), strict=True)}  # fmt: skip
        self.rows = example_rows()
        self.check = export.CheckReport("a.tflite", "TFLite", "fp32", "a", 8, 1e-6, 0.0, 90.0, None, 1000, 1.0)
        row = delivery.Row("TFLite", "fp32", "a.tflite", missing={"score": "why"})
        made = ("accuracy", 4, 4, "chip", None, 1, "image", "2026")
        self.delivery = delivery.Delivery("a", *made, (row, dataclasses.replace(row, error="It failed.")))
        table = report.Table(("a", "b"), ((1, "x"), (2.5, None)))
        figure = report.Figure(report.learning_curves({"loss": [2.0, 1.0]}), "curves")
        self.saved = [str(self.folder / name) for name in ("rows.json", "delivery.json")]
        benchmark.save_json(self.saved[0], self.rows)
        delivery.save_delivery(self.saved[1], self.delivery)
        self.report = report.Report("é", "b", (("c", "1"),), (report.Section("d", "e", (figure,), table, "code"),))
        self.source_of = functools.cache(lambda name: export.load(self.models[name][0]))
        self.plan = data.StepPlan(10, 4, 2, 32)

    @functools.cached_property
    def described(self):
        """The descriptions of both files, by the kind of file."""
        return {"tflite": describe_tflite(self.tflite, execute_on_gpu=False), "coreml": describe_coreml(self.coreml)}

    @functools.cached_property
    def published(self):
        """A model that timm has."""
        return keras_mobattn.MobileViTv2(0.25, "separable", "test", input_shape=(32, 32, 3))

    @functools.cached_property
    def checkpoint(self):
        """A .safetensors file of a model of ours."""
        keras_mobattn.weights.to_timm(self.published, self.folder / "a.safetensors")
        return str(self.folder / "a.safetensors")

    def reloaded(self):
        """A model that the case may change."""
        return load_model(self.keras_file)


@functools.cache
def photos(count, seed):
    """Photographs of SIZE."""
    return np.float32(data.sample_photos(count, SIZE, seed))


def images_in(scale, bias, count=6, seed=5, channels=3):
    """Photographs in the range of a model."""
    return np.float32(photos(count, seed)[..., np.arange(channels) % 3] * scale + bias)


def forms_of(images):
    """The same images as TensorFlow's users have them."""
    pairs = tf.data.Dataset.from_tensor_slices((images, np.zeros(len(images))))
    return [
        images, list(images), pairs.batch(4), Fresh(lambda: iter(images)), lambda: ([image[None]] for image in images),
        tf.constant(images), {"image": images}.values(),
    ]  # fmt: skip
