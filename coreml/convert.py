"""Convert a Keras model to Core ML (.mlpackage) and check every package against Keras, on any system: one table.

The command is keras_mobattn/commands/convert_coreml.py; its flags: --help.
"""

from keras_mobattn.commands.convert_coreml import run

if __name__ == "__main__":
    run()
