"""The studio in a real browser: ordered with keys alone, seen as it forms, stopped, continued, found in the gallery."""

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.scenes.request import Request
from cli.scenes.workers import Workplace
from cli.studio.server import Studio
from cli.studio.settings import Wish, request_of
from cli.studio.workshop import Workshop
from cli.viewer.server import PageServer, serve_beside
from tests.cli.viewer import browser as browsers
from tests.cli.viewer.browser import Browser
from tests.cli.viewer.folders import run_folder
from tests.external.studio_worker import READY as FILES
from tests.external.studio_worker import begin_slowly

pytestmark = pytest.mark.skipif(not (browsers.DRIVER and browsers.CHROMIUM), reason=browsers.MISSING)

STAGES = "[...document.querySelectorAll('.orders li')].map(li => li.dataset.stage).join()"
READY = "document.querySelector('.viewer').classList.contains('ready')"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    run_folder(tmp_path / FILES).report.write_text("page")
    with Workshop(Workplace("embedded", "cpu", overwrite=False), begin_slowly) as workshop:
        studio = Studio(tmp_path, "embedded", workshop)
        with PageServer(studio.lookup, 0, studio.act) as server:
            serve_beside(server)
            yield server.address
            server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers.browser(*browsers.SOFTWARE_GL) as window:
        yield window


def write(browser: Browser, text: str) -> None:
    """Type into what has the focus, and press Enter."""
    browser.run("document.activeElement.select?.()")
    browser.command("Input.insertText", text=text)
    for kind in ("keyDown", "keyUp"):
        browser.command(
            "Input.dispatchKeyEvent",
            type=kind,
            key="Enter",
            code="Enter",
            windowsVirtualKeyCode=13,
            text="\r" if kind == "keyDown" else "",
        )


@pytest.mark.parametrize("width", [1280, 360])
def test_an_object_is_ordered_seen_and_kept(browser: Browser, address: str, width: int, tmp_path: Path):
    browser.show(address, width, 900)
    assert browser.run("return document.activeElement.name") == "prompt"
    write(browser, "a red ball")
    write(browser, "an endless <b>ball</b>")
    browser.wait_for("document.querySelector('.orders progress')?.value == 0.5", 1800)  # the process begins
    browser.wait_for(READY)  # the surface of the run that goes on
    browser.wait_for("document.querySelector('img.now').naturalWidth > 0")
    (tmp_path / "go").write_text("")
    browser.wait_for(f"{STAGES} == 'running,finished'")
    browser.wait_for("document.querySelectorAll('.cards li').length >= 1")
    assert browser.run("return document.querySelector('.orders b')") is None
    stop = "document.querySelector('[aria-label^=\"Stop: an endless\"]')"
    browser.run(f"{stop}.focus()")
    browser.run("document.activeElement.click()")
    browser.wait_for(f"{STAGES} == 'stopped,finished'")
    browser.run("document.querySelector('[aria-label^=\"Continue\"]').click()")
    browser.wait_for(f"{STAGES} == 'finished,finished'", 1800)  # another process
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    browser.run("document.querySelector('.orders a').click()")
    browser.wait_for("document.querySelector('a[href=\"as.stl\"]')")
    assert browser.messages() == []


def test_orders_are_made_in_the_order_in_which_they_were_given(
    browser: Browser, address: str, monkeypatch: pytest.MonkeyPatch
):
    """The first one takes a while to be read, as it does just after the studio has begun."""

    def read_slowly(wish: Wish, teacher: str) -> Request:
        time.sleep(2 if wish["prompt"] == "first" else 0)
        return request_of(wish, teacher)

    monkeypatch.setattr("cli.studio.server.request_of", read_slowly)
    browser.show(address, 900, 900)
    for prompt in ("first", "second", "third"):
        write(browser, prompt)
    browser.wait_for("document.querySelectorAll('.orders li').length == 3")
    prompts = "return [...document.querySelectorAll('.orders .choose')].map(button => button.textContent)"
    assert browser.run(prompts) == ["third", "second", "first"]


def test_what_makes_no_sense_is_said_on_the_page(browser: Browser, address: str):
    browser.show(address, 900, 900)
    browser.run(
        "document.querySelector('.order details').open = true; document.querySelector('[name=seed]').value = '-3'"
    )
    browser.run(
        "document.querySelector('[name=seed]').removeAttribute('min'); document.querySelector('[name=prompt]').focus()"
    )
    write(browser, "a cup")
    browser.wait_for("document.querySelector('.refusal').textContent.includes('--seed')")
    assert browser.run("return document.querySelector('.orders').children.length") == 0
    helped = (
        "document.getElementById(document.querySelector('[name=method]').getAttribute('aria-describedby')).textContent"
    )
    assert "steadiest" in browser.run(f"return {helped}")


def test_an_order_from_another_site_is_refused(browser: Browser, address: str):
    page = f"<script>fetch('{address}orders', {{method: 'POST', body: '{{}}'}}).catch(() => 0)</script>"
    browser.show("data:text/html;base64," + base64.b64encode(page.encode()).decode())
    browser.wait_for("performance.getEntriesByType('resource').length == 1")
    browser.show(address)
    browser.wait_for("document.querySelector('.state').textContent == 'Nothing is ordered.'")
    assert browser.run("return document.querySelector('.orders').children.length") == 0
