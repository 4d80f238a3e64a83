"""A hub on this machine that answers huggingface_hub's downloads as the real one does, and fails on demand.

A large file's address at the hub redirects to a storage server; the redirect carries the commit, the size and the
sha256. The storage server here is the same program under the machine's other name, so that the client takes it for
another host.
"""

import contextlib
import hashlib
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
from huggingface_hub import constants

FILE = "model.safetensors"


class Hub:
    """Files by repository ("timm/mobilevitv2_050.cvnets_in1k"), and what is to go wrong.

    files: repository -> the bytes of its model.safetensors; None for a repository without one.
    stored: sha256 -> the bytes that the storage server sends; tests alter them.
    errors: status codes to answer the next requests to the hub with, one after the other.
    cuts: numbers of bytes after which the next storage answers break off, one after the other.
    requests: (method, path, Range header) of each request so far.
    """

    def __init__(self, files, port):
        self.files, self.port = files, port
        self.stored = {sha256(content): content for content in files.values() if content is not None}
        self.commit = "1" * 40
        self.errors, self.cuts, self.requests = [], [], []

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def environment(self, cache):
        """The variables that lead a new process here."""
        return {"HF_ENDPOINT": self.endpoint, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def running(files):
    """Yield a Hub that serves `files` until the block ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        server.hub = Hub(files, server.server_port)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield server.hub
        finally:
            server.shutdown()


@contextlib.contextmanager
def led_to(hub, cache, monkeypatch):
    """Lead downloads of this process to a Hub, with this cache, in this block; nothing waits between two tries."""
    lead_to(hub.endpoint, monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setenv("NO_PROXY", "*")
    huggingface_hub.close_session()
    yield
    huggingface_hub.close_session()


def lead_to(endpoint, monkeypatch):
    """huggingface_hub reads its environment once; here it has long been imported."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):  # noqa: N802  the names are http.server's
        hub = self.server.hub
        hub.requests.append((self.command, self.path, self.headers["Range"]))
        if digest := self._match(r"/storage/(\w+)"):
            return self._send_stored(digest)
        if hub.errors:
            return self._answer(hub.errors.pop(0))
        repository = self._match(rf"/(.+)/resolve/main/{FILE}")
        if repository not in hub.files:  # to those who are not logged in, a missing repository looks like a private one
            return self._answer(401, {"X-Error-Code": "RepoNotFound"})
        if hub.files[repository] is None:
            return self._answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": self.server.hub.commit})
        return self._redirect(sha256(hub.files[repository]), len(hub.files[repository]))

    do_GET = do_HEAD  # noqa: N815

    def log_message(self, *_):
        pass

    def _match(self, pattern):
        found = re.fullmatch(pattern, self.path)
        return found and found[1]

    def _answer(self, status, headers=()):
        self.send_response(status)
        for name, value in {"Content-Length": 0, **dict(headers)}.items():
            self.send_header(name, str(value))
        self.end_headers()

    def _redirect(self, digest, size):
        self._answer(
            302,
            {
                "Location": f"http://localhost:{self.server.hub.port}/storage/{digest}",
                "X-Repo-Commit": self.server.hub.commit,
                "X-Linked-Size": size,
                "X-Linked-Etag": f'"{digest}"',
            },
        )

    def _send_stored(self, digest):
        content = self.server.hub.stored[digest]
        first = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "bytes=0-")[1])
        headers = {"Content-Length": len(content) - first, "ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        self._answer(206 if first else 200, headers)
        if self.command == "GET":
            self.wfile.write(content[first:][: self._cut()])

    def _cut(self):
        if not self.server.hub.cuts:
            return None
        self.close_connection = True
        return self.server.hub.cuts.pop(0)
