"""A phone to test with: adbd on this machine, with sensors, properties and file systems of a phone."""

import pytest

from helpers import adbd

PROPERTIES = """\
[ro.build.version.release]: [14]
[ro.build.version.sdk]: [34]
[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a,armeabi]
[ro.product.manufacturer]: [Example]
[ro.product.model]: [Phone 7 [dual]]
[ro.soc.manufacturer]: [ACME]
[ro.soc.model]: [X1000]
"""
BATTERY = """\
Current Battery Service state:
  USB powered: true
  level: 87
  scale: 100
  voltage: 4213
  temperature: 312
"""
THERMAL = """\
IsStatusOverride: false
Thermal Status: 1
Cached temperatures:
\tTemperature{mValue=99.0, mType=0, mName=CPU, mStatus=0}
HAL Ready: true
Current temperatures from HAL:
\tTemperature{mValue=44.125, mType=0, mName=CPU, mStatus=0}
\tTemperature{mValue=38.5, mType=3, mName=skin, mStatus=1}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}
"""
ZONES = {"cpu-0-0": "46700", "soc": "87", "battery": "31", "vbat": "4213", "gpu": "0", "modem": "-273000"}
CLOCKS = {"cpu0": "1803000", "cpu7": "2914000"}


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A folder with what the phone sees: programs of Android's, sensors, small and noexec file systems."""
    world = tmp_path_factory.mktemp("phone")
    for name, text in {"getprop": PROPERTIES, "dumpsys": None}.items():
        script = world / "bin" / name
        script.parent.mkdir(exist_ok=True)
        (world / "getprop.txt").write_text(PROPERTIES)
        (world / "battery.txt").write_text(BATTERY)
        (world / "thermalservice.txt").write_text(THERMAL)
        script.write_text(f"#!/bin/sh\ncat {world}/getprop.txt\n" if text else f"#!/bin/sh\ncat {world}/$1.txt\n")
        script.chmod(0o755)
    for index, (name, value) in enumerate(ZONES.items()):
        zone = world / "thermal" / f"thermal_zone{index}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(name + "\n")
        (zone / "temp").write_text(value + "\n")
    for name, value in CLOCKS.items():
        core = world / "cpu" / name / "cpufreq"
        core.mkdir(parents=True)
        (core / "scaling_cur_freq").write_text(value + "\n")
    (world / "cpu" / "possible").write_text("0-7\n")
    for name in ("small", "noexec", "tmp"):
        (world / name).mkdir()
    return world


@pytest.fixture(scope="session")
def daemon(world):
    """The function that enters the phone's network."""
    prepare = " && ".join(
        (
            f"mount -t tmpfs -o size=200k tmpfs {world}/small",
            f"mount -t tmpfs -o noexec tmpfs {world}/noexec",
            f"mount --bind {world}/thermal /sys/class/thermal",
            f"mount --bind {world}/cpu /sys/devices/system/cpu",
        )
    )
    try:
        with adbd.running(adbd.install(), world / "bin", prepare) as inside:
            yield inside
    except adbd.AdbdMissingError as error:
        pytest.skip(f"adbd, for a phone to test with, can't be had: {error}")


@pytest.fixture
def phone(daemon, world):
    """Be in the phone's network; return the folder on it that is used. Nothing may be left in it."""
    with daemon():
        adbd.connect()
        yield world / "tmp"
    assert not list((world / "tmp").iterdir())
