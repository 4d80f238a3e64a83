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
        screen, isolated, battery: of the device and the page; battery is 0..1.
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
    charging: bool | None = None
    client: str | None = None
