"""Downloads from a hub on this machine that fails in every way that a hub, a network and a disk can fail."""

import contextlib
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
from huggingface_hub import constants

import keras_mobattn
from helpers import hub as loopback
from keras_mobattn import InputError, MobileViTv2, randomize_weights
from keras_mobattn.weights import download, find_tag, to_timm

TAG = find_tag("mobilevitv2_050.cvnets_in1k")
CONTENT = safetensors.numpy.save({"a": np.random.default_rng(0).normal(size=(250, 100)).astype("float32")})
PIECE = 10_000  # bytes that the client asks the socket for; 10 MB in earnest


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def hub(cache, monkeypatch):
    """A hub that has CONTENT for TAG, to which downloads of this process go; nothing waits between two tries."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", PIECE)
    with loopback.running({TAG.repository: CONTENT}) as running, loopback.led_to(running, cache, monkeypatch):
        yield running


def _no_hub(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    loopback.lead_to(f"http://127.0.0.1:{port}", monkeypatch)


def _offline(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def _large_files(cache):
    return [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size > PIECE // 2]


def _gets(hub):
    return [asked for method, path, asked in hub.requests if method == "GET" and path.startswith("/storage/")]


def test_a_file_is_downloaded_once(hub, cache):
    path = download(TAG)
    assert path.read_bytes() == CONTENT
    assert cache in path.parents
    assert download(TAG) == path
    assert _gets(hub) == [None]


@pytest.mark.parametrize("away", [_no_hub, _offline])
def test_what_is_in_the_cache_serves_without_a_hub(hub, monkeypatch, away):
    path = download(TAG)
    away(monkeypatch)
    assert download(TAG) == path


def test_a_new_file_at_the_hub_is_taken(hub):
    download(TAG)
    newer = safetensors.numpy.save({"b": np.ones((90, 90), "float32")})
    hub.files[TAG.repository], hub.commit = newer, "2" * 40
    hub.stored[loopback.sha256(newer)] = newer
    assert download(TAG).read_bytes() == newer


def test_it_goes_on_where_the_connection_broke(hub):
    hub.cuts = [35_000, 25_000]
    assert download(TAG).read_bytes() == CONTENT
    assert _gets(hub) == [None, "bytes=30000-", "bytes=50000-"]  # whole pieces are kept


@pytest.mark.parametrize("errors", [[500], [503, 502, 429, 504]], ids=str)
def test_passing_errors_of_the_hub_are_waited_for(hub, errors):
    hub.errors = errors
    assert download(TAG).read_bytes() == CONTENT


def _alter(hub):
    (digest,) = hub.stored
    hub.stored[digest] = CONTENT[:-9] + bytes([CONTENT[-9] ^ 1]) + CONTENT[-8:]


def _shorten(hub):
    """A file that was uploaded incomplete: size and sha256 are right."""
    short = CONTENT[:-100]
    hub.files[TAG.repository] = short
    hub.stored[loopback.sha256(short)] = short


def _page(hub):
    """What a network's log-in page answers, whatever is asked."""
    hub.files[TAG.repository] = b"<html>" + b"Please log in. " * 1000
    hub.stored[loopback.sha256(hub.files[TAG.repository])] = hub.files[TAG.repository]


# What goes wrong -> how, and what the error says besides the tag and the file.
FAILURES = {
    "no repository": (lambda hub, _: hub.files.clear(), "has no such repository"),
    "no file": (lambda hub, _: hub.files.update({TAG.repository: None}), "no such file in it"),
    "404": (lambda hub, _: setattr(hub, "errors", [404] * 20), "404"),
    "500 for good": (lambda hub, _: setattr(hub, "errors", [500] * 20), "500"),
    "no headers of a hub": (lambda hub, _: setattr(hub, "errors", [200] * 20), "X-Repo-Commit"),
    "cut for good": (lambda hub, _: setattr(hub, "cuts", [0] * 50), "does not deliver it"),
    "altered": (lambda hub, _: _alter(hub), "sha256"),
    "uploaded incomplete": (lambda hub, _: _shorten(hub), "broken"),
    "another kind of file": (lambda hub, _: _page(hub), "broken"),
    "no connection": (lambda _, monkeypatch: _no_hub(monkeypatch), "does not deliver it"),
    "offline": (lambda _, monkeypatch: _offline(monkeypatch), "HF_HUB_OFFLINE is set"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_an_error_and_leaves_nothing(hub, cache, monkeypatch, failure):
    fail, said = FAILURES[failure]
    with monkeypatch.context() as during:
        fail(hub, during)
        with pytest.raises(InputError, match=said) as caught:
            download(TAG)
    message = str(caught.value)
    assert TAG.repository in message
    assert "model.safetensors" in message
    assert "ry again" in message
    assert "\n" not in message
    assert not _large_files(cache)
    hub.__init__({TAG.repository: CONTENT}, hub.port)  # as new
    assert download(TAG).read_bytes() == CONTENT


# A cached file -> what befalls it.
DAMAGE = {
    "a byte": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "the end": lambda content: content[: len(content) // 2],
    "everything": lambda content: b"",
}


@pytest.mark.parametrize("linked", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_damaged_in_the_cache_is_not_used(hub, monkeypatch, damage, linked):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", not linked)
    path = download(TAG)
    assert path.is_symlink() == linked
    path.write_bytes(DAMAGE[damage](CONTENT))
    with pytest.raises(InputError, match="is broken.*removed from the cache"):
        download(TAG)
    assert not os.path.lexists(path)
    assert download(TAG).read_bytes() == CONTENT
    assert len(_gets(hub)) == 2


def test_a_damaged_file_in_a_store_that_repositories_share_is_removed_there(hub, tmp_path):
    path = download(TAG)
    blob, shared = path.resolve(), tmp_path / ("e" * 64)  # the store's names are no sha256
    shared.write_bytes(CONTENT)
    blob.unlink()
    blob.symlink_to(shared)
    assert download(TAG) == path
    shared.write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match="is broken"):
        download(TAG)
    assert not shared.exists()
    assert not os.path.lexists(blob)
    assert download(TAG).read_bytes() == CONTENT


def test_a_broken_file_that_can_not_be_removed_is_an_error(hub, monkeypatch):
    download(TAG).write_bytes(b"")

    def refuse(path, missing_ok=False):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    with pytest.raises(InputError, match="could not be removed.*delete it there"):
        download(TAG)


@contextlib.contextmanager
def _small_disk(folder):
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("A full disk needs the program mount.")
    if done.returncode:
        pytest.skip(f"A full disk needs a tmpfs, and the right to mount one: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.filterwarnings("ignore:Not enough free disk space")
def test_a_full_disk_is_an_error(hub, cache):
    with _small_disk(cache):
        with pytest.raises(InputError, match="disk.* is full; HF_HUB_CACHE") as caught:
            download(TAG)
        assert TAG.repository in str(caught.value)
        assert not _large_files(cache)


@pytest.mark.sampled
def test_a_model_with_published_weights(cache, tmp_path):
    """The whole road, in a new process that gets huggingface_hub's own variables and nothing else."""
    original = randomize_weights(MobileViTv2(width=0.5, input_shape=(64, 64, 3)), seed=3)
    to_timm(original, tmp_path / "model.safetensors")
    images = np.random.default_rng(4).integers(0, 256, (2, 64, 64, 3)).astype("uint8")
    np.save(tmp_path / "images.npy", images)
    program = (
        "import sys, numpy, keras_mobattn\n"
        f"model = keras_mobattn.MobileViTv2(width=.5, weights='{TAG.repository}', input_shape=(64, 64, 3))\n"
        "numpy.save('predictions.npy', model.predict(numpy.load('images.npy'), verbose=0))\n"
        "assert not {'torch', 'timm', 'transformers'} & set(sys.modules)\n"
    )
    with loopback.running({TAG.repository: (tmp_path / "model.safetensors").read_bytes()}) as running:
        environment = os.environ | running.environment(cache)
        subprocess.run([sys.executable, "-c", program], env=environment, cwd=tmp_path, check=True)
        assert len(_gets(running)) == 1
    expected = original.predict(images, verbose=0)
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(np.load(tmp_path / "predictions.npy"), expected, atol=1e-6)


def test_an_unknown_tag_does_not_ask_the_hub(hub):
    with pytest.raises(InputError, match="mobilevitv2_100.cvnets_in1k"):
        keras_mobattn.MobileViTv2(variant="test", weights="timm/mobilevitv2_10.cvnets_in1k")
    assert not hub.requests
