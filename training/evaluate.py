"""Report the accuracy of a trained model, of a file converted from it, or of a published checkpoint.

The command is keras_mobattn/commands/evaluate.py; its flags: --help.
"""

from keras_mobattn.commands.evaluate import run

if __name__ == "__main__":
    run()
