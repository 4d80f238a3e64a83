"""TensorFlow Lite's prebuilt benchmark_model for a phone: downloaded once, from its official address."""

from keras_mobattn.errors import InputError
from keras_mobattn.files import cache_folder, replacing

# Linked from TensorFlow Lite's page on performance measurement. A build of last night: the figures of two phones are
# comparable only with the same SHA-256, which therefore stands in every row.
ADDRESS = "https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/nightly/latest/"
# Android's name of the instruction set -> file. There is none for x86 (emulators).
BINARIES = {"arm64-v8a": "android_aarch64_benchmark_model", "armeabi-v7a": "android_arm_benchmark_model"}
ELF = b"\x7fELF"
SECONDS = 30  # without a byte from the server
MENDING = "Try again, or get the file by other means and name it: benchmark_model='FILE'."


def benchmark_model_for(abis):
    """Return the path of a benchmark_model that runs on a phone with `abis`, Android's names, the best first.

    It is downloaded at the first call and kept in files.cache_folder("benchmark_model"); remove it there to get a newer
    build.

    Raises:
        InputError: there is no build for these, or the download failed; the message says what to do.
        OSError: the cache can't be written, or the disk is full. Nothing half-written is left there.
    """
    name = next((BINARIES[abi] for abi in abis if abi in BINARIES), None)
    if name is None:
        raise InputError(
            f"Expected a device with one of {', '.join(BINARIES)}, for which there is a prebuilt benchmark_model. "
            f"Received: {', '.join(abis) or 'one of an unknown instruction set'}. Build one and name it: "
            "benchmark_model='FILE'."
        )
    path = cache_folder("benchmark_model") / name
    if not path.is_file():
        with replacing(path) as beside:
            _download(ADDRESS + name, beside)
    return path


def _download(address, path):
    """Write what is at `address` to `path`, with a progress bar on stderr."""
    import requests
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress, path.open("wb") as file:
        task = progress.add_task("Downloading benchmark_model", total=None)
        try:
            with requests.get(address, stream=True, timeout=SECONDS) as reply:
                reply.raise_for_status()
                progress.update(task, total=float(reply.headers.get("Content-Length", 0)) or None)
                for chunk in reply.iter_content(2**18):
                    file.write(chunk)
                    progress.advance(task, len(chunk))
        except requests.HTTPError as error:
            answer = f"{error.response.status_code} {error.response.reason}"
            raise InputError(f"The server answered {answer} to the request for {address}. {MENDING}") from error
        except requests.RequestException as error:  # no network, no such host, too slow, broken off
            raise InputError(f"Could not download {address} ({_reason(error)}). {MENDING}") from error
    with path.open("rb") as file:
        if file.read(len(ELF)) != ELF:  # a network's login page comes with 200 OK
            raise InputError(f"What {address} returned is not a program. {MENDING}")


def _reason(error):
    """The cause in a few words, without the addresses of Python objects that requests puts in."""
    import requests

    inner = getattr(error.args[0], "reason", None) if error.args else None
    if type(inner).__name__ == "NameResolutionError":
        return "no such host; is there a network?"
    causes = {
        requests.exceptions.SSLError: "its certificate could not be verified",
        requests.exceptions.ProxyError: "the proxy refused",
        requests.exceptions.Timeout: f"no answer in {SECONDS} s",
        requests.exceptions.ChunkedEncodingError: "the connection broke off",
        requests.exceptions.ConnectionError: "no connection",
    }
    return next((words for kind, words in causes.items() if isinstance(error, kind)), type(error).__name__)
