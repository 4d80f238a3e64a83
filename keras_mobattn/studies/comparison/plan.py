"""What is compared, and the budget that every run gets: tables."""

import dataclasses
import json
from pathlib import Path

from keras_mobattn.data import open_source
from keras_mobattn.errors import InputError, expect_range
from keras_mobattn.files import read_json, write_json
from keras_mobattn.training import TrainSettings

HOSTS = ("DeiT", "PVTv2", "EfficientFormerV2")  # the paper's; any of models.MODELS can be named
STYLES = {  # name -> fields of TrainSettings
    "own": {"attention": "own"},
    "mobile d=2": {"attention": "mobile", "head_dim": 2},
    "mobile d=8": {"attention": "mobile", "head_dim": 8},
    "mobile d=16": {"attention": "mobile", "head_dim": 16},
    "separable": {"attention": "separable"},
}
# Stage -> fields of TrainSettings. Each starts from the weights of the one before: the scenes alone teach little. The
# learning rate matters: with 1e-3 DeiT was at 10 % on crops after 20 000 images. A start on `digits` is no help: with
# 1e-3 it kept PVTv2 at chance for 60 000 images.
STAGES = {
    "crops": {"dataset": "digit_crops", "image_size": 32, "learning_rate": 5e-4},
    "scenes": {"dataset": "digit_scenes", "image_size": 96, "learning_rate": 5e-4},
}
EPOCHS = (2, 1)  # of the stages
# Small batches: with 64, 32 and 16 images EfficientFormerV2 was at 22, 31 and 38 % on scenes, DeiT with "mobile"
# at 30, 37 and 40 % on crops, and they took 1 to 1.3 times as long.
COMMON = {"augment": "none", "batch_size": 16, "warmup_epochs": 0.5, "label_smoothing": 0.0, "clip_norm": 1.0}
PLAN = "plan.json"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What all runs in one folder share."""

    variant: str
    epochs: tuple[int, ...]
    data_dir: str | None = None

    def check(self, hosts, styles, seeds, sides):
        """Raise InputError for what no run can use."""
        if len(self.epochs) != len(STAGES) or min(self.epochs) < 1:
            raise InputError(
                f"Expected epochs for {', '.join(STAGES)}: {len(STAGES)} numbers of 1 or more. Received: "
                f"{' '.join(map(str, self.epochs)) or 'none'}."
            )
        if not hosts or not styles or not (seeds or sides):
            raise InputError("Expected at least one host, one style, and a seed or a side. Received: none.")
        for side in sides:
            expect_range("each of sides", side, 32, whole=True)

    def stages(self, host, style, seed):
        """[(name, TrainSettings)] of one run; all but the first still lack the weights to start from."""
        return [
            (
                stage,
                TrainSettings(
                    model=host, variant=self.variant, seed=seed, epochs=epochs, data_dir=self.data_dir,
                    **STYLES[style], **COMMON, **fields,
                ),
            )
            for (stage, fields), epochs in zip(STAGES.items(), self.epochs, strict=True)
        ]  # fmt: skip

    def job(self, host, style, seed, folder, num_threads):
        """The arguments of `python -m keras_mobattn.studies.comparison` for one run, with a folder in `folder`."""
        name = f"{host}-{style}-{seed}".replace(" ", "-").replace("=", "")
        job = {"host": host, "style": style, "seed": seed, "folder": str(folder / name), "num_threads": num_threads}
        return {"plan": dataclasses.asdict(self), **job}

    def claim(self, folder):
        """Write the plan into `folder`, or see that what is there came of the same one.

        Raises:
            InputError: the folder has runs of another plan.
        """
        path = Path(folder) / PLAN
        plan = {"variant": self.variant, "common": COMMON, "stages": {}}
        for (stage, fields), epochs in zip(STAGES.items(), self.epochs, strict=True):
            plan["stages"][stage] = {**fields, "epochs": epochs}
        there = read_json(path, plan)
        if there != plan:
            raise InputError(
                f"Expected the plan of the runs in {folder}: {json.dumps(there)}. Received: {json.dumps(plan)}. Give "
                "the same --variant and --epochs, or another --output-dir."
            )
        write_json(path, plan)

    def prepare(self):
        """Draw the images of every stage, which two processes would else do at once."""
        for fields in STAGES.values():
            open_source(fields["dataset"], self.data_dir)
