"""Print models and attention styles with their parameters and multiply-accumulates.

    mobattn models
    mobattn models --image-size 224 --classes 10

`mobattn weights` prints the published checkpoints.
"""

import rich.table

from keras_mobattn import cli
from keras_mobattn.catalog import ATTENTIONS, OWN
from keras_mobattn.families import FAMILIES
from keras_mobattn.families.family import written_call


def tables():
    """{title of a table: its rows}; a row is (the arguments as a user writes them, the model function, its options)."""
    made = {"Models with the attention of their papers": []}
    for family in FAMILIES.values():
        for name, variant in family.variants.items():
            call = written_call(family.name, variant.arguments)
            made["Models with the attention of their papers"].append((call, family.build, variant.arguments))
            if name == family.example:
                made[f"{call} with each attention"] = [
                    (f'attention="{style}"', family.build, {**variant.arguments, "attention": style})
                    for style in (OWN, *ATTENTIONS)
                ]
    return made


def main(image_size: int | None = None, classes: int = 1000) -> None:
    """Print parameters and MACs.

    Args:
        image_size: Height and width of the input in pixels, from 32 up; each model's default size when left out.
        classes: Number of classes.
    """
    from keras_mobattn.models import count_macs

    shape = None if image_size is None else (image_size, image_size, 3)
    for title, rows in tables().items():
        table = rich.table.Table(title)
        table.add_column("pixels", justify="right")
        table.add_column("parameters", justify="right")
        table.add_column("GMACs", justify="right")
        with cli.progress() as progress:
            for name, build, options in progress.track(rows, description="Counting"):
                model = build(input_shape=shape, classes=classes, **options)
                parameters = sum(weight.shape.num_elements() for weight in model.trainable_weights)
                table.add_row(name, str(model.input_shape[1]), f"{parameters:,}", f"{count_macs(model) / 1e9:.3f}")
        cli.console.print(table)


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
