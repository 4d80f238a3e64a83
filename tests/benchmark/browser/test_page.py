"""The page on a phone's screen, driven as a thumb does: what it shows, what it sends, and what it says when things go
wrong."""

import dataclasses
import json
import statistics
import time

import pytest

from helpers.chromium import PHONE, WITHOUT_WEBGPU, hosted, page_of, until
from helpers.served_models import at, number_of
from keras_mobattn.benchmark.browser.received import read_row
from keras_mobattn.benchmark.browser.server import Door, serving, site_app
from keras_mobattn.benchmark.browser.static import write_static

THUMB = 44  # CSS pixels: Apple's least side of what is touched
COUNT = "document.querySelectorAll({}).length"
SCREENS = {
    "small": {**PHONE, "viewport": {"width": 360, "height": 640}},
    "portrait": PHONE,
    "landscape": {**PHONE, "viewport": {"width": 844, "height": 390}},
    "dark": {**PHONE, "color_scheme": "dark"},
}


@pytest.mark.parametrize("screen", SCREENS)
def test_all_screens_fit(screen, browser, address, site):
    with page_of(browser, **SCREENS[screen]) as page:
        wrong = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        for where in ("#/", "#/0/try", "#/0/measure", "#/0/prove", "#/all"):
            page.goto(address + where)
            page.wait_for_selector("#view button, #view .card")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), where
            for touched in page.query_selector_all("button, a, select, label, input[type=number]"):
                if touched.is_visible():
                    assert touched.bounding_box()["height"] >= THUMB, touched.inner_text()
            assert page.is_hidden("#problem")
        page.goto(address)
        page.wait_for_selector(".card")
        cards = page.locator(".card").all_inner_texts()
        assert len(cards) == len(site.files)
        facts = site.files[0].facts
        for text in (facts["name"], "Image classifier", "fp32", f"{facts['width']} x {facts['height']}", "MB"):
            assert text in cards[0]
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(18, 19, 23)" if screen == "dark" else "rgb(246, 246, 244)"
        )
        assert wrong == []


def measure(page, backends, **fields):
    for box in page.query_selector_all("input[type=checkbox]"):
        box.set_checked(box.get_attribute("data-backend") in backends) if box.is_enabled() else None
    for name, value in {"num_runs": 4, "min_secs": 0, **fields}.items():
        page.fill(f"[data-field={name}]", str(value))
    page.click("[data-status=measure]")


DONE = "document.querySelector('[data-status=measure]').textContent === 'Measure'"


def at_work(page, address, site, seconds):
    """Time a segmenter for so long; its first runs are over."""
    at(page, address, site, "segmenter_fp32", "measure")
    measure(page, ("wasm",), min_secs=seconds, max_secs=seconds)
    page.wait_for_selector("[data-figure=median]")


def test_measuring(browser, address, site, posted):
    with page_of(browser, **PHONE) as page:
        at(page, address, site, "segmenter_fp32", "measure")
        measure(page, ("wasm", "webgpu-fp32"))
        until(page, DONE)
        headings, medians = (
            page.locator(f".result {what}").all_inner_texts() for what in ("h3", "[data-figure=median]")
        )
        assert page.locator("[data-status=bars] .bar").count() == 2
        assert page.locator("[data-figure=heat]").count() == 0
        assert "The GPU took it whole." in page.inner_text("#view")
        measure(page, ("wasm",))  # once more: a row of its own
        until(page, DONE)
        assert page.locator("[data-status=bars] .bar").count() == 2
    rows = {key: row for key, row in (read_row(body, site.files) for body in posted)}
    assert [row.backend for row in rows.values()] == ["wasm", "webgpu fp32", "wasm"]
    for row in [*rows.values()][:2]:
        assert row.error is None
        assert row.details.finished
        assert row.details.right
        assert row.statistics.count == 4
        assert row.warmup_runs == 5
        assert row.first_ms > 0 < row.load_ms
        shown = zip(headings, medians, strict=True)
        (text,) = [text for heading, text in shown if ("GPU" in heading) == (row.backend != "wasm")]
        # three digits are shown, of a model that takes .2 ms as of one that takes 200
        assert float(text) == pytest.approx(statistics.median(row.samples_ms), rel=0.0051, abs=0.00051)
    first = json.loads(posted[0])
    assert (first["done"], first["samples_ms"]) == (False, [])


def test_measuring_all(browser, address, site, posted):
    with page_of(browser, **PHONE) as page:
        page.goto(address)
        page.click("[data-status=all]")
        page.wait_for_selector("[data-status=measure]")
        measure(page, ("wasm",))
        until(page, DONE)
        assert page.locator(".result").count() == len(site.files) == page.locator("[data-status=bars] .bar").count()
    rows = {key: row for key, row in (read_row(body, site.files) for body in posted)}
    assert {row.name for row in rows.values() if row.details.finished and row.details.right} == {
        file.facts["name"] for file in site.files
    }


def test_numbers_that_make_no_sense(browser, address, site, posted):
    with page_of(browser, **PHONE) as page:
        at(page, address, site, "segmenter_fp32", "measure")
        for fields in ({"num_runs": 0}, {"max_secs": ""}, {"min_secs": 40}):
            measure(page, ("wasm",), **{"max_secs": 30, **fields})
            assert "Expected at least one run" in page.inner_text("#problem")
    assert posted == []


def test_stopping(browser, address, site, posted):
    with page_of(browser, **PHONE) as page:
        at_work(page, address, site, 50)
        page.click("[data-status=measure]")
        until(page, DONE)
        assert page.inner_text(".result [data-status=error]") == "Stopped on the page."
    _, row = read_row(posted[-1], site.files)
    assert (row.error, row.details.finished) == ("Stopped on the page.", True)


@pytest.mark.sampled
def test_a_tab_that_is_closed(browser, address, site, posted):
    with page_of(browser, **PHONE) as page:
        at_work(page, address, site, 50)
        page.wait_for_timeout(6000)  # rows are sent every five seconds
        page.close()
    _, row = read_row(posted[-1], site.files)
    assert not row.details.finished
    assert len(row.samples_ms) > 10
    assert row.details.note.endswith("runs and no end: was the tab closed?")


def test_a_server_that_stops(browser, site):
    with page_of(browser, **PHONE) as page:
        with serving(site_app(site, "token", lambda body: None), [Door("127.0.0.1")]) as (port,):
            at(page, f"http://localhost:{port}/token/", site, "segmenter_fp32", "measure")
            measure(page, ("wasm",), min_secs=3, max_secs=3)
            page.wait_for_selector("[data-figure=median]")
        until(page, DONE)
        assert page.inner_text("[data-figure=right]") == "right"
        assert "The computer does not answer any more: this page keeps the results." in page.inner_text("#problem")
        measure(page, ("wasm",))
        until(page, DONE)
        assert "can't be had: the computer does not answer." in page.inner_text(".result >> nth=0")


def test_another_session(browser, address, site):
    """A page of an earlier start, whose token is no longer known, and a record that the server refuses."""
    with page_of(browser, **PHONE) as page:
        page.route("**/results", lambda route: route.fulfill(status=404, body="These results are for another session."))
        at(page, address, site, "segmenter_fp32", "measure")
        measure(page, ("wasm",))
        until(page, DONE)
        told = "The computer does not take a result: These results are for another session."
        assert page.inner_text("#problem") == told
        assert page.is_visible("[data-status=save]")


def test_a_result_that_was_not_taken_is_sent_again(browser, address, site, posted):
    with page_of(browser, **PHONE) as page:
        at(page, address, site, "segmenter_fp32", "measure")
        page.route("**/results", lambda route: route.abort())
        measure(page, ("wasm",))
        until(page, DONE)
        assert page.inner_text("#problem").startswith("The computer does not answer any more")
        assert page.is_visible("[data-status=save]")
        page.unroute("**/results")
        measure(page, ("wasm-threads",))
        until(page, DONE)
        assert page.is_hidden("#problem")
        assert page.is_hidden("[data-status=save]")
    rows = dict(read_row(body, site.files) for body in posted)
    assert [(row.num_threads > 1, row.details.finished) for row in rows.values()] == [(False, True), (True, True)]


@pytest.mark.sampled
def test_the_end_of_a_row_is_sent_after_a_slow_beginning(browser, address, site, posted):
    """The network is slower than the runs: a post of the row so far is still under way when the row is done."""

    def late(route):
        page.wait_for_timeout(3000)  # the post of the fifth second lasts until the eighth
        route.continue_()

    with page_of(browser, **PHONE) as page:
        page.route("**/results", late)
        at(page, address, site, "segmenter_fp32", "measure")
        measure(page, ("wasm",), min_secs=3, max_secs=3)  # after the first post: until about the seventh
        until(page, DONE)
    *_, row = dict(read_row(body, site.files) for body in posted).values()
    assert row.details.finished
    assert row.details.note == ""


def no_workers(page):
    """Chromium tells of a worker's end a little later."""
    end = time.monotonic() + 5
    while page.workers:
        assert time.monotonic() < end
        page.wait_for_timeout(50)


def test_a_screen_that_is_left_ends_its_engine(browser, address, site, posted):
    """Nothing runs beside the next timing."""
    with page_of(browser, **PHONE) as page:
        at_work(page, address, site, 50)
        page.click("[data-tab=prove]")
        page.wait_for_selector("[data-status=prove]")
        no_workers(page)
        page.click("[data-status=prove]")
        page.click("[data-tab=measure]")
        page.wait_for_selector("[data-status=measure]")
        no_workers(page)
    assert read_row(posted[-1], site.files)[1].error == "Stopped on the page."


def test_a_page_that_was_hidden(browser, address, site, posted):
    with page_of(browser, **PHONE) as page:
        at_work(page, address, site, 3)
        page.evaluate(
            "Object.defineProperty(document, 'hidden', {get: () => true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        until(page, DONE)
        assert "The page was hidden while it was timed" in page.inner_text(".result")
    assert "Time it again." in read_row(posted[-1], site.files)[1].error


def test_a_wrong_backend_is_not_timed(browser, site):
    taken, file = [], site.files[number_of(site, "segmenter_fp32")]
    wrong = dataclasses.replace(file, outputs={name: -values for name, values in file.outputs.items()})
    other = dataclasses.replace(site, files=(wrong,))
    with serving(site_app(other, "token", taken.append), [Door("127.0.0.1")]) as (port,), page_of(browser) as page:
        at(page, f"http://localhost:{port}/token/", other, "segmenter_fp32", "measure")
        measure(page, ("wasm",))
        until(page, DONE)
        assert page.inner_text("[data-figure=right]") == "not timed"
        assert page.locator("[data-figure=median]").count() == 0
        page.click("[data-tab=prove]")
        page.click("[data-status=prove]")
        page.wait_for_selector("[data-backend=wasm] .bad")
        assert page.inner_text("[data-backend=wasm] .bad") == "wrong"
    _, row = read_row(taken[-1], other.files)
    assert row.error.startswith("Not as Keras (")
    assert row.statistics is None
    assert row.details.right is False


def test_proving(browser, address, site):
    with page_of(browser, WITHOUT_WEBGPU, **PHONE) as page:
        at(page, address, site, "classifier_int8", "prove")
        assert "Runs 2 images whose answers are known, by Keras (" in page.inner_text("#view")
        page.click("[data-status=prove]")
        page.wait_for_selector("[data-backend=wasm-threads] .good")
        assert page.locator(".result .good").count() == 2
        assert "This browser has no WebGPU." in page.inner_text("[data-backend=webgpu-fp16]")
        page.goto(address)
        page.wait_for_selector(".card")
        assert "This browser has no WebGPU." in page.inner_text("#view")


def test_a_model_that_is_too_large(browser, address, site):
    with page_of(browser, **PHONE) as page:

        def enlarge(route):
            manifest = route.fetch().json()
            manifest["models"][0]["size_bytes"] = 10**12
            route.fulfill(json=manifest)

        page.route("**/manifest.json", enlarge)
        at(page, address, site, site.files[0].facts["name"], "measure")
        measure(page, ("wasm",))
        until(page, DONE)
        assert "does not fit this browser's memory. Try a smaller file, int8 say." in page.inner_text(".result")


def test_a_folder_on_any_host(browser, site, tmp_path):
    """No isolation there, hence one thread; results are a file."""
    write_static(site, tmp_path / "site")
    with hosted(tmp_path / "site") as address, page_of(browser, **PHONE, accept_downloads=True) as page:
        page.goto(f"{address}/")
        page.wait_for_selector(".card")
        assert "Threads take a page with isolation headers" in page.inner_text("#view")
        at(page, f"{address}/", site, "segmenter_fp32", "measure")
        assert page.is_disabled("input[data-backend=wasm-threads]")
        measure(page, ("wasm",))
        until(page, DONE)
        assert page.is_hidden("#problem")
        page.evaluate("navigator.canShare = undefined")
        with page.expect_download() as download:
            page.click("[data-status=save]")
        saved = json.loads(download.value.path().read_text())
    (row,) = saved["rows"]
    assert read_row(json.dumps(row), site.files)[1].statistics.count == 4


def test_a_manifest_that_is_gone(browser, address):
    with page_of(browser, **PHONE) as page:
        page.route("**/manifest.json", lambda route: route.abort())
        page.goto(address)
        page.wait_for_selector("#problem:visible")
        assert page.inner_text("#problem").startswith("The computer does not answer any more.")


def test_a_curve_of_heat(browser, address):
    with page_of(browser) as page:
        page.goto(f"{address}manifest.json")
        found = page.evaluate(
            """async () => { const {curve, slowDown} = await import('./curve.js');
            const slower = Array.from({length: 1000}, (_, i) => 20 + i / 100);
            const points = curve(slower).querySelector('polyline').getAttribute('points').split(' ');
            const places = points.map((each) => each.split(',').map(Number));
            return {points: places, said: slowDown(slower), same: slowDown([5, 5, 5])}; }"""
        )
    assert found["said"] == "After 25 s: 38 % slower than at the beginning."  # 29.0 against 21.0
    assert found["same"] == "After 0 s: as fast as at the beginning."
    xs, ys = zip(*found["points"], strict=True)
    assert len(xs) == 59
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys, reverse=True)  # up is slower
    assert (xs[-1], ys[-1]) == (100, pytest.approx(9, abs=0.5))
