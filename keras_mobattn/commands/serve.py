"""Try, time and prove .tflite files in the browser of any phone: no cable, no app.

    mobattn serve runs/photos
    mobattn serve runs/photos/model_int8.tflite --address 192.168.1.20
    mobattn serve runs/photos/*.tflite --require all --output-dir results
    mobattn serve runs/photos --static site/

The phone opens the page, runs the models on its camera, and sends what it measures: table on the screen, benchmark.json
and benchmark.csv in the output folder, which `mobattn report` puts beside those of other devices. Ctrl-C ends it.

Exit code 0; 1: with --require all, a file that was not timed, or not right; 2: bad input; 130: Ctrl-C before all of
what was required had come.
"""

import contextlib
import queue
import secrets
import time
from pathlib import Path
from typing import Annotated, Literal

import tyro

from keras_mobattn import cli
from keras_mobattn.commands.exported import exported_files
from keras_mobattn.errors import InputError, expect_range
from keras_mobattn.formats.kinds import TFLITE

QUIET = 10  # seconds without a result after which a browser has nothing more to send
VANISHED = 30  # seconds after which a browser that was timing is gone: it sends something every five


def main(
    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE...", help_behavior_hint="")],
    static: Path | None = None,
    images: Path | None = None,
    on_corrupt: Literal["error", "skip"] = "error",
    address: str | None = None,
    port: int = 0,
    usb: Literal["auto", "yes", "no"] = "auto",
    require: Literal["none", "all"] = "none",
    litert_js: Path | None = None,
    warmup_runs: int = 5,
    num_runs: int = 50,
    min_secs: float = 0.5,
    max_secs: float = 30.0,
    output_dir: Path = Path("runs/serve"),
) -> int:
    """Serve .tflite files to browsers, and collect what they measure.

    Args:
        files: .tflite files, or the folders of runs with such files.
        static: Write a folder that works from any HTTPS host, and end.
        images: A folder of images to compare on, in place of the run's test images.
        on_corrupt: What to do with images that can't be decoded.
        address: At which of this machine's addresses phones find it, or of which network card; the likeliest by
            default. localhost: this machine alone.
        port: Of HTTPS; 0 for a free one.
        usb: Whether to make the page reachable at http://localhost on the Android phone that is plugged in; auto: where
            there is one.
        require: all: end when every file was timed, and set the exit code.
        litert_js: Where @litertjs/core lies, on a machine without npm.
        warmup_runs: What the page proposes: inferences before those that count.
        num_runs: Fewest inferences.
        min_secs: Fewest seconds.
        max_secs: Most seconds.
        output_dir: Folder for benchmark.json and benchmark.csv.
    """
    from keras_mobattn.benchmark.browser.addresses import choose_address
    from keras_mobattn.benchmark.browser.litert_js import litert_js_folder
    from keras_mobattn.benchmark.browser.server import expect_packages
    from keras_mobattn.benchmark.browser.site import Site
    from keras_mobattn.benchmark.browser.static import expect_place, write_static
    from keras_mobattn.benchmark.rows import protocol

    limits = protocol(warmup_runs, num_runs, min_secs, max_secs)
    expect_range("--port", port, 0, 65535, whole=True)
    paths = exported_files(files, (TFLITE,))
    if static is None:
        expect_packages()
    litert = litert_js_folder(litert_js)
    chosen = phone = None  # what can't be had is better told now than after Keras was asked
    if static is not None:
        expect_place(static)
    else:
        chosen = None if address == "localhost" else choose_address(address)
        phone = _phone(usb)
        output_dir.mkdir(parents=True, exist_ok=True)
    served = _described(paths, images, on_corrupt)
    site = Site(_title(paths), tuple(served), litert, limits)
    if static is not None:
        write_static(site, static)
        cli.say(f"Written: {static}. Put it on any HTTPS host; to look at it here: python -m http.server -d {static}")
        return 0
    return _serve(site, chosen, port, phone, require, output_dir)


def _described(paths, images, on_corrupt):
    """The ServedFiles, with a line for each that isn't compared with its Keras model."""
    from keras_mobattn.benchmark.rows import names_of
    from keras_mobattn.commands.served import served_files

    found, notes, served = [], [], served_files(paths, images, on_corrupt)
    with cli.progress() as bar:
        task = bar.add_task("", total=len(paths))
        for path, name in zip(paths, names_of(paths), strict=True):
            bar.update(task, description=f"Asking Keras: {path.name}")
            file, note = next(served)
            file.facts["name"] = name
            found.append(file)
            notes += [note] * bool(note)
            bar.advance(task)
    for note in notes:
        cli.say(note)
    return found


def _title(paths):
    folders = {path.resolve().parent.name for path in paths}
    count = f"{len(paths)} model{'s'[: len(paths) > 1]}"
    return f"{count} of {folders.pop()}" if len(folders) == 1 else count


def _serve(site, chosen, port, phone, require, output_dir):
    from keras_mobattn.benchmark.browser.certificate import make_certificate
    from keras_mobattn.benchmark.browser.received import read_row
    from keras_mobattn.benchmark.browser.server import Door, serving, site_app

    events, token = queue.SimpleQueue(), secrets.token_urlsafe(9)

    def take(body):
        events.put(read_row(body, site.files))

    app = site_app(site, token, take, lambda agent: events.put(agent))
    with contextlib.ExitStack() as stack:
        doors = [Door("127.0.0.1")]
        if chosen and not chosen.is_loopback:
            files = stack.enter_context(make_certificate([chosen.ip]))
            doors.append(Door(chosen.ip, port, *files))
        elif port:
            doors = [Door("127.0.0.1", port)]
        ports = stack.enter_context(serving(app, doors))
        local = f"http://localhost:{ports[0]}/{token}/"
        reached = phone and _reached_by_cable(stack, phone, ports[0])
        _invite(chosen if len(ports) > 1 else None, ports[-1], token, local, reached)
        return _collect(events, site, require, output_dir)


def _phone(usb):
    """The Android phone that is plugged in, a Phone; None for none, or where it isn't wanted."""
    from keras_mobattn.benchmark.android.phone import find_phone
    from keras_mobattn.benchmark.loop import DeviceLostError

    if usb == "no":
        return None
    try:
        return find_phone()
    except InputError:
        if usb == "yes":
            raise
        return None
    except DeviceLostError as error:
        if usb == "yes":
            raise InputError(f"Expected an Android phone that answers. Received: {error} Plug it in again.") from error
        return None


def _reached_by_cable(stack, phone, port):
    """The phone's name, once it has the page at its localhost; None where it refuses, which is said."""
    from keras_mobattn.benchmark.loop import DeviceLostError

    try:
        stack.enter_context(phone.reached(port))
        return phone.describe().name
    except DeviceLostError as error:
        cli.say(f"{error} The page isn't reached by its cable.")
        return None


def _invite(chosen, port, token, local, phone):
    """Say on the screen where the page is, and what stands in the way."""
    from keras_mobattn.benchmark.browser.addresses import addresses, qr_code

    say = cli.say
    if chosen:
        url = f"https://{chosen.ip}:{port}/{token}/"
        say(qr_code(url))
        say(f"On a phone in the same network ({chosen.kind}, {chosen.interface}): {url}")
        say("The phone warns of a certificate that it doesn't know, made here a moment ago. Go on all the same:")
        say("  iPhone, Safari: Show Details, visit this website. Chrome: Advanced, Proceed. Firefox: Advanced, Accept.")
        others = [each for each in addresses() if each.ip != chosen.ip and not each.is_loopback]
        if others:
            named = ", ".join(f"{each.ip} ({each.kind}, {each.interface})" for each in others)
            say(f"Not reached? Other addresses of this machine, for --address: {named}.")
        say("Not at all: guest networks keep devices apart, and firewalls close ports. Try a hotspot, or a cable.")
    if phone:
        say(f"On {phone}, by its cable: {local}")
    say(f"On this machine: {local}")


def _collect(events, site, require, output_dir):
    """Take results until Ctrl-C, or until all that was required has come; show and write them."""
    from keras_mobattn import benchmark
    from keras_mobattn.benchmark.browser.received import printable

    rows, came, stopped = {}, {}, False

    def take(event):
        if isinstance(event, str):
            cli.say(f"Opened by {printable(event) or 'a browser that does not say which'}")
            return
        key, row = event
        _tell(row)
        rows[key], came[key] = row, time.monotonic()
        benchmark.save_json(output_dir / "benchmark.json", list(rows.values()))

    try:
        cli.say("Ctrl-C ends it.\n")
        while not (require == "all" and _is_complete(rows, came, site)):
            with contextlib.suppress(queue.Empty):
                take(events.get(timeout=0.2))
    except KeyboardInterrupt:
        stopped = True
    while not events.empty():  # what was taken meanwhile
        take(events.get())
    found = list(rows.values())
    if found:
        benchmark.present(found, output_dir, cli.console)
    else:
        cli.say("No results came.")
    if require == "none":
        return 0
    timed = {row.file for row in found if row.details.finished and not row.error}
    whole = timed >= {str(file.path) for file in site.files}
    if stopped and not whole:
        return cli.INTERRUPTED
    return int(not whole or any(row.details.right is False for row in found))


def _is_complete(rows, came, site):
    """Whether every file has a row that was sent whole, and no browser has more to send, as far as one can know."""
    now = time.monotonic()
    done = {row.file for row in rows.values() if row.details.finished}
    waiting = [key for key, row in rows.items() if not row.details.finished and now - came[key] < VANISHED]
    quiet = now - max(came.values(), default=now) > QUIET
    return done >= {str(file.path) for file in site.files} and quiet and not waiting


def _tell(row):
    """A line on a row that has come whole."""
    from keras_mobattn.benchmark.texts import number_text, title_of

    if not row.details.finished:
        return
    who = f"{row.device.name}, {row.details.browser}: {title_of(row)}"
    if row.error:
        cli.say(f"{who}: {row.error}")
        return
    proof = {True: ", right", False: ", WRONG", None: ""}[row.details.right]
    note = f". {row.details.note}" if row.details.note else ""
    cli.say(f"{who}: {number_text(row.statistics.median_ms)} ms (median of {row.statistics.count}){proof}{note}")


def run():
    """Run it with the flags of the command line."""
    cli.run(main)
