"""Print the models and the attention styles with their parameters and multiply-accumulates.

`keras_mobattn.list_weights()` prints the published checkpoints.

python training/list_models.py
python training/list_models.py --image-size 224 --classes 10
"""

import rich.table

from keras_mobattn import ATTENTIONS, MobileViT, MobileViTv2, cli, count_macs
from keras_mobattn.models import PUBLISHED
from keras_mobattn.weights.tags import written_call

# Title of a table -> its rows: the arguments that a user would write, and the model that they make.
TABLES = {
    "Models with the attention of their papers": [
        (written_call(function.__name__, options), function, options) for function, options in PUBLISHED.values()
    ],
    "MobileViTv2(width=1.0) with each attention": [
        (f'attention="{style}"', MobileViTv2, {"attention": style}) for style in ATTENTIONS
    ],
    'MobileViT(variant="s") with each attention': [
        (f'attention="{style}"', MobileViT, {"attention": style}) for style in ATTENTIONS
    ],
}


def main(image_size: int = 256, classes: int = 1000) -> None:
    """Print parameters and MACs.

    Args:
        image_size: Height and width of the input in pixels, from 32 up.
        classes: Number of classes.
    """
    shape = (image_size, image_size, 3)
    cli.console.print(f"{image_size} x {image_size} pixels, {classes} classes")
    for title, rows in TABLES.items():
        table = rich.table.Table(title)
        table.add_column("parameters", justify="right")
        table.add_column("GMACs", justify="right")
        with cli.progress() as progress:
            for name, family, options in progress.track(rows, description="Counting"):
                model = family(input_shape=shape, classes=classes, **options)
                parameters = sum(weight.shape.num_elements() for weight in model.trainable_weights)
                table.add_row(name, f"{parameters:,}", f"{count_macs(model) / 1e9:.3f}")
        cli.console.print(table)


if __name__ == "__main__":
    cli.run(main)
