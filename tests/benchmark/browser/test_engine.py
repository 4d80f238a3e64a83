"""LiteRT.js in Chromium: what it computes and how fast, by the page's own modules, on each backend that a browser may
have; without JSPI, WebGPU or isolation; and files that it can't run."""

import dataclasses
import json

import numpy as np
import pytest

from helpers.chromium import WITHOUT_JSPI, WITHOUT_WEBGPU, page_of
from helpers.served_models import MADE, PROVEN, litert, manifest_of
from keras_mobattn.benchmark.browser.server import Door, serving, site_app

BACKENDS = ("wasm", "wasm-threads", "webgpu-fp32", "webgpu-fp16")


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_computes_what_keras_does(backend, browser, address, site):
    with page_of(browser) as page:
        models = manifest_of(page, address)
        assert [*models] == [*MADE]
        for name in ("classifier_fp32", "segmenter_fp32") if backend == "webgpu-fp16" else MADE:
            found = page.evaluate(PROVEN, [models[name], backend])
            assert found["proof"]["right"], found["proof"]["sentence"]
            assert found["proof"]["images"] == 2
            if "fp32" in name:
                rounding = 1e-2 if backend == "webgpu-fp16" else 1e-4  # stored in float16
                assert found["proof"]["max_abs_error"] < rounding * found["proof"]["spread"]
            on_gpu = backend.startswith("webgpu")
            assert found["whole"] == ((name != "detector_fp32") if on_gpu else None)  # it ends in a custom operator
            assert found["threads"] is None if on_gpu else found["threads"] >= 1 + (backend == "wasm-threads")
            assert found["fell_back"] == ""
            assert len(found["samples"]) == 3 == len(found["timed"]["samples_ms"])
            assert min(found["samples"]) > 0
            assert found["timed"]["first_ms"] > 0


def test_what_the_reference_is(site):
    sources = {file.facts["name"]: file.proof["source"] for file in site.files}
    assert sources.pop("detector_fp32") == "LiteRT on this computer"  # whose objects the file itself finds
    assert all(source.startswith("Keras (") for source in sources.values())
    limits = {file.facts["name"]: file.proof["limits"] for file in site.files}
    assert limits["segmenter_fp32"]["wasm"] == {"max_error": 1e-3, "min_agreement": 0.995, "exact": True}
    assert limits["segmenter_fp32"]["webgpu-fp16"] == {"max_error": 0.05, "min_agreement": 0.98, "exact": False}
    assert limits["classifier_int8"]["wasm"]["max_error"] > 1e-3
    assert [file.facts["dtype"] for file in site.files][:3] == ["float32", "float32", "uint8"]
    facts = {file.facts["name"]: file.facts for file in site.files}
    assert [facts[name]["precision"] for name in MADE] == ["fp32", "int8", "int8", "fp32", "fp32", "fp32"]
    assert [facts[name]["task"] for name in MADE] == ["classification"] * 3 + ["detection"] * 2 + ["segmentation"]


def test_a_wrong_backend_is_named(browser, address, site):
    """Here it is the reference that is wrong."""
    file = site.files[0]
    wrong = dataclasses.replace(file, outputs={name: values[:, ::-1] for name, values in file.outputs.items()})
    other = dataclasses.replace(site, files=(wrong,))
    with serving(site_app(other, "token", print), [Door("127.0.0.1")]) as (port,), page_of(browser) as page:
        (model,) = manifest_of(page, f"http://localhost:{port}/token/").values()
        proof = page.evaluate(PROVEN, [model, "wasm"])["proof"]
    assert not proof["right"]
    assert proof["sentence"].startswith("Not as Keras (")
    assert "expected 1e-3" in proof["sentence"]


def test_without_jspi(browser, address):
    """As Safari: a model that the GPU takes whole runs there, another one not at all, and it is said."""
    with page_of(browser, WITHOUT_JSPI) as page:
        models = manifest_of(page, address)
        features = page.evaluate("async () => (await (await import('./host.js')).lookAround()).features")
        assert features == {"webgpu": True, "jspi": False, "threads": True, "relaxed_simd": True, "shader_f16": False}
        whole = page.evaluate(PROVEN, [models["segmenter_fp32"], "webgpu-fp32"])
        assert (whole["whole"], whole["fell_back"], whole["proof"]["right"]) == (True, "", True)
        part = page.evaluate(PROVEN, [models["detector_fp32"], "webgpu-fp32"])
        assert part["whole"] is False
        assert "has no JSPI, ran all of it on the CPU" in part["fell_back"]
        assert part["proof"]["right"]


HERE = """async () => {
  const {lookAround, backendsHere} = await import('./host.js');
  const here = backendsHere(await lookAround());
  return Object.fromEntries(here.map(({name, available, why}) => [name, available ? '' : why]));
}"""


def test_what_can_be_used(browser, address):
    with page_of(browser) as page:
        manifest_of(page, address)
        assert page.evaluate(HERE) == dict.fromkeys(BACKENDS, "")
    with page_of(browser, WITHOUT_WEBGPU) as page:
        manifest_of(page, address)
        here = page.evaluate(HERE)
    assert here["webgpu-fp16"] == here["webgpu-fp32"] == "This browser has no WebGPU."
    with page_of(browser) as page:
        page.route("**/manifest.json", lambda route: route.fulfill(body="{}", content_type="application/json"))
        page.goto(f"{address}manifest.json")  # without isolation headers
        assert "isolation headers" in page.evaluate(HERE)["wasm-threads"]


NAMED = "async (agents) => { const {named} = await import('./host.js'); return agents.map((each) => named(each)); }"
TOLD = "async ([agent, data, touches]) => (await import('./host.js')).named(agent, data, touches)"
AGENTS = {
    "Mozilla/5.0 (iPhone; CPU iPhone OS 26_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 "
    "Mobile/15E148 Safari/604.1": ("Safari 26.1", "iOS 26.1", "iPhone"),
    "Mozilla/5.0 (Linux; Android 16; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Mobile "
    "Safari/537.36": ("Chrome 150.0.0.0", "Android 16", "Pixel 9"),
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Mobile Safari/537.36": (
        "Chrome 150.0.0.0", "Android 10", "",
    ),
    "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0": ("Firefox 140.0", "Android 15", ""),
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36 "
    "Edg/150.0.0.0": ("Edge 150.0.0.0", "Windows 10.0", ""),
    "curl": ("unknown", "unknown", ""),
}  # fmt: skip


def test_browsers_by_name(browser, address):
    with page_of(browser) as page:
        manifest_of(page, address)
        found = page.evaluate(NAMED, [*AGENTS])
        chrome, mac = (
            [*AGENTS][2],
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605 Version/26.1 Safari/605",
        )
        pixel = page.evaluate(TOLD, [chrome, {"model": "Pixel 9", "platformVersion": "16.0.0"}, 5])
        tablet = page.evaluate(TOLD, [mac, None, 5])
    assert [(each["browser"], each["system"], each["device"]) for each in found] == [*AGENTS.values()]
    assert pixel == {"browser": "Chrome 150.0.0.0", "system": "Android 16", "device": "Pixel 9"}
    assert tablet == {"browser": "Safari 26.1", "system": "iPadOS", "device": "iPad"}


def test_files_that_it_cant_run(browser, site, tmp_path):
    """Each with a sentence, and the next file runs all the same."""
    good = site.files[0]
    (tmp_path / "damaged.tflite").write_bytes(good.path.read_bytes()[:2000])
    (tmp_path / "text.tflite").write_bytes(b"no model" * 400)

    def changed(path, **facts):
        content = path.read_bytes()
        told = {**good.facts, "size_bytes": len(content), **facts}
        return dataclasses.replace(good, path=path, content=content, facts=told)

    files = (
        changed(tmp_path / "damaged.tflite"),
        changed(tmp_path / "text.tflite"),
        changed(good.path, dtype="int8"),
        changed(good.path, size_bytes=10**6),
        good,
    )
    other = dataclasses.replace(site, files=files)
    attempt = """async (model) => {
      const {openEngine} = await import('./engine.js');
      try { (await openEngine(model, 'wasm')).close(); return ''; } catch (error) { return error.message; }
    }"""
    with serving(site_app(other, "token", print), [Door("127.0.0.1")]) as (port,), page_of(browser) as page:
        page.goto(f"http://localhost:{port}/token/manifest.json")
        models = page.evaluate("async () => (await fetch('manifest.json')).json()")["models"]
        told = [page.evaluate(attempt, model) for model in models]
        gone = page.evaluate(attempt, {**models[0], "path": "models/99.tflite"})
    assert "no .tflite file that LiteRT.js can read" in told[0]
    assert "no .tflite file that LiteRT.js can read" in told[1]
    assert "has inputs and outputs of float32 and uint8, and this file has int8" in told[2]
    assert "came in part" in told[3]
    assert told[4] == ""
    assert "can't be had: the answer was 404" in gone


def test_the_folder_of_litert_js(site):
    assert json.loads(json.dumps(site.manifest()))["litert"] == "2.5.3"
    assert (litert() / "litert.js").read_text().count('"./wasm-utils.js"') == 1
    assert np.all([file.images.dtype == np.uint8 for file in site.files])
