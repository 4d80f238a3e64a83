"""At which address of this machine a phone finds it, and that address as a QR code."""

import dataclasses
import ipaddress
import re
import socket
from pathlib import Path

import psutil
import rich.text

from keras_mobattn._packages import needs
from keras_mobattn.errors import InputError

WIFI, WIRED, CARD, VPN, CONTAINER, LOOPBACK = "Wi-Fi", "wired", "network card", "VPN", "container", "loopback"
# Names of network cards on Linux, macOS and Windows, in small letters -> the kind; the first that fits.
KINDS = {
    r"lo\d*$|loopback": LOOPBACK,
    r"docker|podman|br-|veth|virbr|lxc|lxdbr|incusbr|cni|flannel|cali|vmnet|vboxnet|bridge\d{3}": CONTAINER,
    r"vethernet|vmware|virtualbox": CONTAINER,
    r"tailscale|utun|tun|tap|wg|zt|zerotier|ppp|ipsec|nordlynx|proton|wireguard|openvpn": VPN,
    r"wl|wi-?fi|ath\d|ap\d": WIFI,
    r"eth|en[a-z]|em\d|usb|bond|br\d": WIRED,
}  # Others may be either: a Mac calls both en0
NEAREST = (WIFI, CARD, WIRED, VPN, CONTAINER, LOOPBACK)  # where a phone most likely is, first
CARDS = (WIFI, CARD, WIRED)
TAILSCALE = ipaddress.ip_network("100.64.0.0/10")
WIRELESS = "/sys/class/net/{}/wireless"  # Linux has it for every card of that kind, however it is called
SOMEWHERE = ("192.0.2.1", 9)  # an address that belongs to nobody
QUIET_ZONE = 4  # light modules around a QR code, as the standard has it
# A cell of the terminal shows two modules, one above the other (1: dark), as a sign in white on a black ground. Where
# both are light the ground is white too, since a sign may leave a gap between lines. Without colours the signs are
# right on a dark terminal.
WHITE_ON_BLACK, WHITE = "#ffffff on #000000", "#ffffff on #ffffff"
CELLS = {
    (0, 0): ("█", WHITE),
    (0, 1): ("▀", WHITE_ON_BLACK),
    (1, 0): ("▄", WHITE_ON_BLACK),
    (1, 1): (" ", WHITE_ON_BLACK),
}


@dataclasses.dataclass(frozen=True)
class Address:
    """An IPv4 address of this machine: `interface` is the name of the network card, `kind` one of NEAREST."""

    ip: str
    interface: str
    kind: str

    @property
    def is_loopback(self):
        """Whether it is reached from this machine alone."""
        return self.kind == LOOPBACK

    def __str__(self):
        return f"{self.ip} ({self.kind}, {self.interface})"


def addresses():
    """Return the Addresses at which others may find this machine, the likeliest first; loopback's where there is no
    other."""
    found = _all_addresses()
    return [each for each in found if not each.is_loopback] or found


def choose_address(name=None):
    """Return the likeliest Address, or the one that has `name` as its IP or as its network card.

    Raises:
        InputError: there is none; the message lists those that there are.
    """
    found = addresses() if name is None else [each for each in _all_addresses() if name in (each.ip, each.interface)]
    if found:
        return found[0]
    raise InputError(
        "Expected an IPv4 address of this machine, or the name of a network card that is up. Received: "
        f"{'no card that is up' if name is None else repr(name)}. "
        f"There are: {', '.join(map(str, _all_addresses())) or 'none'}."
    )


def qr_code(url):
    """Return a QR code as text for the terminal, two modules in a cell; say() or a rich console prints it.

    It brings its colours, since a code in the colours of a light terminal would have light and dark exchanged.

    Raises:
        InputError: the package segno is missing.
    """
    needs("segno")
    import segno

    rows = [list(row) for row in segno.make(url, micro=False).matrix_iter(border=QUIET_ZONE)]
    rows.append([0] * len(rows[0]))  # their number is odd
    pairs = (zip(*rows[at : at + 2], strict=True) for at in range(0, len(rows), 2))
    return rich.text.Text("\n").join(rich.text.Text.assemble(*(CELLS[pair] for pair in line)) for line in pairs)


def _all_addresses():
    """All but link-local ones, which a machine without a network gives itself; loopback is last."""
    up, first = psutil.net_if_stats(), _of_default_route()
    found = [
        Address(each.address, name, _kind(name, ipaddress.ip_address(each.address)))
        for name, given in psutil.net_if_addrs().items()
        for each in given
        if each.family == socket.AF_INET and (card := up.get(name.partition(":")[0])) and card.isup
    ]
    found = [each for each in found if not ipaddress.ip_address(each.ip).is_link_local]
    return sorted(found, key=lambda each: _distance(each, first))


def _kind(name, ip):
    if ip.is_loopback:
        return LOOPBACK
    if Path(WIRELESS.format(name)).exists():
        return WIFI
    named = next((kind for pattern, kind in KINDS.items() if re.match(pattern, name.lower())), CARD)
    return VPN if named in CARDS and ip in TAILSCALE else named


def _distance(address, first):
    """What to sort by: cards before VPN and the rest; of them private before public, as phones in the same network are.
    Of the same kind, the one that the machine itself takes is first."""
    on_card = address.kind in CARDS
    public = on_card and not ipaddress.ip_address(address.ip).is_private
    return (not on_card, public, NEAREST.index(address.kind), address.ip != first)


def _of_default_route():
    """The address that this machine has towards the rest of the world, or None. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(SOMEWHERE)
        except OSError:
            return None
        return asked.getsockname()[0]
