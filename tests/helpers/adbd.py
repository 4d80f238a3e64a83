"""A phone to test with: Debian's adbd, adb's real daemon, on this machine in a network namespace of its own.

    python tests/helpers/adbd.py        # downloads it now, for tests without a network later

The daemon is an open root shell, hence the namespace: nothing outside can reach it, and the adb server beside it is
none that a user runs. It is Debian 13's, with every library that it needs, unpacked into the user's cache; nothing is
installed.
"""

import contextlib
import ctypes
import fcntl
import functools
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import adbutils

from keras_mobattn import _debian as debian
from keras_mobattn.errors import InputError
from keras_mobattn.files import replacing

SUITE = "trixie"
PACKAGES = (
    "adbd", "android-libbase", "android-libboringssl", "android-libcutils", "android-liblog", "libbrotli1", "libc6",
    "libcap2", "libfmt10", "libgcc-s1", "liblz4-1", "libprotobuf32t64", "libstdc++6", "libsystemd0", "libzstd1",
    "zlib1g",
)  # fmt: skip
TOOLS = ("unshare", "ip", "sh")
CLONE_NEWNET = 0x40000000
SERIAL = "127.0.0.1:5555"  # where adbd listens
TWIN = "localhost:5555"  # adb takes this for another device
ADB_PORT = 15037
# adb's own variables. The last keeps its server from finding adbd a second time by itself, as an emulator.
ENVIRONMENT = {
    "ANDROID_ADB_SERVER_PORT": str(ADB_PORT),
    "ANDROID_SERIAL": SERIAL,
    "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553",
}


class AdbdMissingError(Exception):
    """adbd can't be had or run here; the message says what is missing."""


def install():
    """Return the folder in which adbd is unpacked, downloading it when it is not there yet.

    Raises:
        AdbdMissingError: not Linux on x86-64, no apt, no Debian mirror among its sources, no network.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise AdbdMissingError("adbd's packages are fetched for Linux on x86-64 only")
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        raise AdbdMissingError(f"these programs are missing: {', '.join(missing)}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "keras_mobattn"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "adbd.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes begin at once
        if not (cache / "adbd").is_dir():
            try:
                with debian.apt(SUITE) as apt, replacing(cache / "adbd", folder=True) as folder:
                    apt.unpack(PACKAGES, folder)
            except InputError as error:
                raise AdbdMissingError(str(error)) from error
    return cache / "adbd"


@contextlib.contextmanager
def running(folder, path, prepare=":"):
    """Run adbd and an adb server that is connected to it; yield the function `inside`.

    Within `with inside():`, this process's main thread and the programs that it starts are in their network namespace,
    and adb's environment variables lead to the server.

    `folder` is what `install` returned; `path` stands before the PATH of the phone's shell, for stand-ins of Android's
    own programs; `prepare` are shell commands to run in the phone's own mount namespace first.

    Raises:
        AdbdMissingError: no right to make a namespace (that takes root), or adbd does not start.
    """
    libraries = folder / "usr/lib/x86_64-linux-gnu"
    daemon = [libraries / "ld-linux-x86-64.so.2", "--library-path", f"{libraries}:{libraries}/android"]
    daemon += [folder / "usr/lib/android-sdk/platform-tools/adbd"]
    script = f'ip link set lo up && {prepare} && echo up && exec "$@"'
    with tempfile.TemporaryFile("w+") as log:  # a pipe that nobody reads would fill up
        phone = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", script, "sh", *daemon],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PATH": f"{path}:{os.environ['PATH']}"},
            text=True,
        )
        try:
            if phone.stdout.readline() != "up\n":
                log.seek(0)
                why = log.read().strip() or "unshare failed"
                raise AdbdMissingError(f"no network and mount namespace of its own, which takes root ({why})")
            inside = functools.partial(_inside, f"/proc/{phone.pid}/ns/net")
            with inside():
                connect()
            try:
                yield inside
            finally:
                with inside():
                    adbutils.AdbClient().server_kill()
        finally:
            phone.kill()
            phone.wait()


@contextlib.contextmanager
def _inside(namespace):
    outer = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    inner = os.open(namespace, os.O_RDONLY)
    try:
        _enter(inner)
        with mock.patch.dict(os.environ, ENVIRONMENT):
            yield
    finally:
        _enter(outer)
        os.close(outer)
        os.close(inner)


def _enter(handle):
    if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
        raise AdbdMissingError(f"entering a network namespace failed: {os.strerror(ctypes.get_errno())}")


def connect():
    """Connect the adb server to adbd, and wait until it is there."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        adbutils.AdbClient().connect(SERIAL)
        if any(info.serial == SERIAL and info.state == "device" for info in adbutils.AdbClient().list()):
            return
        time.sleep(0.05)
    raise AdbdMissingError("adbd did not answer within 20 s")


if __name__ == "__main__":
    try:
        print(install())
    except AdbdMissingError as error:
        sys.exit(f"adbd: {error}")
