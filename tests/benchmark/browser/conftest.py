"""Chromium, and a server with small files of each task."""

import dataclasses

import pytest

from helpers.chromium import launched
from helpers.served_models import MADE, site_of
from keras_mobattn.benchmark.browser.server import Door, serving, site_app


@pytest.fixture(scope="module")
def browser(fake_camera):
    """With a camera that is a file, and that may be used."""
    flags = "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"
    with launched(*flags, f"--use-file-for-fake-video-capture={fake_camera}") as browser:
        yield browser


@pytest.fixture(scope="session")
def fake_camera(tmp_path_factory):
    """A film of grey that gets brighter from left to right, 64 x 48, as Chromium takes it in a camera's place."""
    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    grey, colourless = bytes(range(0, 256, 4)) * 48, bytes([128]) * (32 * 24 * 2)
    frames = b"".join(b"FRAME\n" + grey + colourless for _ in range(10))
    path.write_bytes(b"YUV4MPEG2 W64 H48 F15:1 Ip A1:1 C420jpeg\n" + frames)
    return path


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """All that can be made, with two images each to compare on: SwiftShader is slow."""
    whole = site_of(tmp_path_factory.mktemp("models"), MADE)
    return dataclasses.replace(whole, files=tuple(map(_with_few_images, whole.files)))


def _with_few_images(file):
    outputs = {name: values[:2] for name, values in file.outputs.items()}
    return dataclasses.replace(file, images=file.images[:2], outputs=outputs)


@pytest.fixture
def posted():
    """What the page posts to `address`, as it came."""
    return []


@pytest.fixture
def address(site, posted):
    """Where the site is."""
    with serving(site_app(site, "token", posted.append), [Door("127.0.0.1")]) as (port,):
        yield f"http://localhost:{port}/token/"
