"""Every family and task with its own attention and with mobile, and MobileViTv2 with every style, in Chromium: on the
CPU and on WebGPU, against Keras."""

import dataclasses

import pytest

from helpers import cases
from helpers.chromium import page_of
from helpers.detectors import NAMES
from helpers.made_up_site import PROTOCOL
from helpers.segmenters import segmenter
from helpers.served_models import ANY, PROVEN, litert, manifest_of
from keras_mobattn import export, randomize_weights
from keras_mobattn.benchmark.browser.server import Door, serving, site_app
from keras_mobattn.benchmark.browser.site import Site
from keras_mobattn.commands.served import served_files
from keras_mobattn.tasks.detection import SSDLite

SIDE = 64
CLASSIFIERS = [(family, style) for family, styles in cases.TWO_STYLES.items() for style in styles]
CLASSIFIERS += [("MobileViTv2", style) for style in cases.ATTENTIONS if ("MobileViTv2", style) not in CLASSIFIERS]


def detector(family):
    backbone = cases.FAMILIES[family](include_top=False, input_shape=(SIDE, 2 * SIDE, 3))
    return randomize_weights(SSDLite(backbone, len(NAMES)), 1)


MADE = {
    f"{family}-{style}": (lambda f=family, s=style: cases.tiny_model(f, s, SIDE), {}) for family, style in CLASSIFIERS
}
MADE |= {f"{family}-detector": (lambda f=family: detector(f), {"form": "anchors"}) for family in cases.FAMILIES}
MADE |= {
    f"{family}-segmenter": (lambda f=family: segmenter(family=f, auxiliary=False), {}) for family in cases.FAMILIES
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_in_a_browser(name, browser, tmp_path):
    make, options = MADE[name]
    source, path = export.load(make()), tmp_path / "model_fp32.tflite"
    source.model.save(tmp_path / "model.keras")
    export.to_tflite(source, path, "fp32", tolerance=ANY, **options)
    ((file, note),) = served_files([path])
    assert note == ""
    few = dataclasses.replace(file, images=file.images[:2], outputs={n: v[:2] for n, v in file.outputs.items()})
    site = Site(name, (few,), litert(), PROTOCOL)
    with serving(site_app(site, "token", print), [Door("127.0.0.1")]) as (port,), page_of(browser) as page:
        (model,) = manifest_of(page, f"http://localhost:{port}/token/").values()
        for backend in ("wasm", "webgpu-fp32"):
            found = page.evaluate(PROVEN, [model, backend])
            assert found["proof"]["right"], (backend, found["proof"]["sentence"])
            assert found["proof"]["max_abs_error"] < 2e-4 * found["proof"]["spread"]
            assert found["whole"] in (None, True)
