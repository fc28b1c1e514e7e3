"""The page of a trace, in a real browser: what is drawn, clicked, searched and zoomed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from layerstore.command import main
from layerstore.drivers.records.journal_format import Row
from tests.trace.chromium import PROGRAM, Chromium
from tests.trace.traces import made_up, record_everything, write_rows

pytestmark = pytest.mark.needs(PROGRAM)


def page_of(journal: Path, *options: str) -> Path:
    out = journal.with_suffix(".html")
    assert main(["trace", str(journal), "--html", str(out), *options]) == 0
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as running:
        yield running


@pytest.fixture
def quiet(browser: Chromium) -> Iterator[Chromium]:
    """The browser, which may neither complain nor load anything but the page."""
    browser.complaints.clear()
    browser.requested.clear()
    yield browser
    assert browser.complaints == []
    assert {url.split(":", 1)[0] for url in browser.requested} <= {"file", "data"}
    assert len([url for url in browser.requested if url.startswith("file:")]) == 1


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, base_directory: Path) -> Path:
    """A journal of a store that has done everything."""
    place = base_directory / "traced"
    place.mkdir()
    return record_everything(place)


def records_of(journal: Path, capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capfd.readouterr()
    assert main(["trace", str(journal), "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capfd.readouterr().out)
    return found


def details(browser: Chromium) -> str:
    text: str = browser.evaluate("document.getElementById('details').innerText")
    return text


def test_a_click_shows_a_record_and_the_way_to_what_it_belongs_to(
    quiet: Chromium, real: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    records = records_of(real, capfd)
    quiet.open(page_of(real))
    assert f"{len(records)} records" in details(quiet)
    register = next(record for record in records if record["kind"] == "Register")
    place = quiet.evaluate(f"trace.where({register['sequence']})")
    quiet.click(place["x"], place["y"])
    assert quiet.evaluate("trace.selected()") == register["sequence"]
    assert details(quiet).startswith("Register")
    assert "Led to" in details(quiet)
    quiet.click_on("#details li button")
    led_to = next(record for record in records if record["cause"] == register["sequence"])
    assert quiet.evaluate("trace.selected()") == led_to["sequence"]
    assert "Caused by" in details(quiet)
    quiet.press("Escape")
    assert quiet.evaluate("trace.selected()") is None


def test_a_search_finds_and_steps_through_what_fits(
    quiet: Chromium, real: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wanted = [
        record["sequence"] for record in records_of(real, capfd) if "job-7" in record["summary"]
    ]
    quiet.open(page_of(real))
    quiet.click_on("#search")
    quiet.type("JOB-7")
    assert quiet.evaluate("trace.matches()") == wanted
    assert f"{len(wanted)} found" in quiet.evaluate("document.body.innerText")
    quiet.press("Enter")
    assert quiet.evaluate("trace.selected()") == wanted[0]
    quiet.press("Enter")
    assert quiet.evaluate("trace.selected()") == wanted[1]
    quiet.click_on("#previous")
    assert quiet.evaluate("trace.selected()") == wanted[0]
    place = quiet.evaluate(f"trace.where({wanted[0]})")
    assert 0 < place["y"] < 900, "what is found is brought into view"
    quiet.press("Escape")
    quiet.type("nothing has this name")
    assert quiet.evaluate("trace.matches()") == []


def test_the_wheel_zooms_around_the_mouse_and_dragging_moves(quiet: Chromium, real: Path) -> None:
    quiet.open(page_of(real))
    before = quiet.evaluate("({...trace.view})")
    quiet.mouse("mouseWheel", 400, 500, deltaX=0, deltaY=-300)
    quiet.settle()
    zoomed = quiet.evaluate("({...trace.view})")
    assert zoomed["zoom"] > 1.3 * before["zoom"]
    top = quiet.evaluate("document.getElementById('diagram').getBoundingClientRect().y")
    fixed = [view["top"] + (500 - top - 46) / view["zoom"] for view in (before, zoomed)]
    assert fixed[0] == pytest.approx(fixed[1], abs=0.1)
    quiet.mouse("mousePressed", 400, 600, button="left", clickCount=1)
    for y in (560, 500):
        quiet.mouse("mouseMoved", 400, y, button="left", buttons=1)
    quiet.mouse("mouseReleased", 400, 500, button="left", clickCount=1)
    quiet.settle()
    moved = quiet.evaluate("({...trace.view})")
    assert moved["top"] - zoomed["top"] == pytest.approx(100 / zoomed["zoom"], rel=0.05)
    assert quiet.evaluate("trace.selected()") is None, "a drag is no click"
    quiet.click_on("#by-time")
    assert quiet.evaluate("trace.view.mode") == "time"
    quiet.click_on("#fit")
    assert quiet.evaluate("trace.view.top") == 0


def test_what_was_recorded_is_never_markup_or_script(quiet: Chromium, tmp_path: Path) -> None:
    nasty = "</script><script>window.broken = 1</script><img src=x onerror='window.broken=1'>"
    nasty += "<!-- @data@ @page.js@ &lt; \u2028 \ud800"
    row: Row = (1, 0, 1, "caller", nasty, nasty, nasty, 1, 2, 3, nasty, {nasty: nasty})
    quiet.open(page_of(write_rows(tmp_path / "nasty", iter([row]))))
    place = quiet.evaluate("trace.where(1)")
    quiet.click(place["x"], place["y"])
    assert quiet.evaluate("trace.selected()") == 1
    assert "</script><script>" in details(quiet)
    assert quiet.evaluate("window.broken") is None
    assert quiet.evaluate("document.querySelectorAll('img, script').length") == 2


def test_ten_thousand_records_are_drawn_at_once(quiet: Chromium, tmp_path: Path) -> None:
    quiet.open(page_of(write_rows(tmp_path / "many", made_up(10_000))))
    assert "10000 records" in details(quiet)
    quiet.click_on("#fit")
    begin = time.monotonic()
    for _ in range(5):
        quiet.mouse("mouseWheel", 400, 400, deltaX=0, deltaY=-120)
        quiet.settle()
    assert time.monotonic() - begin < 30
    quiet.click_on("#search")
    quiet.type("drivererror")
    found = quiet.evaluate("trace.matches()")
    assert 100 < len(found) < 400
    quiet.press("Enter")
    place = quiet.evaluate(f"trace.where({found[0]})")
    quiet.press("Escape")
    quiet.click(place["x"], place["y"])
    assert quiet.evaluate("trace.selected()") is not None


def test_light_and_dark_are_told_apart_and_something_is_drawn(real: Path) -> None:
    page = page_of(real)
    seen = {}
    for dark in (False, True):
        with Chromium(dark=dark, width=900, height=600) as browser:
            browser.open(page)
            seen[dark] = browser.evaluate(
                "getComputedStyle(document.body).backgroundColor + ' ' + (() => {"
                "const c = document.getElementById('diagram');"
                "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
                "const seen = new Set();"
                "for (let i = 0; i < d.length; i += 4) seen.add(d[i] << 16 | d[i+1] << 8 | d[i+2]);"
                "return seen.size; })()"
            )
            assert int(seen[dark].split()[-1]) > 50
            assert browser.screenshot().startswith(b"\x89PNG")
            assert browser.complaints == []
    assert seen[False].rsplit(" ", 1)[0] == "rgb(247, 248, 250)"
    assert seen[True].rsplit(" ", 1)[0] == "rgb(18, 22, 28)"
