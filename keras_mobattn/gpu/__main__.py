"""Get a driver for the GPU accelerator, unless one is there: `python -m keras_mobattn.gpu` (`make gpu`)."""

import sys

from keras_mobattn import cli
from keras_mobattn.errors import InputError
from keras_mobattn.gpu import driver, llvmpipe
from keras_mobattn.gpu.probe import probe


def main(half: bool = False):
    """Get a driver for the GPU accelerator, unless one is there.

    Args:
        half: one that computes float16 as such, for what half precision does to the numbers; such as a GPU's own.
    """
    fetch, fetched = (llvmpipe.fetch, llvmpipe.llvmpipe) if half else (driver.fetch, driver.swiftshader)
    if probe(half)[0] and sys.platform == "linux" and not fetched():
        fetch()
        probe.cache_clear()
    problem, adapter = probe(half)
    if problem:
        raise InputError(problem)
    print(f"The GPU accelerator runs here{', with real float16' if half else ''}, on {adapter}.")


if __name__ == "__main__":
    cli.run(main)
