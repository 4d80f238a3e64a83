"""`python -m keras_mobattn.demo`: the demo, which is keras_mobattn/studies/demo.py."""

from keras_mobattn.studies.demo import run

if __name__ == "__main__":
    run()
