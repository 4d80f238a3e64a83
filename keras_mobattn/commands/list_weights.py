"""Print the published checkpoints that `--weights` takes: figures, preparation of images, sources, licences.

mobattn weights
"""

from keras_mobattn import cli


def main():
    """Print the published checkpoints that --weights takes."""
    from keras_mobattn.weights import list_weights

    list_weights()


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
