"""Time each attention style against the number of tokens: for 64 to 1024 pixels, a table, a plot and the slopes.

The command is keras_mobattn/studies/benchmark_resolution.py; its flags: --help.
"""

from keras_mobattn.studies.benchmark_resolution import run

if __name__ == "__main__":
    run()
