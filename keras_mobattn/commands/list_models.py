"""Print the models and the attention styles with their parameters and multiply-accumulates.

`keras_mobattn.list_weights()` prints the published checkpoints.

python training/list_models.py
python training/list_models.py --image-size 224 --classes 10
"""

import rich.table

from keras_mobattn import cli
from keras_mobattn.attention import ATTENTIONS, OWN
from keras_mobattn.models import MODELS, PUBLISHED, count_macs
from keras_mobattn.weights.tags import written_call

EXAMPLES = {  # model function -> the arguments of one model, which is shown with each attention
    "MobileViTv2": {"width": 1.0},
    "MobileViT": {"variant": "s"},
    "DeiT": {"variant": "tiny"},
    "PVTv2": {"variant": "b0"},
    "EfficientFormerV2": {"variant": "s0"},
}

# Title of a table -> its rows: the arguments that a user would write, and the model that they make.
TABLES = {
    "Models with the attention of their papers": [
        (written_call(function.__name__, options), function, options) for function, options in PUBLISHED.values()
    ],
    **{
        f"{written_call(name, options)} with each attention": [
            (f'attention="{style}"', MODELS[name], {**options, "attention": style}) for style in (OWN, *ATTENTIONS)
        ]
        for name, options in EXAMPLES.items()
    },
}


def main(image_size: int | None = None, classes: int = 1000) -> None:
    """Print parameters and MACs.

    Args:
        image_size: Height and width of the input in pixels, from 32 up; each model's default size when left out.
        classes: Number of classes.
    """
    shape = None if image_size is None else (image_size, image_size, 3)
    for title, rows in TABLES.items():
        table = rich.table.Table(title)
        table.add_column("pixels", justify="right")
        table.add_column("parameters", justify="right")
        table.add_column("GMACs", justify="right")
        with cli.progress() as progress:
            for name, family, options in progress.track(rows, description="Counting"):
                model = family(input_shape=shape, classes=classes, **options)
                parameters = sum(weight.shape.num_elements() for weight in model.trainable_weights)
                table.add_row(name, str(model.input_shape[1]), f"{parameters:,}", f"{count_macs(model) / 1e9:.3f}")
        cli.console.print(table)


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
