"""Time whole training steps: forward, loss, backward, optimizer, averages, as training/train.py runs them.

The command is keras_mobattn/commands/benchmark_step.py; its flags: --help.
"""

from keras_mobattn.commands.benchmark_step import run

if __name__ == "__main__":
    run()
