"""A certificate that browsers take: for the address itself, not for long, with a key that nobody else reads."""

import datetime
import http.server
import importlib.metadata
import ipaddress
import socket
import ssl
import stat
import threading
import urllib.error
import urllib.request

import pytest

from keras_mobattn.benchmark.browser.certificate import make_certificate
from keras_mobattn.errors import InputError

HOSTS = ["127.0.0.1", "192.168.1.20", "localhost"]


class _Greets(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *args):
        pass


@pytest.fixture
def files():
    with make_certificate(HOSTS) as made:
        yield made


def serves(certificate, key):
    """A server on loopback that has them; close it with shutdown()."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Greets)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def test_a_client_that_trusts_the_authority_comes_in(files):
    certificate, key = files
    with serves(certificate, key) as server:
        port = server.server_port
        trusting = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=certificate)),
        )
        for host in ("127.0.0.1", "localhost"):
            assert trusting.open(f"https://{host}:{port}/", timeout=10).read() == b"hello"
        stranger = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            stranger.open(f"https://127.0.0.1:{port}/", timeout=10)
        context = ssl.create_default_context(cafile=certificate)
        with (
            pytest.raises(ssl.SSLCertVerificationError, match=r"IP address mismatch"),
            context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="192.168.1.21"),
        ):
            pass
        server.shutdown()


def test_it_names_the_hosts_and_is_valid_for_a_month(files):
    x509 = pytest.importorskip("cryptography.x509")
    leaf, authority = x509.load_pem_x509_certificates(files[0].read_bytes())
    named = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert named.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address(host) for host in HOSTS[:2]]
    assert named.get_values_for_type(x509.DNSName) == ["localhost"]
    now = datetime.datetime.now(datetime.UTC)
    assert leaf.not_valid_before_utc < now - datetime.timedelta(hours=23)
    assert leaf.not_valid_after_utc > now + datetime.timedelta(days=29)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == datetime.timedelta(days=31)  # 398 are allowed
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.oid.ExtendedKeyUsageOID.SERVER_AUTH in usage
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    leaf.verify_directly_issued_by(authority)
    assert "mobattn serve" in leaf.subject.rfc4514_string()


def test_the_key_is_the_users_alone_and_gone_afterwards():
    with make_certificate(HOSTS) as (certificate, key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
        assert [path.name for path in sorted(key.parent.iterdir())] == ["certificate.pem", "key.pem"]
        assert certificate.read_text().count("PRIVATE KEY") == 0
        assert key.read_text().count("-----BEGIN") == 1
    assert not key.parent.exists()
    with make_certificate(HOSTS) as (_, other), make_certificate(HOSTS) as (_, third):
        assert other.read_bytes() != third.read_bytes()


def no_package(name):
    raise importlib.metadata.PackageNotFoundError(name)


def test_without_trustme_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", no_package)
    with (
        pytest.raises(InputError, match=r"Received: none\. Install what fits: pip install 'trustme>="),
        make_certificate(HOSTS),
    ):
        pass
