"""Train MobileViT or MobileViTv2 with any attention on any tfds set or folder of images.

python training/train.py --output-dir runs/digits
python training/train.py --dataset photos/ --attention separable --image-size 128 --output-dir runs/photos
python training/train.py --resume runs/digits
"""

from pathlib import Path

from keras_mobattn import InputError, cli
from keras_mobattn.models import RUN_SETTINGS
from keras_mobattn.training import TrainSettings, load_settings, train


def main(settings: TrainSettings, output_dir: Path | None = None, resume: Path | None = None) -> None:
    """Train a model with Keras `fit`; one folder holds everything that comes of it.

    Args:
        settings: How to train.
        output_dir: The folder of the run; default runs/DATASET-ATTENTION.
        resume: The folder of an earlier run, to go on after its last whole epoch with its settings; no other flag
        counts.
    """
    if resume is not None and (output_dir is not None or settings != TrainSettings()):
        raise InputError(
            "--resume goes on with the settings of its run. Received: other flags beside it. Leave them out."
        )
    folder = resume or output_dir or Path("runs") / f"{Path(settings.dataset).name}-{settings.attention}"
    settings = load_settings(folder / RUN_SETTINGS) if resume else settings
    try:
        result = train(settings, folder, resume=resume is not None, verbose=cli.fit_verbosity())
    except KeyboardInterrupt:
        cli.console.print(f"\nInterrupted. Go on after the last whole epoch with --resume {folder}")
        raise
    cli.console.print(
        f"Test accuracy {100 * result['test_accuracy']:.2f} % on {result['num_examples']['test']} images after "
        f"{result['epochs']} epochs, {result['seconds']:.0f} s. Everything is in {folder}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    cli.run(main)
