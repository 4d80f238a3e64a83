"""Look at what training sees: a contact sheet of one step's images with their labels.

The command is keras_mobattn/commands/show_batch.py; its flags: --help.
"""

from keras_mobattn.commands.show_batch import run

if __name__ == "__main__":
    run()
