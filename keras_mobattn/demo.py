"""`python -m keras_mobattn.demo`: the demo, which is keras_mobattn/commands/demo.py."""

from keras_mobattn.commands.demo import run

if __name__ == "__main__":
    run()
