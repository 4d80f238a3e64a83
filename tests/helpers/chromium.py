"""Debian's or the machine's own Chromium, headless, driven by Playwright."""

import contextlib
import functools
import shutil
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

# WebGPU by SwiftShader, on the CPU; without the rest Chromium looks for Google's hosts at every start.
FLAGS = (
    *("--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-quic", "--no-first-run"),
)
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
WITHOUT_JSPI = "delete WebAssembly.Suspending; delete WebAssembly.promising;"
WITHOUT_WEBGPU = "Object.defineProperty(globalThis.navigator, 'gpu', {value: undefined});"
SECONDS = 60


@contextlib.contextmanager
def launched(*flags):
    """Yield Playwright's browser; skips the test where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("no playwright: pip install -e '.[test]'")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*FLAGS, *flags])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def page_of(browser, without="", **options):
    """Yield a page in a context of its own, `options` as PHONE. `without` is JavaScript that takes something away from
    the page and its workers, before they begin."""
    context = browser.new_context(**options)
    context.set_default_timeout(1000 * SECONDS)
    try:
        page = context.new_page()
        if without:
            page.add_init_script(without)
            page.route("**/worker.js", lambda route: _with_prefix(route, without))
        yield page
    finally:
        context.close()


def _with_prefix(route, code):
    answer = route.fetch()
    route.fulfill(response=answer, body=f"{code}\n{answer.text()}")


def until(page, expression, seconds=SECONDS):
    """Wait until a JavaScript expression is true: Playwright's own way would need 'unsafe-eval'."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"{expression}: not in {seconds} s; the page says {page.inner_text('body')!r}"
        time.sleep(0.1)


@contextlib.contextmanager
def hosted(folder):
    """Serve a folder as any host of files does, without isolation headers; yield the address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield f"http://localhost:{server.server_port}"
        finally:
            server.shutdown()
