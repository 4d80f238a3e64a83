"""An iPhone on a Mac's USB port, behind Xcode's devicectl and coremltools' runner app; and what must be there first.

Written after the source of coremltools 9.0 and reports on devicectl; no phone was at hand.
"""

import contextlib
import importlib.metadata
import io
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from keras_mobattn.benchmark.loop import DeviceLostError
from keras_mobattn.benchmark.measurement import Device
from keras_mobattn.errors import InputError
from keras_mobattn.files import cache_folder

XCODE = "Install Xcode 15 or newer, open it once, then: sudo xcode-select -s /Applications/Xcode.app."
PLUG_IN = (
    "Plug it in, unlock it, say yes to 'Trust This Computer?', and see whether `xcrun devicectl list devices` has it."
)
TEAM = re.compile(r"[A-Z0-9]{10}")
# What Xcode or coremltools say when the runner app can't be made or installed -> what to do.
MENDING = (
    (
        r"Model runner directory|Workspace directory",
        "This coremltools lacks its runner app: install it again.",
    ),
    (r"No Accounts|[Nn]o account|signing certificate", "Add your Apple account in Xcode's settings, Accounts."),
    (r"cannot be registered|is not available|No profiles for", "Choose another team."),
    (
        r"explicitly trusted|invalid code signature",
        "On the phone, Settings, General, Device Management: trust it.",
    ),
    (r"[Ll]ocked|could not be, unlocked", "Unlock the phone and keep its screen on."),
    (r"Developer Mode", "On the phone, Settings, Privacy & Security: switch it on."),
)


LOST = "The iPhone is not connected any more."


def find_iphone(identifier=None, development_team=None):
    """Return the Iphone of this identifier (or UDID, or name), or the only one that is connected.

    Raises:
        InputError: no Mac, no Xcode, no development team, no such phone or several, Developer Mode off, or locked.
    """
    _expect_xcode()
    team = development_team or os.environ.get("DEVELOPMENT_TEAM", "")
    if not TEAM.fullmatch(team):
        raise InputError(
            f"Expected the ID of a development team, ten capitals and digits. Received: {team!r}. It signs the app "
            "that runs the models; Xcode makes a free one from an Apple account (Settings, Accounts). "
            "`security find-certificate -c 'Apple Development' -p | openssl x509 -noout -subject` shows it as OU. "
            "Give it as development_team='TEAM', or set DEVELOPMENT_TEAM."
        )
    device = _choose(identifier, *_phones())
    if device.developer_mode_state == "disabled":
        raise InputError(
            f"Expected an iPhone in Developer Mode. Received: {device.name!r}, where it is off. "
            f"{_mending('Developer Mode')}"
        )
    if _devicectl("device", "info", "lockState", "--device", device.identifier).get("passcodeRequired"):
        raise InputError(
            f"Expected an unlocked iPhone. Received: {device.name!r}, which is locked. Unlock it and keep its screen "
            "on until the end."
        )
    return Iphone(device, team)


class Iphone:
    """A connected phone, with coremltools' runner app on it once it is `ready`."""

    def __init__(self, device, team):
        self.device, self.team = device, team
        self._prepared = None

    async def ready(self):
        """Return coremltools' Device with its app running; started again when it died.

        The app is built for a team once, in the user's cache: that takes minutes.

        Raises:
            InputError: it can't be built, signed or installed.
            DeviceLostError: the phone is gone.
        """
        if self._prepared is None or not self._prepared.session.is_alive():
            if not self.is_there():
                raise DeviceLostError(LOST)
            folder = _build_folder(self.team)
            built = any(folder.rglob("*.app"))
            try:
                self._prepared = await self._prepare(folder)
            except Exception as error:  # ValueError, _AppBuilder.Error, _DeviceCtlError
                if not built:
                    raise _not_put(error) from error
                try:  # what was built earlier may be signed for too short: free teams sign for a week
                    self._prepared = await self._prepare(folder, clean=True)
                except Exception as second:
                    raise _not_put(second) from second
        return self._prepared

    async def _prepare(self, folder, clean=False):
        from coremltools.models.ml_program.experimental.remote_device import AppSigningCredentials

        # Its own default identifier can belong to one team alone.
        bundle = f"com.coremltools.modelrunnerd.{self.team.lower()}"
        credentials = AppSigningCredentials(development_team=self.team, bundle_identifier=bundle)
        with quiet_bars():
            return await self.device.prepare_for_model_debugging(
                credentials=credentials, working_directory=folder, clean=clean
            )

    def is_there(self):
        """Whether devicectl still lists it as connected."""
        from coremltools.models.ml_program.experimental.remote_device import Device as RemoteDevice

        try:
            connected = RemoteDevice.get_connected_devices(self.device.type)
        except Exception:  # devicectl itself failed: no answer is no phone
            return False
        return self.device.identifier in {device.identifier for device in connected}

    def stop(self):
        """End the app, and remove what was exchanged with it; the app itself stays installed, and built."""
        if self._prepared is not None:
            self._prepared.session.stop()
            shutil.rmtree(self._prepared.session.working_directory, ignore_errors=True)
            self._prepared = None

    def describe(self):
        """This phone as a Device: model and system, without the name that its owner gave it."""
        details = _devicectl("device", "info", "details", "--device", self.device.identifier)
        hardware = details.get("hardwareProperties", {})
        model = hardware.get("productType")  # "iPhone16,1"
        name = hardware.get("marketingName") or "iPhone"
        build = f" ({self.device.os_build_number})" if self.device.os_build_number else ""
        return Device(
            name=f"{name} ({model})" if model else name,
            os=f"iOS {self.device.os_version}{build}",
            abi=hardware.get("cpuType", {}).get("name"),
        )


def _build_folder(team):
    """Where the app is built, and found again: in the user's cache unless coremltools' shell commands would break."""
    name = f"{importlib.metadata.version('coremltools')}-{team}"
    folder = cache_folder("modelrunner").resolve() / name
    if shlex.quote(str(folder)) != str(folder):  # it doesn't quote paths: a blank in them ends the path
        return Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _not_put(error):
    said = reason(error)
    return InputError(f"Expected the runner app to be put on the iPhone. Received: {said} {_mending(said)}")


def expect_mac(what):
    """Raise an InputError unless this is macOS. `what` needs it."""
    if platform.system() != "Darwin":
        raise InputError(
            f"Expected macOS, which {what} needs. Received: {platform.system()}. Copy the packages to a Mac and run "
            "the same command there; mobattn describe works here."
        )


@contextlib.contextmanager
def quiet_bars():
    """Keep coremltools' progress bars, one for every file that it sends, off the screen."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def reason(error):
    """What an exception says, on one line; of much output the first lines that tell of an error."""
    said = [getattr(error, "message", None) or str(error) or type(error).__name__]
    said.append(getattr(error.__context__, "output", None))  # coremltools drops what xcodebuild printed
    text = "\n".join(part.decode(errors="replace") if isinstance(part, bytes) else part for part in said if part)
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    told = [line for line in lines if re.search(r"\berror:", line, re.IGNORECASE)]
    few = lines if len(lines) <= 5 else told[:3] or lines[-3:]
    words = " ".join(" ".join(dict.fromkeys(few)).split())
    return words if words.endswith(".") else f"{words}."


def _mending(said):
    return next((what for pattern, what in MENDING if re.search(pattern, said)), "See docs/on_iphone.md.")


def _expect_xcode():
    expect_mac("timing on an iPhone")
    if not _run("xcodebuild", "-version"):  # the Command Line Tools alone have a stub that fails
        raise InputError(f"Expected Xcode, which builds the app that runs the models. Received: none. {XCODE}")
    if not shutil.which("devicectl"):  # coremltools wants it on the PATH, where Xcode doesn't put it
        path = _run("xcrun", "-f", "devicectl")
        if not path:
            raise InputError(f"Expected devicectl, which comes with Xcode 15. Received: none. {XCODE}")
        os.environ["PATH"] = os.pathsep.join([str(Path(path).parent), os.environ.get("PATH", "")])


def _run(*command):
    """What a command prints, or "" when there is none or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _devicectl(*arguments):
    """The "result" of a devicectl command's JSON; {} when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answer.json"
        _run("xcrun", "devicectl", *arguments, "--json-output", str(file))
        try:
            return json.loads(file.read_text()).get("result") or {}
        except (OSError, ValueError):
            return {}


def _phones():
    """(connected iPhones, other iPhones that this Mac knows)."""
    from coremltools.models.ml_program.experimental.remote_device import Device as RemoteDevice, DeviceState, DeviceType

    try:
        known = [device for device in RemoteDevice.get_devices() if device.type == DeviceType.IPHONE]
        # Until something speaks with a phone its tunnel is down, and it counts as not connected.
        asleep = [device for device in known if device.state != DeviceState.CONNECTED]
        for device in asleep:
            _devicectl("device", "info", "details", "--device", device.identifier)
        connected = RemoteDevice.get_connected_devices(DeviceType.IPHONE) if known else []
    except Exception as error:  # _DeviceCtlError, ValueError, KeyError: whatever devicectl answers
        raise InputError(f"Expected devicectl to list devices. Received: {reason(error)} {XCODE}") from error
    there = {device.identifier for device in connected}
    return connected, [device for device in known if device.identifier not in there]


def _choose(identifier, connected, others):
    listed = ", ".join(f"{device.name} ({device.identifier})" for device in connected) or "none"
    away = f" Known, but not connected: {', '.join(device.name for device in others)}." if others else ""
    if identifier is not None:
        connected = [device for device in connected if identifier in (device.identifier, device.udid, device.name)]
        if not connected:
            raise InputError(f"Expected a connected iPhone: {listed}. Received: {identifier!r}.{away} {PLUG_IN}")
    if not connected:
        raise InputError(f"Expected an iPhone on USB. Received: none.{away} {PLUG_IN}")
    if len(connected) > 1:
        raise InputError(
            f"Expected one iPhone. Received: {listed}. Choose one: identifier='{connected[0].identifier}'."
        )
    return connected[0]
