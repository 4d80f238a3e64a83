"""The download of benchmark_model: once, checked, and nothing left of one that fails."""

import http.server
import re
import threading

import pytest

from keras_mobattn.benchmark.android import benchmark_model_binary
from keras_mobattn.errors import InputError

PROGRAM = b"\x7fELF" + bytes(range(256)) * 2000
ANSWERS = {  # folder on the server -> status, content, its announced length
    "good": (200, PROGRAM, len(PROGRAM)),
    "gone": (404, b"", 0),
    "broken": (503, b"", 0),
    "login": (200, b"<html>Welcome to this network", 29),
    "short": (200, PROGRAM[:300_000], len(PROGRAM)),
}


class _Answers(http.server.BaseHTTPRequestHandler):
    asked = []

    def do_GET(self):  # noqa: N802
        self.asked.append(self.path)
        status, content, length = ANSWERS[self.path.split("/")[1]]
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Make the downloads come from a folder of a server on loopback; the cache is in tmp_path."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    _Answers.asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def use(folder):
            address = f"http://127.0.0.1:{server.server_port}/{folder}/"
            monkeypatch.setattr(benchmark_model_binary, "ADDRESS", address)

        yield use
        server.shutdown()


@pytest.mark.parametrize(
    ("abis", "name"),
    [
        (("arm64-v8a", "armeabi-v7a", "armeabi"), "android_aarch64_benchmark_model"),
        (("armeabi-v7a", "armeabi"), "android_arm_benchmark_model"),
    ],
)
def test_the_tool_is_downloaded_once(server, tmp_path, abis, name):
    server("good")
    for _ in range(2):
        path = benchmark_model_binary.benchmark_model_for(abis)
        assert path == tmp_path / "keras_mobattn" / "benchmark_model" / name
        assert path.read_bytes() == PROGRAM
    assert _Answers.asked == [f"/good/{name}"]


FAILURES = {  # folder on the server -> the sentence
    "gone": r"The server answered 404 Not Found to the request for http\S+/gone/android_aarch64_benchmark_model",
    "broken": r"The server answered 503 Service Unavailable",
    "login": r"What http\S+ returned is not a program",
    "short": r"Could not download http\S+ \(the connection broke off\)",
}


@pytest.mark.parametrize("folder", FAILURES)
def test_a_download_that_fails_leaves_nothing(server, tmp_path, folder):
    server(folder)
    with pytest.raises(InputError, match=FAILURES[folder]) as failure:
        benchmark_model_binary.benchmark_model_for(("arm64-v8a",))
    assert "benchmark_model=" in str(failure.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    server("good")
    assert benchmark_model_binary.benchmark_model_for(("arm64-v8a",)).read_bytes() == PROGRAM


def test_no_network_no_server_no_such_phone_and_a_full_disk(server, tmp_path, monkeypatch):
    for address, words in (("http://127.0.0.1:9/", "no connection"), ("http://name.invalid/", "is there a network?")):
        monkeypatch.setattr(benchmark_model_binary, "ADDRESS", address)
        with pytest.raises(InputError, match=re.escape(words)):
            benchmark_model_binary.benchmark_model_for(("arm64-v8a",))
    for abis in (("x86_64", "x86"), ()):
        with pytest.raises(
            InputError, match="is a prebuilt benchmark_model. Received: (x86_64, x86|one of an unknown)"
        ):
            benchmark_model_binary.benchmark_model_for(abis)
    server("good")
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    with pytest.raises(OSError, match="/proc/nowhere"):
        benchmark_model_binary.benchmark_model_for(("arm64-v8a",))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
