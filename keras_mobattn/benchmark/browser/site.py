"""All that a browser gets, by the path in its address: the page, LiteRT.js, the files, and images to compare on."""

import dataclasses
import hashlib
import json
from pathlib import Path

from keras_mobattn.benchmark.browser.litert_js import SERVED, VERSION

PAGE = Path(__file__).with_name("page")
INDEX = "index.html"


@dataclasses.dataclass(frozen=True)
class ServedFile:
    """A .tflite file with what the page is told of it.

    Attributes:
        path: the file.
        content: its bytes when it was looked at: what is served and named in the record, whatever becomes of the file.
        facts: its part of the manifest, less what `Site` adds: name, size and hash, task, input, labels, answer.
        proof: {"source", "limits", ..} for the manifest, and `images` uint8 [n, H, W, 3] and `outputs` {name: float32
            [n, ..]} to compare with; None where there is nothing.
    """

    path: Path
    content: bytes
    facts: dict
    proof: dict | None = None
    images: object = None
    outputs: dict = dataclasses.field(default_factory=dict)

    def identity(self, path=None):
        """As `formats.identity.identify_tflite` of the bytes that are served."""
        return len(self.content), hashlib.sha256(self.content), None


@dataclasses.dataclass(frozen=True)
class Site:
    """What is served: some ServedFiles under a `title`, with the folder of LiteRT.js and the limits of a timing.

    A `static` site has no server that takes results.
    """

    title: str
    files: tuple[ServedFile, ...]
    litert: Path
    protocol: dict
    static: bool = False

    def contents(self):
        """{path: bytes, or the Path of a file}."""
        found = {path.name: path for path in sorted(PAGE.iterdir()) if path.is_file()}
        found |= {f"litert/{name}": self.litert / name for name in SERVED if (self.litert / name).is_file()}
        for number, file in enumerate(self.files):
            found[_model(number)] = file.content
            if file.proof:
                found[_proof(number, "images")] = file.images.tobytes()
                for name, values in file.outputs.items():
                    found[_proof(number, name)] = values.astype("<f4").tobytes()
        return found | {"manifest.json": json.dumps(self.manifest(), ensure_ascii=False).encode()}

    def manifest(self):
        """What the page is told, for JSON: of each file its `facts`, where it is, and its `proof` with the paths of
        images (uint8 [n, H, W, 3]) and expected outputs (float32)."""
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
