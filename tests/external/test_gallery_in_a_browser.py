"""A folder of a thousand runs in a real browser: there at once, searched, sorted, opened with keys alone."""

import json
import shutil
import time
from collections.abc import Iterator

import pytest

from cli.viewer.pages import lookup_for
from cli.viewer.server import PageServer, serve_beside
from tests.cli.viewer import browser as browsers
from tests.cli.viewer.browser import Browser
from tests.cli.viewer.folders import run_folder

pytestmark = pytest.mark.skipif(not (browsers.DRIVER and browsers.CHROMIUM), reason=browsers.MISSING)

RUNS = 1000
CARDS = "document.querySelectorAll('.cards li').length"
PROMPTS = "return [...document.querySelectorAll('.cards b')].map(b => b.textContent)"
SUMMARY = "document.querySelector('.summary').textContent"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gallery of copies of one run with other prompts, of which every 50th is unfinished."""
    root = tmp_path_factory.mktemp("runs")
    first = run_folder(root / "first")
    first.report.write_text("page")
    content = json.loads(first.configuration.read_text())
    for number in range(1, RUNS):
        path = root / f"{number:04}"
        shutil.copytree(first.path, path)
        prompt = f"a {('cup', 'chair', '<i>car</i>')[number % 3]} {number}"
        (path / "run.json").write_text(json.dumps(content | {"prompt": prompt}))
        if number % 50 == 0:
            (path / "report.html").unlink()
    with PageServer(lookup_for(root), 0) as server:
        serve_beside(server)
        yield server.address
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers.browser(*browsers.SOFTWARE_GL) as window:
        yield window


@pytest.mark.parametrize(("width", "columns"), [(1280, 7), (360, 2)])
def test_a_thousand_runs(browser: Browser, address: str, width: int, columns: int):
    browser.show(address, width, 800)
    browser.wait_for(f"{CARDS} > 0")
    assert (
        browser.run(f"return {SUMMARY}")
        == f"1,000 runs · 75% of their views recognised · {(RUNS - 1) // 50} unfinished"
    )
    shown = browser.run("return getComputedStyle(document.querySelector('.cards')).gridTemplateColumns").split()
    assert len(shown) == columns
    # only what is near the window is there, and only pictures near it are asked for
    assert browser.run(f"return {CARDS}") < 200
    asked = "performance.getEntriesByType('resource').filter(one => one.name.includes('picture.jpg')).length"
    browser.wait_for(f"document.querySelector('.cards img').naturalWidth == 160 && {asked} > 0")
    assert browser.run(f"return {asked}") < 150
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    before = browser.run(f"return {CARDS}")
    browser.run("scrollTo(0, document.body.scrollHeight)")
    browser.wait_for(f"{CARDS} > {before}")
    assert browser.messages() == []


def give(browser: Browser, name: str, value: str) -> None:
    """Fill in one of the fields above the cards."""
    browser.run(
        f"const field = document.querySelector('[name={name}]'); field.value = {json.dumps(value)};"
        "field.dispatchEvent(new Event('input', {bubbles: true}))"
    )


def test_search_order_and_keys(browser: Browser, address: str):
    browser.show(address, 1000, 800)
    browser.wait_for(f"{CARDS} > 0")
    browser.press("body", "/")
    assert browser.run("return document.activeElement.name") == "search"
    began = time.monotonic()
    give(browser, "search", "CAR</I> 99")
    assert time.monotonic() - began < 5
    give(browser, "order", "name")
    found = [f"a <i>car</i> {number}" for number in range(RUNS) if number % 3 == 2 and "99" in f"{number}"]
    assert browser.run(PROMPTS) == sorted(found)
    assert browser.run(f"return {SUMMARY}").startswith(f"{len(found)} runs of 1,000")
    assert browser.run("return document.querySelector('.cards i')") is None  # a prompt is never markup
    give(browser, "state", "unfinished")
    assert browser.run(f"return {SUMMARY}").startswith("0 runs of 1,000")
    give(browser, "state", "")
    give(browser, "search", "")
    assert browser.run(f"return {SUMMARY}").startswith("1,000 runs")
    browser.run("document.querySelector('.cards a').focus()")
    browser.run("document.activeElement.click()")
    browser.wait_for("document.querySelector('.viewer.ready')")
    assert browser.run("return document.querySelector('nav a').textContent") == "All runs"
    assert browser.messages() == []
