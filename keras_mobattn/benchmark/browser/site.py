"""All that a browser gets, by the path in its address: the page, LiteRT.js, the files, and images to compare on."""

import dataclasses
import json
from pathlib import Path

from keras_mobattn.benchmark.browser.litert_js import VERSION

PAGE = Path(__file__).with_name("page")
INDEX = "index.html"
PROTOCOL = {"warmup_runs": 5, "num_runs": 50, "min_secs": 0.5, "max_secs": 30.0}


@dataclasses.dataclass(frozen=True)
class ServedFile:
    """A .tflite file with what the page is told of it.

    Attributes:
        path: the file.
        facts: its part of the manifest, less what `Site` adds: name, size and hash, task, input, labels, answer.
        proof: {"source", "limits", ..} for the manifest, and `images` uint8 [n, H, W, 3] and `outputs` {name: float32
            [n, ..]} to compare with; None where there is nothing.
    """

    path: Path
    facts: dict
    proof: dict | None = None
    images: object = None
    outputs: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Site:
    """What is served: some ServedFiles under a `title`, with the folder of LiteRT.js and the limits of a timing.

    A `static` site has no server that takes results.
    """

    title: str
    files: tuple[ServedFile, ...]
    litert: Path
    protocol: dict = dataclasses.field(default_factory=lambda: dict(PROTOCOL))
    static: bool = False

    def contents(self):
        """{path: bytes, or the Path of a file}."""
        found = {path.name: path for path in sorted(PAGE.iterdir()) if path.is_file()}
        found |= {
            f"litert/{path.relative_to(self.litert).as_posix()}": path
            for path in sorted(self.litert.rglob("*"))
            if path.is_file()
        }
        for number, file in enumerate(self.files):
            found[_model(number)] = file.path
            if file.proof:
                found[_proof(number, "images")] = file.images.tobytes()
                for name, values in file.outputs.items():
                    found[_proof(number, name)] = values.astype("<f4").tobytes()
        return found | {"manifest.json": json.dumps(self.manifest(), ensure_ascii=False).encode()}

    def manifest(self):
        """What the page is told, for JSON; page/README.md has its fields."""
        models = []
        for number, file in enumerate(self.files):
            proof = file.proof and {
                **file.proof,
                "count": len(file.images),
                "images": _proof(number, "images"),
                "outputs": {name: _proof(number, name) for name in file.outputs},
            }
            models.append({"id": str(number), "path": _model(number), **file.facts, "proof": proof})
        return {
            "title": self.title,
            "static": self.static,
            "litert": VERSION,
            "protocol": self.protocol,
            "models": models,
        }


def _model(number):
    return f"models/{number}.tflite"


def _proof(number, name):
    return f"proof/{number}/{name}.bin"
