"""The ends of a run before its last step: by a signal, by numbers that are not finite, by a lost worker."""

import contextlib
import signal
import threading
from pathlib import Path


class Stopped(Exception):  # noqa: N818  no error: the run was told to stop, and did
    """The run saved a checkpoint and left because of a signal.

    `number` is the signal's, SIGTERM where another worker got it. `path` is the checkpoint.
    """

    def __init__(self, number: int, path: Path):
        super().__init__(f"{signal.Signals(number).name}: stopped at {path}")
        self.number = number
        self.path = path


class Diverged(ArithmeticError):  # noqa: N818
    """The loss or a gradient was not finite, and on_nan is "stop". The message says where, and what is left."""


class WorkerLost(RuntimeError):  # noqa: N818
    """Another worker of a multi-worker run is gone. A new process can go on once it is back."""


class SignalWatch:
    """Remembers the first SIGTERM or SIGINT that arrives inside `listening()`; a second SIGINT interrupts at once.

    Where the block ends without acting on a signal, that came too late, and it is sent again. Machines that can be
    taken back (preemptible ones, Slurm before a time limit) send SIGTERM and wait for some seconds.
    """

    def __init__(self):
        self.number = None

    @contextlib.contextmanager
    def listening(self):
        """Watch in this block. Outside of the main thread, where Python allows no handlers, nothing is caught."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        watched = {number for number, handler in before.items() if handler is not signal.SIG_IGN}  # not nohup's
        for number in watched:
            signal.signal(number, self._receive)
        try:
            yield
        finally:
            for number in watched:
                signal.signal(number, before[number])
        if self.number is not None:
            signal.raise_signal(self.number)

    def _receive(self, number, frame):
        if self.number is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.number = number
