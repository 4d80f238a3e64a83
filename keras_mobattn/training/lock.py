"""One run in a folder at a time, whichever process on whichever machine asks.

On one machine the operating system's lock decides. Machines that share the folder see a lease, a file that its holder
renews every RENEW_SECONDS. Whoever comes second watches it, by a clock of its own, and takes it over when it was not
renewed for STALE_SECONDS, or at once when its process has ended on this machine. Both are filelock's.
"""

import contextlib
from pathlib import Path

import filelock

from keras_mobattn.errors import InputError

RENEW_SECONDS = 10
STALE_SECONDS = 60


class RunLock:
    """The right to write to a RunFolder, for as long as the `with` block lasts.

    An exception of `keep_on` ends the block with the lease kept: by WorkerLost, a worker starts itself again as a new
    program with the same process number, which takes the lease up. `say` is told in a sentence why it takes a while.

    Raises:
        InputError: another run has the folder; the message says which.
        OSError: the folder can't be made or written.
    """

    def __init__(self, folder, say=print, keep_on=(), renew_seconds=RENEW_SECONDS, stale_seconds=STALE_SECONDS):
        self._folder, self._say, self._keep_on = folder, say, keep_on
        self._renew, self._stale = renew_seconds, stale_seconds
        self._machine = filelock.FileLock(folder.path / ".lock", timeout=0)
        self._lease = filelock.SoftFileLease(
            folder.path / ".lease", lease_duration=stale_seconds, heartbeat_interval=renew_seconds
        )

    def __enter__(self):
        path = self._folder.path
        self._made = [each for each in (path, *path.parents) if not each.exists()]
        path.mkdir(parents=True, exist_ok=True)
        try:
            self._machine.acquire()
        except filelock.Timeout:
            self._refuse()
        try:
            self._take_lease()
        except BaseException:  # a refusal, or Ctrl-C in the minute of watching
            self._give_back()
            raise
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, self._keep_on):
            return
        self._lease.release()
        self._give_back()

    def _give_back(self):
        """Let the operating system's lock go, and remove its file and the empty folders that were made for it."""
        Path(self._machine.lock_file).unlink(missing_ok=True)  # still held: filelock sees that a file is gone
        self._machine.release()
        with contextlib.suppress(OSError):  # not empty
            for path in self._made:
                path.rmdir()

    @property
    def lost(self):
        """Whether another machine has taken the lease over, since this one had not renewed it in time."""
        return self._lease.compromise is not None

    def expect_held(self):
        """Raise InputError when the lease is lost."""
        if self.lost:
            raise InputError(
                f"Expected to be the only run in {self._folder.path}. Received: another one, {self._holder()}, which "
                f"took it over when this one had not answered for {self._stale} s. Stop one of them."
            )

    def _take_lease(self):
        if self._lease.is_lock_held_by_us:  # this process's, from before it started itself again
            self._lease.force_break()
        first = None
        while True:
            try:
                self._lease.acquire(timeout=0 if first is None else self._renew / 2)
                return
            except filelock.Timeout:
                renewed = self._renewed()
            if renewed is None:  # its holder has ended, or was given up as stale: nobody has it now
                continue
            if first is None:
                self._say(
                    f"Seeing whether {self._holder()} still trains in {self._folder.path}: up to {self._stale} s."
                )
                first = renewed
            elif renewed != first:
                self._refuse()

    def _renewed(self):
        """A number that changes when the holder renews its lease; None where there is no lease."""
        try:
            with open(self._lease.lock_file, "rb") as file:  # opened, so that a network's file system asks its server
                file.read()
            return (self._folder.path / ".lease").stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def _holder(self):
        owner = self._lease.owner
        return f"process {owner.pid} on {owner.hostname}" if owner else "another process"

    def _refuse(self):
        raise InputError(
            f"Expected a folder that no other run is writing to. Received: {self._folder.path}, where {self._holder()} "
            "is training. Wait until it ends, stop it, or take another folder."
        )
