"""Convert every model to Core ML and print one table: size, operations, transposes, agreement with Keras, and how long
the evaluator takes for an image.

The command is keras_mobattn/commands/tabulate_models.py; its flags: --help.
"""

from keras_mobattn.commands.tabulate_models import run

if __name__ == "__main__":
    run()
