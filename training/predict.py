"""Say what is in images: the best classes of a published checkpoint, or of a model of your own.

The command is keras_mobattn/commands/predict.py; its flags: --help.
"""

from keras_mobattn.commands.predict import run

if __name__ == "__main__":
    run()
