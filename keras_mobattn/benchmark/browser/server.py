"""The web server for a Site: it gives what the site has, takes results, and nothing else."""

import contextlib
import dataclasses
import mimetypes
import secrets
import socket
import threading
from pathlib import Path

from keras_mobattn._packages import needs
from keras_mobattn.benchmark.browser.site import INDEX
from keras_mobattn.errors import InputError

MOST_BYTES = 4 * 2**20  # of a body: a minute's samples take a tenth
STARTED = 20  # seconds until the servers answer
# Isolated, a page may use threads and precise clocks. Nothing is kept: the next start has other files.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
        "img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
    ),
}
KEPT = {"Cache-Control": "private, max-age=3600"}  # of LiteRT.js, 10 MB for each backend, under the token's address
TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".html": "text/html", ".css": "text/css"}
PACKAGES = ("segno", "starlette", "trustme", "uvicorn")


@dataclasses.dataclass(frozen=True)
class Door:
    """An address to listen at: a host, a port (0: a free one), and a certificate's files for HTTPS."""

    host: str
    port: int = 0
    certificate: Path | None = None
    key: Path | None = None


def expect_packages():
    """Raise an InputError where a package is missing that serving takes, or of another version."""
    needs(*PACKAGES)


def site_app(site, token, on_result, on_visit=lambda agent: None):
    """The ASGI application that gives the site's contents under /TOKEN/.

    `on_result(record)` is called for the JSON that is posted to /TOKEN/results; what it raises as an InputError is the
    answer, 400. `on_visit(user agent)` is called for each page that is opened.
    """
    expect_packages()
    from starlette.applications import Starlette
    from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
    from starlette.routing import Route

    contents = site.contents()

    def knows(request):
        return secrets.compare_digest(request.path_params["token"].encode(), token.encode())

    def refusal(sentence, status):
        return PlainTextResponse(sentence, status, HEADERS)

    async def give(request):
        if not knows(request):
            return refusal("This address is not, or no longer, that of a page. Take the one on the screen.", 404)
        name = request.path_params.get("path") or INDEX
        if name not in contents:
            return refusal("There is nothing here.", 404)
        if name == INDEX:
            on_visit(request.headers.get("user-agent", ""))
        kind = TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        headers = HEADERS | (KEPT if name.startswith("litert/") else {})
        if isinstance(contents[name], bytes):
            return Response(contents[name], headers=headers, media_type=kind)
        return FileResponse(contents[name], headers=headers, media_type=kind)

    async def take(request):
        if not knows(request):
            return refusal("These results are for another session: open the address on the screen again.", 404)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                return refusal(f"Expected at most {MOST_BYTES} bytes. Received: more. Time fewer runs.", 413)
        try:
            on_result(body)
        except InputError as error:
            return refusal(str(error), 400)
        return Response(status_code=204, headers=HEADERS)

    async def add_slash(request):
        return RedirectResponse(f"/{token}/") if knows(request) else await give(request)

    return Starlette(
        routes=[
            Route("/{token}/results", take, methods=["POST"]),
            Route("/{token}", add_slash),
            Route("/{token}/{path:path}", give),
        ]
    )


@contextlib.contextmanager
def serving(app, doors):
    """Serve the app at some Doors in the background, and yield their ports.

    Raises:
        InputError: an address can't be listened at.
    """
    import uvicorn

    servers, threads, ports = [], [], []
    with contextlib.ExitStack() as stack:
        for door in doors:
            listening = stack.enter_context(_listen(door))
            ports.append(listening.getsockname()[1])
            files = {"ssl_certfile": door.certificate, "ssl_keyfile": door.key} if door.certificate else {}
            config = uvicorn.Config(app, log_config=None, log_level="error", access_log=False, lifespan="off", **files)
            server = uvicorn.Server(config)
            servers.append(server)
            threads.append(threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True))
        for thread in threads:
            thread.start()
        try:
            yield ports
        finally:
            for server in servers:
                server.should_exit = server.force_exit = True
            for thread in threads:
                thread.join(STARTED)


def _listen(door):
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((door.host, door.port))
        listening.listen()  # a phone that comes before the server waits
    except (OSError, OverflowError) as error:
        listening.close()
        raise InputError(
            f"Expected an address and a port that are free. Received: {door.host}, port {door.port} ({error}). Take "
            "another port or address."
        ) from error
    return listening
