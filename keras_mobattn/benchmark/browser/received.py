"""What a browser sends, checked, as a row of the common record."""

import json

from keras_mobattn.benchmark.browser.details import BrowserDetails
from keras_mobattn.benchmark.browser.litert_js import VERSION
from keras_mobattn.benchmark.measurement import Device, Statistics
from keras_mobattn.benchmark.rows import begin_row
from keras_mobattn.errors import InputError

BACKENDS = {"wasm": "wasm", "wasm-threads": "wasm", "webgpu-fp16": "webgpu fp16", "webgpu-fp32": "webgpu fp32"}
LETTERS = 200  # of a text that a browser tells
MOST_SAMPLES = 200_000
MOST_MS = 1e7


def read_row(body, files):
    """(what the row is known by, the row) of the bytes that a page posted; `files` are the Site's. A later row of the
    same client, file and backend takes the place of an earlier one.

    A row that is not finished has the samples so far, and says so in its `note`.

    Raises:
        InputError: no JSON, or not such a record.
    """
    try:
        record = json.loads(body)
    except (ValueError, RecursionError) as problem:  # UnicodeDecodeError is one
        raise InputError(
            f"Expected a record in JSON. Received: something else ({problem}). Load the page again."
        ) from problem
    take = _Reader(record)
    model = take.one_of("model", [str(number) for number in range(len(files))])
    file = files[int(model)]
    backend = take.one_of("backend", BACKENDS)
    host, proof = take.inner("host"), take.inner("proof")
    fell_back = take.text("fell_back") if backend.startswith("webgpu") else ""
    samples, error, finished = take.samples(), take.text("error"), take.flag("done")
    browser, client, run = host.text("browser"), take.text("client"), take.whole("run", 10**6)
    row = begin_row(
        file.path,
        file.facts["name"],
        take.whole("threads", 1024) or (1 if backend == "wasm" else None),
        device=Device(host.text("device") or browser or "a browser", host.text("system"), host.whole("cores", 4096)),
        runtime=f"LiteRT.js {VERSION}, {browser}",
        backend=f"wasm, {BACKENDS[backend]} refused" if fell_back else BACKENDS[backend],
        inputs=(file.facts["input"],),
        identify=file.identity,
        details=BrowserDetails(
            browser=browser,
            adapter=host.text("adapter") or None if backend.startswith("webgpu") else None,
            whole=take.flag("whole"),
            right=proof.flag("right"),
            proof_images=proof.whole("images", 10_000),
            **{name: proof.number(name) for name in ("max_abs_error", "spread", "snr_db", "agreement")},
            finished=finished is True,
            note=_note(finished, samples, error, fell_back),
            screen=host.text("screen") or None,
            isolated=host.flag("isolated"),
            battery=take.inner("battery").number("level"),
            battery_after=take.inner("battery_after").number("level"),
            charging=take.inner("battery").flag("charging"),
            pressure=take.text("pressure") or None,
            client=client,
            run=run,
        ),
        **{name: take.whole(name, 10**6) for name in ("warmup_runs", "num_runs")},
        **{name: take.number(name) for name in ("min_secs", "max_secs", "load_ms", "first_ms")},
    )
    if error or not samples:
        return (client, run), row.filled(error=error or "Nothing was timed yet.")
    return (client, run), row.filled(samples_ms=samples, statistics=Statistics.of(samples))


def _note(finished, samples, error, fell_back):
    if finished is not True and samples and not error:
        return f"the browser sent the first {len(samples)} runs and no end: was the tab closed?"
    return fell_back


def printable(text):
    """A text from elsewhere for the terminal: short, and without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:LETTERS]).strip()


class _Reader:
    """Fields of a record, each of the kind that is asked for; what is left out or null is None, or "" of a text."""

    def __init__(self, record, where=""):
        self._where = where
        if not isinstance(record, dict):
            self._refuse("an object", record)
        self._record = record

    def _refuse(self, wanted, received, name=""):
        what = ".".join(filter(None, (self._where, name))) or "the record"
        raise InputError(f"Expected {what} to be {wanted}. Received: {str(received)[:60]!r}. Load the page again.")

    def inner(self, name):
        """A Reader of an object; an empty one for null."""
        value = self._record.get(name)
        return _Reader({} if value is None else value, name)

    def text(self, name):
        """A text without control characters, which a terminal would obey."""
        value = self._record.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self._refuse("a text", value, name)
        return printable(value)

    def flag(self, name):
        """True, False or None."""
        value = self._record.get(name)
        if value not in (True, False, None) or isinstance(value, int) and not isinstance(value, bool):
            self._refuse("true or false", value, name)
        return value

    def number(self, name, most=MOST_MS):
        """A finite float from -most to most."""
        value = self._record.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= most:  # NaN is not
            self._refuse("a number", value, name)
        return float(value)

    def whole(self, name, most):
        """An int from 0 to most."""
        value = self._record.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            self._refuse(f"a whole number from 0 to {most}", value, name)
        return value

    def one_of(self, name, choices):
        """One of some texts."""
        value = self._record.get(name)
        if not isinstance(value, str) or value not in choices:
            self._refuse(f"one of {', '.join(choices)}", value, name)
        return value

    def samples(self):
        """The times in ms."""
        values = self._record.get("samples_ms") or ()
        if not isinstance(values, list | tuple) or len(values) > MOST_SAMPLES:
            self._refuse(f"a list of at most {MOST_SAMPLES} times", values, "samples_ms")
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_MS:  # NaN is not
                self._refuse("a time in ms", value, "samples_ms")
        return tuple(map(float, values))
