"""Put benchmarks of this machine and of phones, of .tflite files and Core ML packages, side by side in one HTML page.

The command is keras_mobattn/commands/benchmark_report.py; its flags: --help.
"""

from keras_mobattn.commands.benchmark_report import run

if __name__ == "__main__":
    run()
