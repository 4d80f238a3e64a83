"""Time .tflite files on this machine: table on the screen, benchmark.json and benchmark.csv in the output folder.

The command is keras_mobattn/commands/benchmark_tflite.py; its flags: --help.
"""

from keras_mobattn.commands.benchmark_tflite import run

if __name__ == "__main__":
    run()
