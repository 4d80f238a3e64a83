"""Which address a phone is told, and that it can read it off the terminal."""

import importlib.metadata
import io
import re
import socket
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import rich.console

from keras_mobattn import cli
from keras_mobattn.benchmark.browser import addresses as module
from keras_mobattn.benchmark.browser.addresses import addresses, choose_address, qr_code
from keras_mobattn.errors import InputError

# Network card -> its addresses; the order is nobody's.
LAPTOP = {
    "lo": ["127.0.0.1"],
    "docker0": ["172.17.0.1"],
    "tailscale0": ["100.101.102.103"],
    "enp3s0": ["192.168.1.30", "169.254.8.9"],
    "br-0a1b2c3d4e5f": ["172.18.0.1"],
    "wlp2s0": ["192.168.1.20"],
    "veth12ab": ["169.254.1.1"],
    "virbr0": ["192.168.122.1"],
    "wlp9s0": ["10.0.0.7"],  # down
}
MAC = {"lo0": ["127.0.0.1"], "utun4": ["10.8.0.2"], "bridge100": ["192.168.64.1"], "en0": ["192.168.0.12"]}
WINDOWS = {
    "Loopback Pseudo-Interface 1": ["127.0.0.1"],
    "vEthernet (WSL)": ["172.28.0.1"],
    "Ethernet": ["192.168.0.9"],
    "Wi-Fi": ["192.168.0.8"],
    "Tailscale": ["100.64.0.1"],
}
SERVER = {
    "lo": ["127.0.0.1"],
    "eth0": ["1.2.3.4"],
    "eth1": ["10.1.2.3"],
    "eth2": ["100.80.0.1"],
    "wg0": ["10.9.0.1"],
}
URL = "https://192.168.100.100:54321/AbCdEfGhIjKl/"
CELL = (8, 18)  # pixels


@pytest.fixture
def cards(monkeypatch):
    """cards({card: addresses}, down, route) makes this machine have them, and `route` as its own way out."""

    def use(given, down=(), route=None):
        found = {
            name: [
                SimpleNamespace(family=socket.AF_INET6, address="fe80::1%card"),
                *(SimpleNamespace(family=socket.AF_INET, address=ip) for ip in ips),
            ]
            for name, ips in given.items()
        }
        states = {name: SimpleNamespace(isup=name not in down) for name in given if ":" not in name}
        monkeypatch.setattr(psutil, "net_if_addrs", lambda: found)
        monkeypatch.setattr(psutil, "net_if_stats", lambda: states)
        monkeypatch.setattr(module, "_of_default_route", lambda: route)
        monkeypatch.setattr(module, "WIRELESS", "/nowhere/{}")

    return use


def listed(found):
    return [str(each) for each in found]


def test_the_likeliest_is_first(cards):
    cards(LAPTOP, down=("wlp9s0",))
    assert listed(addresses()) == [
        "192.168.1.20 (Wi-Fi, wlp2s0)",
        "192.168.1.30 (wired, enp3s0)",
        "100.101.102.103 (VPN, tailscale0)",
        "172.17.0.1 (container, docker0)",
        "172.18.0.1 (container, br-0a1b2c3d4e5f)",
        "192.168.122.1 (container, virbr0)",
    ]
    assert choose_address().ip == "192.168.1.20"
    cards(MAC)
    assert listed(addresses()) == [
        "192.168.0.12 (network card, en0)",
        "10.8.0.2 (VPN, utun4)",
        "192.168.64.1 (container, bridge100)",
    ]
    cards(WINDOWS)
    assert [(each.ip, each.kind) for each in addresses()] == [
        ("192.168.0.8", "Wi-Fi"),
        ("192.168.0.9", "wired"),
        ("100.64.0.1", "VPN"),
        ("172.28.0.1", "container"),
    ]


def test_private_comes_before_public_and_the_machines_own_way_before_its_like(cards):
    cards(SERVER)
    private, public, *vpn = addresses()
    assert (private.ip, public.ip) == ("10.1.2.3", "1.2.3.4")
    assert [(each.ip, each.kind) for each in vpn] == [("100.80.0.1", "VPN"), ("10.9.0.1", "VPN")]
    both = {"eth0": ["10.0.0.1"], "eth1": ["10.0.1.1"]}
    cards(both)
    assert choose_address().ip == "10.0.0.1"
    cards(both, route="10.0.1.1")
    assert choose_address().ip == "10.0.1.1"
    cards(LAPTOP, route="100.101.102.103")  # a VPN that takes everything isn't where the phone is
    assert choose_address().kind == "Wi-Fi"


def test_loopback_is_there_when_nothing_else_is(cards):
    cards({"eth0": ["169.254.3.4"], "lo": ["127.0.0.1"]})
    (alone,) = addresses()
    assert (alone.ip, alone.is_loopback) == ("127.0.0.1", True)
    assert choose_address() == alone
    cards({"eth0": ["10.0.0.1"], "lo": ["127.0.0.1"]}, down=("eth0", "lo"))
    assert addresses() == []
    with pytest.raises(InputError, match=r"Received: no card that is up\. There are: none\.$"):
        choose_address()


def test_one_is_chosen_by_its_ip_or_its_card(cards):
    cards(LAPTOP | {"wlp2s0:1": ["192.168.7.7"]}, down=("wlp9s0",))
    assert choose_address("172.17.0.1").interface == "docker0"
    assert choose_address("tailscale0").ip == "100.101.102.103"
    assert choose_address("enp3s0").ip == "192.168.1.30"
    assert choose_address("lo").is_loopback
    assert choose_address("wlp2s0:1").kind == "Wi-Fi"  # a second address, as ifconfig names it
    for unknown in ("wlp9s0", "192.168.1.99", "169.254.8.9", ""):
        with pytest.raises(InputError, match=re.escape(f"Received: {unknown!r}. There are: 192.168.1.20 (Wi-Fi,")):
            choose_address(unknown)


def test_linux_says_itself_what_is_wireless(cards, monkeypatch, tmp_path):
    cards({"eth7": ["10.0.0.1"]})
    assert choose_address().kind == "wired"
    (tmp_path / "eth7").mkdir()
    monkeypatch.setattr(module, "WIRELESS", f"{tmp_path}/{{}}")
    assert choose_address().kind == "Wi-Fi"


def test_this_machines_own_can_be_listened_at():
    for each in addresses():
        with socket.socket() as listening:
            listening.bind((each.ip, 0))
            assert listening.getsockname()[0] == each.ip


def picture_of(text, ground, gap):
    """The pixels [H, W, 3] of a text on a terminal of a colour, where signs are `gap` pixels lower than their lines."""
    width, height = CELL
    lines = text.split("\n")
    pixels = np.full(((len(lines) + 4) * height, (len(lines[0]) + 8) * width, 3), ground, np.uint8)
    for row, line in enumerate(lines):
        for span in line.spans:
            sign, behind = (tuple(bytes.fromhex(colour[1:])) for colour in span.style.split(" on "))
            for column in range(span.start, span.end):
                cell = pixels[(row + 2) * height :][:height, (column + 4) * width :][:, :width]
                cell[:] = behind
                drawn = cell[: height - gap]
                half = len(drawn) // 2
                drawn[
                    {"█": slice(None), "▀": slice(half), "▄": slice(half, None), " ": slice(0)}[line.plain[column]]
                ] = sign
    return pixels


@pytest.mark.parametrize("gap", [0, 2])
@pytest.mark.parametrize("ground", [(30, 30, 46), (253, 246, 227)], ids=["dark", "light"])
def test_a_phone_reads_the_code(ground, gap):
    cv2 = pytest.importorskip("cv2")
    read, corners, _ = cv2.QRCodeDetector().detectAndDecode(picture_of(qr_code(URL), ground, gap))
    assert read == URL
    width, height = CELL
    left, top = corners[0].min(0)
    assert left - 4 * width == pytest.approx(4 * width, abs=4)  # four light modules, each as wide as a cell
    assert top - 2 * height == pytest.approx(2 * height, abs=4)  # and half as high


def test_the_code_fits_a_terminal_and_is_light_all_around():
    lines = qr_code(URL).plain.split("\n")
    assert (len(lines), {len(line) for line in lines}) == (19, {37})
    assert all(line.startswith("████") and line.endswith("████") for line in lines)
    assert {*lines[0], *lines[1], *lines[-2], *lines[-1]} == {"█"}


@pytest.mark.parametrize(("colours", "escapes"), [("truecolor", "48;2;0;0;0"), (None, "")])
def test_say_prints_it_in_its_own_colours(monkeypatch, colours, escapes):
    printed = io.StringIO()
    console = rich.console.Console(file=printed, force_terminal=True, color_system=colours, width=20, no_color=False)
    monkeypatch.setattr(cli, "console", console)
    cli.say(qr_code(URL))
    plain = re.sub(r"\x1b\[[\d;]*m", "", printed.getvalue())
    assert plain == qr_code(URL).plain + "\n"  # though the terminal is narrow
    assert (f"{escapes}m" in printed.getvalue()) == (colours is not None)


def no_package(name):
    raise importlib.metadata.PackageNotFoundError(name)


def test_without_segno_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", no_package)
    with pytest.raises(InputError, match=r"Received: none\. Install what fits: pip install 'segno>="):
        qr_code(URL)
