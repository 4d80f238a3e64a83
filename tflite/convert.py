"""Convert a Keras model to TFLite and check every file against Keras: one table.

The command is keras_mobattn/commands/convert_tflite.py; its flags: --help.
"""

from keras_mobattn.commands.convert_tflite import run

if __name__ == "__main__":
    run()
