"""Train, convert, verify, time and report on embedded images, in a few minutes.

    mobattn demo

Trains MobileViTv2 0.5 with Mobile-Attention on scikit-learn's handwritten digits, converts it to TFLite and Core ML,
proves each file against Keras on test images, times every attention style on this machine, and writes one HTML page.
"""

from pathlib import Path

from keras_mobattn import cli
from keras_mobattn.commands.train import DIVERGED
from keras_mobattn.run_folder import RunFolder
from keras_mobattn.settings import TrainSettings


def main(output_dir: Path | None = None, settings: TrainSettings = TrainSettings()) -> int:  # noqa: B008  frozen
    """Train on real images, convert to TFLite and Core ML, verify, time every attention style, and write a report.

    Args:
        output_dir: A new folder; default the first free one of runs/demo, runs/demo-2, ...
        settings: How to train.
    """
    from keras_mobattn.studies.demo import demo
    from keras_mobattn.training import Diverged, Stopped

    try:
        demo(output_dir, settings)
    except Diverged as error:
        return cli.complain(f"{error} mobattn train has these flags.", DIVERGED)
    except Stopped as stopped:
        run = RunFolder(stopped.path.parent.parent)
        above = RunFolder(run.path.parent)
        run = above if above.is_run and above.head == run else run
        cli.say(
            f"Stopped while it trained; saved as {stopped.path}. To end the training: mobattn train --resume {run.path}"
        )
        return 128 + stopped.number  # as the shell reports it
    return 0


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
