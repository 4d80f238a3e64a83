"""Say what .tflite files hold, what XNNPACK takes of them, and whether a GPU runs them.

The command is keras_mobattn/commands/describe.py; its flags: --help.
"""

from keras_mobattn.commands.describe import run

if __name__ == "__main__":
    run()
