"""A phone behind adb: found, asked what it is and how warm, given files, and made to run a program."""

import contextlib
import os
import re
import secrets
import shlex
import struct
import subprocess
import time

from keras_mobattn._packages import needs
from keras_mobattn.benchmark.android.details import Conditions
from keras_mobattn.benchmark.loop import DeviceLostError
from keras_mobattn.benchmark.measurement import Device
from keras_mobattn.catalog import ANDROID_FOLDER
from keras_mobattn.errors import InputError

# adb's state of a device that can't be used -> what to do.
MENDING = {
    "unauthorized": "Unlock it and answer its question 'Allow USB debugging?' with yes.",
    "authorizing": "Unlock it and answer its question 'Allow USB debugging?' with yes.",
    "offline": "Unplug it and plug it in again, or run: adb reconnect.",
    "no": "This user may not use it (on Linux: udev rules, group plugdev). Mend that, then: adb kill-server.",
    "recovery": "Restart it into Android.",
    "bootloader": "Restart it into Android.",
}
EXIT = "keras_mobattn exit code "  # marks the last line of a program's output
# Thermal zones of Qualcomm's drivers that are the battery's charge in percent, its voltage, its current and limits.
NO_TEMPERATURE = re.compile(r"soc$|[vi]bat|.*bcl")
KILL = "{ kill -9 $(cat pid); } 2>/dev/null; rm -f pid"  # `run` keeps the process in that file
# One round trip; what the phone does not allow to be read is left out.
CONDITIONS = """
for zone in /sys/class/thermal/thermal_zone*; do echo "zone $(cat $zone/type) $(cat $zone/temp)"; done 2>/dev/null
for core in /sys/devices/system/cpu/cpu[0-9]*; do
  echo "core ${core##*/} $(cat $core/cpufreq/scaling_cur_freq)"; done 2>/dev/null
dumpsys battery 2>/dev/null
dumpsys thermalservice 2>/dev/null
"""


def find_phone(serial=None):
    """Return the Phone with this serial number; without one that of $ANDROID_SERIAL, or the only one there is.

    Raises:
        InputError: adbutils or adb is missing, or there is no such phone, several, or none that can be used.
    """
    needs("adbutils", "requests")
    import adbutils

    try:
        adb = adbutils.AdbClient()  # at the address that adb's environment variables give
        states = {info.serial: info.state for info in adb.list()}
    except (adbutils.AdbError, OSError, ValueError, subprocess.SubprocessError) as error:
        raise InputError(
            f"Expected an adb that starts and answers. Received: none ({error}). Try: adb kill-server; adb devices."
        ) from error
    serial = _choose(serial or os.environ.get("ANDROID_SERIAL"), states)
    if states[serial] != "device":
        mending = MENDING.get(states[serial], "Restart it, or try another cable.")
        raise InputError(
            f"Expected a device that adb calls 'device'. Received: {serial}, which it calls {states[serial]!r}. "
            f"{mending}"
        )
    return Phone(adb.device(serial))


def _choose(serial, states):
    listed = ", ".join(f"{name} ({state})" for name, state in states.items()) or "none"
    if serial is not None and serial not in states:
        raise InputError(f"Expected the serial number of a connected device: {listed}. Received: {serial!r}.")
    if not states:
        raise InputError(
            "Expected a connected Android device. Received: none. Switch on USB debugging in its developer options, "
            "plug it in, and see whether `adb devices` or `python -m adbutils -l` lists it."
        )
    usable = [name for name, state in states.items() if state == "device"] or list(states)
    if serial is None and len(usable) > 1:
        raise InputError(f"Expected one Android device. Received: {listed}. Choose one: serial='{usable[0]}'.")
    return serial or usable[0]


@contextlib.contextmanager
def _lost(serial):
    """What adbutils raises when a device or the adb server goes away becomes a DeviceLostError."""
    from adbutils import AdbError

    try:
        yield
    except (AdbError, OSError, EOFError, struct.error, AssertionError, subprocess.SubprocessError) as error:
        why = " ".join(str(error).split()) or type(error).__name__  # adbutils asserts on what a dead socket returns
        raise DeviceLostError(f"The connection to device {serial} broke off ({why}).") from error


class Phone:
    """A connected device. All methods raise DeviceLostError when it is gone."""

    def __init__(self, device):
        self._device = device
        self.serial = device.serial
        self.left_behind = None  # our folder on it, when it could not be removed because the phone was gone
        self.properties = read_properties(self.shell("getprop")[0])

    def is_there(self):
        """Whether adb can reach it."""
        try:
            with _lost(self.serial):
                return self._device.get_state() == "device"
        except DeviceLostError:
            return False

    @contextlib.contextmanager
    def reached(self, port, own=None):
        """In the block, what its programs ask of its localhost at `port` comes to this machine's, at port `own`.

        Without it that is the same port.
        """
        with _lost(self.serial):
            self._device.reverse(f"tcp:{port}", f"tcp:{own or port}")
        try:
            yield
        finally:
            with contextlib.suppress(DeviceLostError), _lost(self.serial):
                self._device.reverse_remove(f"tcp:{port}")

    def shell(self, command, timeout=60):
        """Run a command and return (its output, stderr too; its exit code)."""
        return self.stream(command, timeout)

    def stream(self, command, timeout, on_line=lambda line: None):
        """As `shell`, calling `on_line` with every line as it comes. The exit code is None after `timeout` seconds."""
        end, received = time.monotonic() + timeout, b""
        with _lost(self.serial):
            connection = self._device.shell(f'{{ {command}\n}} 2>&1; echo "\n{EXIT}$?"', stream=True)
            with connection:
                while not re.search(rf"{EXIT}\d+\r?\n".encode(), received):
                    connection.conn.settimeout(max(end - time.monotonic(), 1e-3))
                    try:
                        chunk = connection.conn.recv(2**16)
                    except TimeoutError:
                        return received.decode(errors="replace"), None
                    if not chunk:
                        raise EOFError("its shell ended")
                    complete = received.count(b"\n")
                    received += chunk
                    for line in received.decode(errors="replace").split("\n")[complete:-1]:
                        on_line(line)
        text, code = received.decode(errors="replace").rsplit(EXIT, 1)
        return text.rstrip(), int(code)

    def push(self, local, remote, mode):
        """Copy a file to the phone. Raises InputError when it does not fit there."""
        size = local.stat().st_size
        try:
            with _lost(self.serial):
                self._device.sync.push(local, remote, mode=mode, check=True)
        except DeviceLostError:
            free = self._free_bytes(remote)  # raises DeviceLostError itself when the phone is gone
            self.shell(f"rm -f {shlex.quote(remote)}")
            if free is not None and free < size:
                raise InputError(
                    f"Expected {size / 1e6:.1f} MB free on the device, for {local}. Received: {free / 1e6:.1f} MB in "
                    f"{os.path.dirname(remote)}. Remove something there."
                ) from None
            raise

    def _free_bytes(self, remote):
        """Free bytes where `remote` lies, or None if the phone's `df` does not tell."""
        text, _ = self.shell(f"df -k {shlex.quote(os.path.dirname(remote))}")
        row = re.search(r"\s(\d+)\s+\d+%\s", text)  # ... available use% mounted-on
        return row and int(row[1]) * 1024

    @contextlib.contextmanager
    def folder(self, parent=ANDROID_FOLDER):
        """Make a folder of our own on the phone; in the end kill what runs from it, and remove it.

        Raises:
            InputError: it can't be made.
        """
        path = f"{parent.rstrip('/')}/keras_mobattn-{secrets.token_hex(4)}"
        answer, code = self.shell(f"mkdir {shlex.quote(path)}")
        if code:
            raise InputError(
                f"Expected a folder on the device in which a folder can be made. Received: {parent} ({answer.strip()})."
            )
        try:
            yield path
        finally:
            try:
                self.remove(path)
            except DeviceLostError:
                self.left_behind = path

    def remove(self, folder):
        """Kill the program that `run` started in the folder, if it still runs, and remove the folder."""
        self.shell(f"cd {shlex.quote(folder)} && {{ {KILL}; rm -rf {shlex.quote(folder)}; }}")

    def run(self, folder, arguments, timeout, on_line):
        """Run a program in the folder; see `stream`. It is killed when it takes longer than `timeout` seconds."""
        enter = f"cd {shlex.quote(folder)} && {{ {KILL};"  # one that ran when the phone was unplugged may run on
        program = f"sh -c 'echo $$ > pid; exec \"$@\"' sh {shlex.join(arguments)}"
        text, code = self.stream(f"{enter} {program}; code=$?; rm -f pid; (exit $code); }}", timeout, on_line)
        if code is None:
            self.shell(f"{enter} }}")
        return text, code

    def conditions(self):
        """How warm it is and how fast it runs now, as far as it tells."""
        return read_conditions(self.shell(CONDITIONS)[0])

    @property
    def abis(self):
        """Android's names of the instruction sets that it runs, the best first."""
        named = self.properties.get("ro.product.cpu.abilist") or self.properties.get("ro.product.cpu.abi", "")
        return tuple(filter(None, named.split(",")))

    def describe(self):
        """This phone as a Device."""
        listed, _ = self.shell("cat /sys/devices/system/cpu/possible")
        cores = re.fullmatch(r"0-(\d+)", listed.strip())
        return describe_phone(self.properties, abi=next(iter(self.abis), None), cores=cores and int(cores[1]) + 1)


def read_properties(text):
    """`getprop`'s "[name]: [value]" lines as a dict."""
    return dict(re.findall(r"^\[(.+?)\]: \[(.*?)\]\r?$", text, re.MULTILINE))


def describe_phone(properties, abi=None, cores=None):
    """A phone's Device from its properties; what it does not tell is left out."""

    def joined(*names):
        return " ".join(dict.fromkeys(filter(None, map(properties.get, names))))

    name = joined("ro.product.manufacturer", "ro.product.model") or "unknown Android device"
    soc = joined("ro.soc.manufacturer", "ro.soc.model") or joined("ro.board.platform") or joined("ro.hardware")
    version, level = properties.get("ro.build.version.release"), properties.get("ro.build.version.sdk")
    system = f"Android {version}" if version else "Android"
    return Device(name, f"{system} (API {level})" if level else system, cores, soc=soc or None, abi=abi)


def read_conditions(text):
    """Conditions from what CONDITIONS prints: thermal zones, clocks, `dumpsys battery` and `dumpsys thermalservice`."""
    zones = re.findall(r"^zone (\S.*?) (-?\d+)\r?$", text, re.MULTILINE)
    temperatures = {name: _degrees(int(value)) for name, value in zones if not NO_TEMPERATURE.match(name)}
    current = text.partition("Current temperatures from HAL:")[2].partition("Current cooling devices")[0]
    for value, name in re.findall(r"Temperature\{mValue=(-?[\d.]+),.*?mName=([^,]+),", current):
        temperatures.setdefault(name, round(float(value), 1))
    battery = re.search(r"^ +temperature: (-?\d+)", text, re.MULTILINE)
    if battery:
        temperatures.setdefault("battery", int(battery[1]) / 10)
    clocks = re.findall(r"^core (cpu\d+) (\d+)\r?$", text, re.MULTILINE)
    level = re.search(r"^ +level: (\d+)", text, re.MULTILINE)
    status = re.search(r"^Thermal Status: (\d+)", text, re.MULTILINE)
    return Conditions(
        # a sensor that is switched off says 0, or something impossible
        temperatures_c={name: value for name, value in temperatures.items() if value and -30 < value < 125},
        clocks_mhz={core: int(khz) / 1e3 for core, khz in clocks},
        battery_percent=level and int(level[1]),
        throttling=status and int(status[1]),
    )


def _degrees(value):
    """Degrees Celsius from a thermal zone: in thousandths by the kernel's rules, but some drivers give them whole."""
    return round(value / 1e3, 1) if abs(value) >= 1000 else float(value)
