"""Time .tflite files on an Android phone over adb: table on the screen, benchmark.json and benchmark.csv in a folder.

The command is keras_mobattn/commands/benchmark_android.py; its flags: --help.
"""

from keras_mobattn.commands.benchmark_android import run

if __name__ == "__main__":
    run()
