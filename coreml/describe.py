"""Say what .mlpackage folders hold, what speaks against the Neural Engine, and on a Mac where operations would run.

The command is keras_mobattn/commands/describe.py; its flags: --help.
"""

from keras_mobattn.commands.describe import run

if __name__ == "__main__":
    run()
