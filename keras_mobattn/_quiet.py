"""Keep the start-up chatter of native libraries off the user's screen.

TensorFlow's C++ side writes a few lines to file descriptor 2 before its own log level applies (oneDNN, CUDA probing),
so `TF_CPP_MIN_LOG_LEVEL` alone does not silence an import.
"""

import contextlib
import os
import sys
import tempfile


@contextlib.contextmanager
def quiet_stderr():
    """Hold back what is written to file descriptor 2; show it after all if the body raises."""
    try:
        sys.stderr.flush()
        saved = os.dup(2)
    except (
        OSError,
        AttributeError,
        ValueError,
    ):  # no stderr at all (pythonw, a closed descriptor): nothing to hold back
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
