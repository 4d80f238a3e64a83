"""Train vision transformers with their own attention and with others, under one budget: accuracy, latency, memory.

The command is keras_mobattn/studies/compare_attention.py; its flags: --help.
"""

from keras_mobattn.studies.compare_attention import run

if __name__ == "__main__":
    run()
