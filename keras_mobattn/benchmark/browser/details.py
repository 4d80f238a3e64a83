"""What only a browser tells of a measurement."""

import dataclasses

from keras_mobattn.benchmark.details import Details


@dataclasses.dataclass(frozen=True)
class BrowserDetails(Details):
    """Of a row that LiteRT.js timed in a browser. What that browser does not tell is None.

    Attributes:
        browser: name and version.
        adapter: the GPU, in WebGPU's words.
        whole: whether the GPU took the model whole; None on the CPU.
        right: whether it computes what the reference does, on `proof_images` real images; None where nothing was
            compared. The other figures as in `export.CheckReport`.
        finished: whether the browser sent the whole of the row; else it has the samples so far.
        note: a remark on the row, or "".
        screen, isolated: of the device and the page.
        battery, battery_after: 0..1, before and after; charging: before.
        pressure: how hard the processor was pressed at worst, heat included: nominal, fair, serious, critical.
        client: a random name of the page that was open; run: the number of its row.
    """

    target: str = dataclasses.field(default="browser", init=False)
    browser: str | None = None
    adapter: str | None = None
    whole: bool | None = None
    right: bool | None = None
    proof_images: int | None = None
    max_abs_error: float | None = None
    spread: float | None = None
    snr_db: float | None = None
    agreement: float | None = None
    finished: bool = True
    note: str = ""
    screen: str | None = None
    isolated: bool | None = None
    battery: float | None = None
    battery_after: float | None = None
    charging: bool | None = None
    pressure: str | None = None
    client: str | None = None
    run: int | None = None
