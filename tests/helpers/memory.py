"""What tests give back."""

import contextlib
import ctypes
import gc
import platform


@contextlib.contextmanager
def forgetting_gradients():
    """Let go of the graphs that the body traced or loaded: TensorFlow keeps each by the custom gradients in it, so that
    a process would grow without end."""
    from tensorflow.python.framework.ops import gradient_registry  # after our package, which imports it quietly

    before = set(gradient_registry.list())
    yield
    for name in set(gradient_registry.list()) - before:
        if name.startswith("CustomGradient-"):  # others are registered by a module as it is imported
            del gradient_registry._registry[name]
    release_memory()


def release_memory():
    """Give back what is free. glibc keeps it, in pieces: models of full size, one after the other, took 9 GB."""
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
