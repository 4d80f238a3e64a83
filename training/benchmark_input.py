"""Time the training data: images per second on one core for each augmentation, and what its parts take.

The command is keras_mobattn/commands/benchmark_input.py; its flags: --help.
"""

from keras_mobattn.commands.benchmark_input import run

if __name__ == "__main__":
    run()
