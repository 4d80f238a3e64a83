"""The server: what it gives, what it takes, and all that it refuses. And the same site as a folder."""

import contextlib
import http.client
import json
import socket

import pytest

from helpers.made_up_site import made_up_site
from keras_mobattn.benchmark.browser.litert_js import WASM
from keras_mobattn.benchmark.browser.server import HEADERS, KEPT, MOST_BYTES, Door, serving, site_app
from keras_mobattn.benchmark.browser.site import PAGE
from keras_mobattn.benchmark.browser.static import write_static
from keras_mobattn.errors import InputError

TOKEN = "token-1"


@contextlib.contextmanager
def served(site, take=lambda body: None, visited=lambda agent: None):
    with serving(site_app(site, TOKEN, take, visited), [Door("127.0.0.1")]) as (port,):
        yield port


def ask(port, method, path, body=None, headers=()):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_it_gives_what_the_site_has(tmp_path):
    site, visits = made_up_site(tmp_path), []
    with served(site, visited=visits.append) as port:
        for name, content in site.contents().items():
            status, headers, received = ask(port, "GET", f"/{TOKEN}/{name}")
            assert (status, received) == (200, content if isinstance(content, bytes) else content.read_bytes()), name
            wanted = HEADERS | (KEPT if name.startswith("litert/") else {})
            assert {name.lower(): value for name, value in wanted.items()}.items() <= headers.items()
        assert ask(port, "GET", f"/{TOKEN}/worker.js")[1]["content-type"].startswith("text/javascript")
        assert ask(port, "GET", f"/{TOKEN}/litert/{WASM[1]}")[1]["content-type"] == "application/wasm"
        visits.clear()
        assert ask(port, "GET", f"/{TOKEN}/", headers={"User-Agent": "a phone"}.items())[0] == 200
        assert visits == ["a phone"]
        assert ask(port, "GET", f"/{TOKEN}")[0] in (301, 302, 307)
    manifest = site.manifest()
    assert [model["path"] for model in manifest["models"]] == ["models/0.tflite", "models/1.tflite"]
    assert manifest["models"][1]["proof"]["images"] in site.contents()
    assert not manifest["static"]


PATHS = (
    "/", "/robots.txt", "/other-token/", f"/{TOKEN}x/", f"/{TOKEN}/nothing", f"/{TOKEN}/../setup.py",
    f"/{TOKEN}/%2e%2e/x",
    f"/{TOKEN}/models/0.tflite/..", f"/{TOKEN}//etc/passwd", f"/{TOKEN}/models/../../model0.tflite", "//etc/passwd",
    f"/{TOKEN}/models/%00", f"/{TOKEN}/models/9.tflite", f"/{TOKEN}/litert/secret.txt", f"/{TOKEN}/page/worker.js",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_it_gives_nothing_else(path, tmp_path):
    with served(made_up_site(tmp_path)) as port:
        status, _, content = ask(port, "GET", path)
    assert status == 404
    assert len(content) < 200


def test_results(tmp_path):
    taken = []

    def take(body):
        if body == b"bad":
            raise InputError("Expected good. Received: bad. Be good.")
        taken.append(body)

    with served(made_up_site(tmp_path), take) as port:
        assert ask(port, "POST", f"/{TOKEN}/results", b"good")[0] == 204
        status, _, sentence = ask(port, "POST", f"/{TOKEN}/results", b"bad")
        assert (status, sentence) == (400, b"Expected good. Received: bad. Be good.")
        status, _, sentence = ask(port, "POST", "/wrong/results", b"good")
        assert status == 404
        assert b"open the address on the screen again" in sentence
        assert ask(port, "GET", f"/{TOKEN}/results")[0] in (404, 405)
        assert ask(port, "PUT", f"/{TOKEN}/results", b"good")[0] == 405
    assert taken == [b"good"]


def test_a_large_body_is_not_kept(tmp_path):
    """A billion bytes are announced, and what comes beyond the limit is not read."""
    taken = []
    with served(made_up_site(tmp_path), taken.append) as port:
        status, _, sentence = ask(port, "POST", f"/{TOKEN}/results", b"x" * MOST_BYTES)
        assert status == 204
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            head = f"POST /{TOKEN}/results HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
            connection.sendall(head.encode())
            with contextlib.suppress(OSError):  # it may close at once
                for _ in range(MOST_BYTES // 2**16 + 8):
                    connection.sendall(b"x" * 2**16)
            answer = connection.recv(2**16)
        assert answer.startswith(b"HTTP/1.1 413")
        assert ask(port, "GET", f"/{TOKEN}/index.html")[0] in (200, 404)
    assert len(taken) == 1


def test_a_port_that_is_taken(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(
                InputError, match=f"Expected an address and a port that are free. Received: 127.0.0.1, port {port}"
            ),
            serving(site_app(made_up_site(tmp_path), TOKEN, print), [Door("127.0.0.1", port)]),
        ):
            pass
    with pytest.raises(InputError, match="address and a port"), serving(None, [Door("192.0.2.1")]):  # not ours
        pass


def test_a_folder_for_any_host(tmp_path):
    site, folder = made_up_site(tmp_path), tmp_path / "site"
    for _ in range(2):  # the second takes the place of the first
        write_static(site, folder)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {*site.contents(), "_headers"}
    assert json.loads((folder / "manifest.json").read_text())["static"]
    assert (folder / "models" / "1.tflite").read_bytes() == site.files[1].path.read_bytes()
    assert "Cross-Origin-Embedder-Policy: require-corp" in (folder / "_headers").read_text()
    assert {path.name for path in PAGE.iterdir()} <= found


FOREIGN = {  # what a folder has that is none of ours, or no longer ours alone
    "others": {"thesis.txt": "mine"},
    "a page": {"manifest.json": "{}", "_headers": "", "index.html": "mine"},
    "damaged": {"manifest.json": "[", "_headers": ""},
    "added to": {"CNAME": "example.org"},
}


@pytest.mark.parametrize("kind", [*FOREIGN, "a file"])
def test_a_folder_of_something_else(kind, tmp_path):
    place = tmp_path / "place"
    if kind == "a file":
        place.write_text("mine")
    elif kind == "added to":
        write_static(made_up_site(tmp_path), place)
    for name, text in FOREIGN.get(kind, {}).items():
        place.mkdir(exist_ok=True)
        (place / name).write_text(text)
    before = {path: path.read_bytes() for path in [place, *place.rglob("*")] if path.is_file()}
    with pytest.raises(InputError, match="Expected"):
        write_static(made_up_site(tmp_path), place)
    assert {path: path.read_bytes() for path in [place, *place.rglob("*")] if path.is_file()} == before
