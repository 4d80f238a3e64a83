"""Train any model with any attention on any tfds set or folder of images.

The command is keras_mobattn/commands/train.py; its flags: --help.
"""

from keras_mobattn.commands.train import run

if __name__ == "__main__":
    run()
