"""Keep the start-up chatter of native libraries off the user's screen.

TensorFlow's C++ side writes a few lines to file descriptor 2 before its own log level applies (oneDNN, CUDA probing),
so `TF_CPP_MIN_LOG_LEVEL` alone does not silence an import.
"""

import contextlib
import io
import logging
import os
import sys
import tempfile
import warnings

from keras_mobattn._packages import needs

NOISY = "optimize_repeat_ops.py"  # of coremltools 9.0: casts int32's range to float16 to compare it, which overflows


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


def import_coremltools():
    """Import coremltools without what it says of TensorFlow's version, of scikit-learn's, and of not being on macOS."""
    needs("coremltools")
    with quiet_stderr():
        import coremltools

        return coremltools


@contextlib.contextmanager
def coremltools_messages():
    """Keep what coremltools writes off the screen, also its progress bars in a notebook; yield a list that holds its
    warnings once the body has ended."""
    messages, logged = [], []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: logged.append(record.getMessage())
    logging.getLogger("coremltools").addHandler(handler)
    try:
        bars = contextlib.redirect_stderr(io.StringIO())  # where sys.stderr is not descriptor 2
        with quiet_stderr(), bars, warnings.catch_warnings(record=True) as caught:
            yield messages
    finally:
        logging.getLogger("coremltools").removeHandler(handler)
    real = [each for each in caught if each.category in (UserWarning, RuntimeWarning) and NOISY not in each.filename]
    messages += [*logged, *(str(each.message) for each in real)]
