"""A page in headless Chromium, with LiteRT.js beside it, that tells this process what it found.

Chromium is Debian's or the machine's own, `@litertjs/core` npm's, put into the user's cache once.
"""

import functools
import json
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import filelock
import pytest

from keras_mobattn.files import cache_folder

VERSION = "2.5.3"
SECONDS = 120
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-quic"),
)


def chromium():
    """The browser's program, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@functools.cache
def litertjs():
    """The folder node_modules with LiteRT.js; skips the test where it can't be had."""
    if shutil.which("npm") is None:
        pytest.skip("no npm, which brings LiteRT.js")
    folder = cache_folder(f"litertjs-{VERSION}")
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / "lock"):  # another worker of pytest may want it too
        if not (folder / "node_modules" / "@litertjs" / "core" / "dist" / "index.js").exists():
            command = ["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", f"@litertjs/core@{VERSION}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"npm can't get LiteRT.js: {done.stderr.strip().splitlines()[-1:]}")
    return folder / "node_modules"


def answer_of(folder, page, profile):
    """Serve `folder`, open its `page`, and return the JSON that it sends by POST to /answer.

    Under /modules/ lies what npm brought, under /wasm/ LiteRT.js's WebAssembly.
    """
    if chromium() is None:
        pytest.skip("no Chromium: apt-get install chromium")
    answers, done = [], threading.Event()
    places = {"/modules/": litertjs(), "/wasm/": litertjs() / "@litertjs" / "core" / "wasm"}

    class Handler(SimpleHTTPRequestHandler):
        def translate_path(self, path):
            for prefix, place in places.items():
                if path.startswith(prefix):
                    return str(place / path.removeprefix(prefix).split("?")[0])
            return super().translate_path(path)

        def do_POST(self):  # noqa: N802  the base class's name for it
            answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            done.set()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        command = [chromium(), *FLAGS, f"--user-data-dir={profile}", f"http://127.0.0.1:{server.server_port}/{page}"]
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            done.wait(SECONDS)
        finally:
            browser.kill()
            browser.wait()
            server.shutdown()
    assert answers, f"the page said nothing in {SECONDS} s"
    return answers[0]
