"""Get a driver for the GPU accelerator, unless one is there: `python -m keras_mobattn.gpu` (`make gpu`)."""

import sys

from keras_mobattn import cli
from keras_mobattn.errors import InputError
from keras_mobattn.gpu import driver
from keras_mobattn.gpu.probe import probe


def main():
    """Get a driver for the GPU accelerator, unless one is there."""
    if probe()[0] and sys.platform == "linux" and not driver.swiftshader():
        driver.fetch()
        probe.cache_clear()
    problem, adapter = probe()
    if problem:
        raise InputError(problem)
    print(f"The GPU accelerator runs here, on {adapter}.")


if __name__ == "__main__":
    cli.run(main)
