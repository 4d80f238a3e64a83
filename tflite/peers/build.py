"""The files of other packages: made in virtual environments of their own by the programs beside this one."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

from keras_mobattn import cli
from keras_mobattn.files import made_after, replacing, write_text

HERE = Path(__file__).parent
BUILD_SECS = 3600  # beyond this a build or an install counts as hung


class BuildError(Exception):
    """Why a peer's file can't be had, in one line."""


@dataclasses.dataclass(frozen=True)
class Peer:
    """Another package: its row, its virtual environment, the program that builds its files, what pip installs, and
    which models it has: one with the same name as ours, or one for the same purpose."""

    title: str
    environment: str
    builder: str
    requirements: tuple[tuple[str, ...], ...]  # a requirements file and pip's options, in this order
    models: tuple[str, ...] = ("mobilevitv2_050", "mobilevitv2_100", "mobilevit_s")


DETECTORS, SEGMENTERS = ("detectors_320",), ("segmenters_512", "segmenters_256")
KERAS = ("keras", "keras_peers.py", (("keras.txt",),))
TORCH = ("torch", "torch_peers.py", (("torch.txt",), ("timm.txt", "--no-deps")))
PEERS = {
    "kecam": Peer("keras-cv-attention-models 1.4.3", *KERAS),
    "kmodels": Peer("keras-vision-models 0.3.2", "keras", "keras_peers.py", (("keras.txt",), ("kmodels.txt",))),
    "kimm": Peer("kimm 0.2.5", *KERAS),
    "timm": Peer("timm 1.0.31, litert-torch 0.10, patched", *TORCH),
    "yolov8": Peer("keras-cv 0.9.0, YOLOV8 xs", *KERAS, DETECTORS),
    "retinanet": Peer("keras-cv 0.9.0, RetinaNet on ResNet50V2", *KERAS, DETECTORS),
    "torchvision": Peer("torchvision 0.28.0, ssdlite320_mobilenet_v3_large", *TORCH, DETECTORS),
    "deeplabv3plus": Peer("keras-cv 0.9.0, DeepLabV3Plus on ResNet50V2", *KERAS, SEGMENTERS),
    "deeplabv3plus_mobile": Peer("keras-cv 0.9.0, DeepLabV3Plus on MobileNetV3 large", *KERAS, SEGMENTERS),
    "transformers": Peer("transformers 5.24.0, DeepLabv3 on MobileViT s", *TORCH, SEGMENTERS),
}


def peer_file(name, model, precision, path, folder):
    """The peer's file at `path`, made now unless it is there already."""
    peer = PEERS[name]
    if made_after(path, [HERE / peer.builder, *(HERE / file for file, *_ in peer.requirements)]):
        return path
    python = make_environment(peer, folder / "environments" / peer.environment)
    with cli.console.status(f"{peer.title}: building {model} {precision}"), replacing(path) as beside:
        _run([python, HERE / peer.builder, name, model, precision, beside])
    return path


def make_environment(peer, folder):
    """The Python of the peer's virtual environment, with its requirements installed."""
    python = folder / "bin" / "python"
    if not python.exists():
        with cli.console.status(f"{peer.title}: making {folder}"):
            _run([sys.executable, "-m", "venv", folder])
            _run([python, "-m", "pip", "install", "pip>=25"])
    for file, *options in peer.requirements:
        installed = folder / file  # a copy of what was installed last
        if made_after(installed, [HERE / file]):
            continue
        with cli.console.status(f"{peer.title}: installing {file} into {folder}, which takes minutes"):
            _run([python, "-m", "pip", "install", *options, "-r", HERE / file])
        write_text(installed, (HERE / file).read_text(encoding="utf-8"))
    return python


def _run(command):
    """Run a program quietly; when it fails, raise a BuildError with the line that says why."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(
            list(map(str, command)), env=environment, capture_output=True, text=True, errors="replace",
            timeout=BUILD_SECS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BuildError(f"not built after {BUILD_SECS} s.") from None
    if done.returncode:
        raise BuildError(reason(done.stdout + "\n" + done.stderr) or f"exit code {done.returncode}.")


def reason(output):
    """The last line of a program's output that names an error, or its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(ERROR|[\w.]*(Error|Exception)): ", line)]
    return (errors or lines or [""])[-1]
