"""Try it: the answer to a photo and to the camera's frames, as `mobattn predict` gives it."""

import numpy as np
import pytest
from PIL import Image

from helpers.chromium import PHONE, page_of, until
from helpers.served_models import at, number_of
from keras_mobattn.commands.opened import open_model
from keras_mobattn.data import resize_and_crop
from keras_mobattn.data.photos import whole_photos


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(next(iter(whole_photos().values()))[:300, :500]).save(path)
    return path


EXPECTED = {  # file -> what the page says of a record, each a text
    "classifier_fp32": lambda record: [f"{each['class']} {percent(each['score'])}" for each in record["classes"]],
    "detector_fp32_anchors": lambda record: [f"{e['class']} {percent(e['score'])}" for e in record["objects"][:8]],
    "segmenter_fp32": lambda record: [
        f"{each['class']} {percent(each['share'])}" for each in record["classes"] if each["share"] >= 0.002
    ],
}


def percent(share):
    return f"{100 * share:.{int(share < 0.1)}f} %"


@pytest.mark.parametrize("name", EXPECTED)
def test_a_photo(name, browser, address, site, photo):
    """The answer is the one that `mobattn predict` gives for the photo by the same file."""
    opened = open_model(site.files[number_of(site, name)].path)
    pixels = np.asarray(Image.open(photo))
    seen = resize_and_crop(pixels, opened.image_size, **opened.view).numpy()
    expected = EXPECTED[name](opened.task.record(opened.predict(seen), opened.class_names, 5, pixels.shape[:2]))
    with page_of(browser, **PHONE) as page:
        at(page, address, site, name, "try")
        page.select_option("[data-status=backend]", "wasm")
        page.set_input_files("input[type=file]", photo)
        page.wait_for_selector("[data-figure=run]")
        told = [" ".join(text.split()) for text in page.locator("[data-answer] .bar").all_inner_texts()]
        size = page.evaluate("(({width, height}) => [width, height])(document.querySelector('canvas'))")
        page.select_option("[data-status=backend]", "wasm-threads")  # asks again
        until(page, "document.querySelector('[data-status=try]').textContent === ''")
        again = [" ".join(text.split()) for text in page.locator("[data-answer] .bar").all_inner_texts()]
    assert size == [500, 300]
    assert len(told) == len(expected) > 2
    wrong = [(one, other) for one, other in zip(told, expected, strict=True) if one != other]
    assert len(wrong) <= len(told) // 4, wrong  # half a percent here or there is rounded otherwise
    assert len(again) == len(told)


def test_a_file_that_is_no_photo(browser, address, site, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    with page_of(browser, **PHONE) as page:
        at(page, address, site, "classifier_fp32", "try")
        page.set_input_files("input[type=file]", tmp_path / "a.jpg")
        page.wait_for_selector("#problem:visible")
        assert page.inner_text("#problem") == "a.jpg is no photo that this browser can read."


def test_the_camera(browser, address, site):
    """Drawn mirrored where it faces the user; off when the screen is left."""
    with page_of(browser, permissions=["camera"], **PHONE) as page:
        at(page, address, site, "classifier_fp32", "try")
        page.select_option("[data-status=backend]", "wasm")
        page.click("[data-status=camera]")
        page.wait_for_selector("[data-figure=fps]")
        assert not page.evaluate("document.querySelector('canvas').hasAttribute('data-mirrored')")
        sides = """(() => { const {width: w, height: h} = document.querySelector('canvas');
            const data = document.querySelector('canvas').getContext('2d').getImageData(0, h / 2, w, 1).data;
            return [data[4 * Math.round(w * .35)], data[4 * Math.round(w * .65)]]; })()"""
        left, right = page.evaluate(sides)
        assert left < right - 40  # as the camera has it
        page.select_option("[data-status=backend]", "wasm-threads")  # while it runs
        told = "document.querySelector('[data-answer]')"
        page.evaluate(f"{told}.replaceChildren()")
        until(page, f"{told}.childElementCount === 5")
        assert page.locator("[data-answer] .bar").count() == 5
        page.click("[aria-label='Other camera']")
        until(page, "document.querySelector('canvas').hasAttribute('data-mirrored')")
        left, right = page.evaluate(sides)
        assert left > right + 40
        page.click("[data-status=camera]")  # stop
        assert page.inner_text("[data-status=camera]") == "Camera"
        page.click("[data-status=camera]")
        page.wait_for_selector("[data-figure=fps]")
        page.click("#home")
        page.wait_for_selector(".card")
        assert page.locator("video").count() == 0
        assert page.is_hidden("#problem")


def test_without_a_camera(browser, address, site):
    gone = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); };"
    with page_of(browser, **PHONE) as page:
        page.add_init_script(gone)
        at(page, address, site, "classifier_fp32", "try")
        page.click("[data-status=camera]")
        page.wait_for_selector("#problem:visible")
        assert page.inner_text("#problem").startswith("This page may not use the camera: allow it in the browser.")
