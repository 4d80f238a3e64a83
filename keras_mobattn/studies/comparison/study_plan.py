"""What the study compares, and the budget of every run."""

import dataclasses
import json
from pathlib import Path

from keras_mobattn.data import open_source
from keras_mobattn.errors import InputError, expect_name, expect_range
from keras_mobattn.families import FAMILIES
from keras_mobattn.files import read_json, write_json
from keras_mobattn.training import TrainSettings

HOSTS = ("DeiT", "PVTv2", "EfficientFormerV2", "MobileViTv2")  # the paper's three, and the family of the package
STYLES = {  # name -> fields of TrainSettings
    "own": {"attention": "own"},
    "separable": {"attention": "separable"},
    "mobile d=2": {"attention": "mobile", "head_dim": 2},
    "mobile d=8": {"attention": "mobile", "head_dim": 8},
    "mobile d=8, published": {"attention": "mobile_published", "head_dim": 8},
}
VARIANTS = {  # of "mobile": each without one part of the default form, or with another initial deviation
    f"mobile d={d}, {name}": {"attention": "mobile", "head_dim": d, **fields}
    for d in (2, 8)
    for name, fields in {
        "clipped": {"attention": "mobile_clipped"},
        "no competition": {"attention": "mobile_without_competition"},
        **{f"gain {gain}": {"gain": gain} for gain in (0.5, 1, 2, 3, 4, 6, 8)},  # deviation gain / sqrt(dim)
    }.items()
}
# Plain attention in the place of a host's own, to tell EfficientFormerV2's attention from its surroundings.
VARIANTS["softmax"] = {"attention": "softmax"}


@dataclasses.dataclass(frozen=True)
class Stage:
    """A training of the study."""

    fields: dict[str, object]  # of TrainSettings
    epochs: int
    after: str | None = None  # the stage whose weights it starts from
    sides: tuple[int, ...] = ()  # image sizes at which SIDE_IMAGES test images are evaluated too, without more training


# The scenes alone teach little, so they start from the weights of the crops (docs/measurements.md).
STAGES = {
    "crops": Stage({"dataset": "digit_crops", "image_size": 32, "augment": "none"}, epochs=2),
    "scenes": Stage({"dataset": "digit_scenes", "image_size": 96, "augment": "none"}, epochs=1, after="crops"),
    "fashion": Stage(
        {"dataset": "fashion_mnist_quarter", "image_size": 64, "augment": "zoom"}, epochs=1, sides=(48, 64, 96, 128)
    ),
}
EPOCHS = tuple(stage.epochs for stage in STAGES.values())
SIDE_IMAGES = 1000
# MobileViTv2's steps are so slow that three stages would double the study's time; and with images of 32 pixels its last
# two attention blocks have a single token.
FEWER_STAGES = {"MobileViTv2": ("fashion",)}
# Trained only if they are asked for by name: with these the study would take more than three hours of two cores.
LEFT_OUT = {"EfficientFormerV2": ("mobile d=2",), "MobileViTv2": ("mobile d=2",)}
# Small batches teach more in the same epochs, and a large learning rate teaches nothing (docs/measurements.md).
COMMON = {"learning_rate": 5e-4, "batch_size": 16, "warmup_epochs": 0.5, "label_smoothing": 0.0, "clip_norm": 1.0}
PLAN = "plan.json"


@dataclasses.dataclass(frozen=True)
class StudyPlan:
    """What all runs in one folder share."""

    variant: str
    stages: tuple[str, ...]
    epochs: tuple[int, ...]  # of each stage
    data_dir: str | None = None

    def check(self, hosts, styles, seeds, sides):
        """Raise InputError for what no run can use."""
        styles = tuple(STYLES) if styles is None else styles
        if len(self.epochs) != len(self.stages) or min(self.epochs, default=1) < 1:
            raise InputError(
                f"Expected epochs for {', '.join(self.stages)}, each 1 or more. Received: "
                f"{' '.join(map(str, self.epochs)) or 'none'}."
            )
        for name, values in {"hosts": hosts, "styles": styles, "seeds": seeds, "stages": self.stages}.items():
            if len(set(values)) < len(values):
                raise InputError(f"Expected each of {name} once. Received: {' '.join(map(str, values))}.")
        for host in hosts:
            self._check_variant(host)
        trained = any(self.stages_of(host) for host in hosts) and seeds
        timed = sides and set(styles) & set(STYLES)
        if not hosts or not styles or not (trained or timed):
            raise InputError(
                "Expected something to do: at least one host, one style, and a seed with a stage that the host is "
                "trained in, or a side with a style that is timed. Received: none."
            )
        for seed in seeds:
            expect_range("each of seeds", seed, 0, whole=True)
        for stage in self.stages:
            before = STAGES[stage].after
            if before and before not in self.stages[: self.stages.index(stage)]:
                raise InputError(
                    f"Expected the stage {before} before {stage}, which starts from its weights. "
                    f"Received: {' '.join(self.stages)}."
                )
        for side in sides:
            expect_range("each of sides", side, 32, whole=True)

    def _check_variant(self, host):
        family = FAMILIES[host]
        known = [*family.small, *(each.arguments.get("variant") for each in family.variants.values())]
        if self.variant != "nano":
            expect_name([each for each in dict.fromkeys(known) if each], self.variant, f"variant of {host}")

    def settings(self, host, style, seed):
        """{stage: TrainSettings} of one run; in stages after another one the weights to start from are still
        missing."""
        fields = {name: value for name, value in {**VARIANTS, **STYLES}[style].items() if name != "gain"}
        fields |= {**host_fields(host, self.variant), **COMMON, "seed": seed, "data_dir": self.data_dir}
        return {
            stage: TrainSettings(**fields, **STAGES[stage].fields, epochs=epochs)
            for stage, epochs in zip(self.stages, self.epochs, strict=True)
            if stage in self.stages_of(host)
        }

    def stages_of(self, host):
        """The stages of the plan in which this host is trained."""
        return tuple(stage for stage in self.stages if stage in FEWER_STAGES.get(host, self.stages))

    def job(self, host, style, seed, folder, num_threads):
        """The arguments of `python -m keras_mobattn.studies.comparison` for one run, with a folder in `folder`."""
        name = f"{host}-{style}-{seed}".replace(" ", "-").replace("=", "").replace(",", "")
        job = {"host": host, "style": style, "seed": seed, "folder": str(folder / name), "num_threads": num_threads}
        return {"plan": dataclasses.asdict(self), **job}

    def claim(self, folder):
        """Write the plan into `folder`, or check that the runs there have the same plan.

        Raises:
            InputError: the folder has runs of another plan.
        """
        path = Path(folder) / PLAN
        stages = {
            stage: {**dataclasses.asdict(STAGES[stage]), "epochs": epochs}
            for stage, epochs in zip(self.stages, self.epochs, strict=True)
        }
        plan = json.loads(json.dumps({"variant": self.variant, "common": COMMON, "stages": stages}))
        there = read_json(path, plan)
        if there != plan:
            raise InputError(
                f"Expected the plan of the runs in {folder}: {json.dumps(there)}. Received: {json.dumps(plan)}. Give "
                "the same --variant, --stages and --epochs, or another --output-dir."
            )
        write_json(path, plan)

    def prepare(self):
        """Draw the images of every stage, before two processes do it at once."""
        for stage in self.stages:
            open_source(STAGES[stage].fields["dataset"], self.data_dir)


def host_fields(host, variant):
    """Fields of TrainSettings for the host in this size; a family without "nano" has its default: MobileViTv2 0.5."""
    return {"model": host, "variant": variant if variant in FAMILIES[host].small or variant != "nano" else None}


def styles_of(host, styles=None):
    """The styles that differ in this host: "own" is left out if it is another one of `styles`.

    With None they are all STYLES that the study has time for.
    """
    if styles is None:
        styles = tuple(style for style in STYLES if style not in LEFT_OUT.get(host, ()))
    own = {"attention": FAMILIES[host].attention}
    twice = any(STYLES.get(style) == own for style in styles if style != "own")
    return tuple(style for style in styles if style != "own" or not twice)


def timed_styles_of(host, styles=None):
    """The styles of `styles_of` that are timed too; variants and softmax are only trained."""
    return tuple(style for style in styles_of(host, styles) if style in STYLES)
