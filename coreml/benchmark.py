"""Time .mlpackage folders on this Mac or an iPhone on its USB port: table on the screen, JSON and CSV in a folder.

The command is keras_mobattn/commands/benchmark_coreml.py; its flags: --help.
"""

from keras_mobattn.commands.benchmark_coreml import run

if __name__ == "__main__":
    run()
