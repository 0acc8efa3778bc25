"""The pages in a real browser: the object is seen, in its colours and in every mode, and nobody complains."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cli.scenes.curves import CurvePoint
from cli.scenes.live import PICTURE_SIZE, LiveView, Turn
from cli.viewer.charts import Curve, chart
from cli.viewer.file_page import file_page
from cli.viewer.markup import element, joined
from cli.viewer.page import Page, data_address, html_of, splat_viewer, turning, viewer
from cli.viewer.run_page import write_report
from cli.viewer.server import PageServer, page_resource, serve_beside
from representations.assets.asset import Asset
from representations.assets.formats.gltf_writing import glb_bytes
from representations.assets.pictures import render_mesh
from representations.cameras import Cameras
from representations.gaussians.files import Gaussians, splat_bytes
from representations.geometry.mesh import Mesh
from tests.cli.viewer import browser as browsers
from tests.cli.viewer.browser import Browser
from tests.cli.viewer.folders import run_folder
from tests.cli.viewer.objects import ball, box_with_texture

pytestmark = pytest.mark.skipif(not (browsers.DRIVER and browsers.CHROMIUM), reason=browsers.MISSING)

READY = "document.querySelector('.viewer').classList.contains('ready')"
RED, GREEN, BLUE = range(3)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers.browser(*browsers.SOFTWARE_GL) as window:
        yield window


def written(folder: Path, model: bytes, title: str = "a red ball", fallback: str | None = None) -> str:
    """The address of a page with a model inside."""
    page = Page(
        title, joined(element("h1", title), viewer(fallback and turning(fallback, title), "1 m wide", title)), model
    )
    path = folder / "report.html"
    path.write_bytes(html_of(page).encode())
    return path.as_uri()


def share_of(picture: np.ndarray, channel: int) -> float:
    """The share of pixels in which one channel clearly leads."""
    others = np.delete(picture, channel, axis=2).max(axis=2)
    return float((picture[..., channel] > others + 60).mean())


def choose(browser: Browser, mode: str) -> np.ndarray:
    browser.run(f"document.querySelector('input[value={mode}]').click()")
    assert browser.run("return document.querySelector('.stage').dataset.mode") == mode
    return browser.picture(".stage")


def test_a_ball_is_seen_in_every_mode(browser: Browser, tmp_path: Path):
    mesh = ball((0.9, 0.1, 0.1))
    browser.show(written(tmp_path, glb_bytes(Asset(mesh))))
    browser.wait_for(READY)
    assert int(browser.run("return document.querySelector('.stage').dataset.faces")) == len(mesh.faces)
    assert browser.run("return document.querySelector('.stage').dataset.mode") == "lit"
    picture = choose(browser, "colour")
    # A ball that fills its picture covers pi / 4 of the square of the shorter side; there is a small margin.
    height, width = picture.shape[:2]
    assert share_of(picture, RED) == pytest.approx(np.pi / 4 * min(height, width) / max(height, width), rel=0.08)
    assert picture[height // 2, width // 2] == pytest.approx([0.9 * 255, 0.1 * 255, 0.1 * 255], abs=3)
    lit = choose(browser, "lit")
    assert share_of(lit, RED) > 0.2
    assert lit[height // 2].std() > picture[height // 2].std() * 0.2
    wires = choose(browser, "wireframe")
    assert share_of(wires, RED) == 0
    middle = wires[height // 3 : 2 * height // 3, width // 2 - height // 6 : width // 2 + height // 6].mean(axis=2)
    assert middle.std() > 10  # lines
    normals = choose(browser, "normals")
    assert normals[height // 2, width // 2] == pytest.approx([128, 128, 255], abs=12)  # towards the eye
    assert browser.messages() == []


def test_textures_and_normal_maps_are_shown(browser: Browser, tmp_path: Path):
    browser.show(written(tmp_path, glb_bytes(box_with_texture((20, 60, 230)))))
    browser.wait_for(READY)
    assert share_of(browser.picture(".stage"), BLUE) > 0.15
    flat = choose(browser, "normals")
    tilted = np.full((8, 8, 3), (230, 128, 200), np.uint8)
    browser.show(written(tmp_path, glb_bytes(box_with_texture((20, 60, 230), normal=tilted))))
    browser.wait_for(READY)
    assert np.abs(choose(browser, "normals") - flat).max() > 60
    assert browser.messages() == []


def test_keys_turn_zoom_and_choose(browser: Browser, tmp_path: Path):
    browser.show(written(tmp_path, glb_bytes(box_with_texture((20, 60, 230)))))
    browser.wait_for(READY)
    browser.press("canvas", "1")  # the frame that shows the focus is in all pictures
    first = browser.picture(".stage")
    browser.press("canvas", "ArrowRight")
    browser.wait_for("!modelViewer.viewer.waiting")
    turned = browser.picture(".stage")
    assert np.abs(turned - first).max() > 60
    for _ in range(4):
        browser.press("canvas", "-")
    browser.wait_for("!modelViewer.viewer.waiting")
    assert share_of(browser.picture(".stage"), BLUE) < 0.8 * share_of(turned, BLUE)
    browser.press("canvas", "Home")
    browser.wait_for("!modelViewer.viewer.waiting")
    assert np.abs(browser.picture(".stage") - first).mean() < 1
    browser.press("canvas", "4")
    assert browser.run("return document.querySelector('.stage').dataset.mode") == "normals"
    browser.press("canvas", " ")
    assert browser.run("return document.querySelector('[data-action=turn]').getAttribute('aria-pressed')") == "true"


def test_nothing_hidden_in_a_prompt_runs(browser: Browser, tmp_path: Path):
    prompt = "<script>window.ran = 1</script><img src=x onerror='window.ran = 2'>\"><svg onload=window.ran=3>"
    browser.show(written(tmp_path, glb_bytes(Asset(ball((0.1, 0.8, 0.1)))), title=prompt))
    browser.wait_for(READY)
    assert browser.run("return window.ran") is None
    assert browser.run("return document.querySelector('h1').textContent") == prompt
    assert browser.messages() == []
    # The policy holds even for what is put into the page as HTML later.
    browser.run("document.querySelector('h1').innerHTML = '<img src=\"data:,\" onerror=\"window.ran = 4\">'")
    browser.wait_for("document.querySelector('h1 img').complete")
    assert browser.run("return window.ran") is None
    evaluated = browser.command("Runtime.evaluate", expression="eval('1')", allowUnsafeEvalBlockedByCSP=False)
    assert "Content Security Policy" in evaluated["exceptionDetails"]["exception"]["description"]


def test_a_page_is_served_with_its_model(browser: Browser, tmp_path: Path):
    (tmp_path / "ball.glb").write_bytes(glb_bytes(Asset(ball((0.1, 0.8, 0.1)))))
    page, model = file_page(tmp_path / "ball.glb")
    served = {"/": page_resource(html_of(page)), f"/{page.model}": model}
    with PageServer(served.get, port=0) as server:
        serve_beside(server)
        browser.show(server.address, width=390, height=800, dark=True)
        browser.wait_for(READY)
        assert share_of(browser.picture(".stage"), GREEN) > 0.2
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"
        assert browser.messages() == []
        server.shutdown()


def test_a_broken_model_is_said(browser: Browser, tmp_path: Path):
    browser.show(written(tmp_path, b"glTF, but not really"))
    browser.wait_for("document.querySelector('.notice').textContent.includes('could not be shown')")
    assert not browser.run(f"return {READY}")


def test_without_webgl_the_turntable_is_shown(tmp_path: Path):
    pixel = data_address(
        bytes.fromhex("47494638396101000100800000ff0000ffffff2c00000000010001000002024401003b"), "image/gif"
    )
    with browsers.browser(*browsers.NO_GL) as window:
        window.show(written(tmp_path, glb_bytes(Asset(ball((0.1, 0.8, 0.1)))), fallback=pixel))
        window.wait_for("document.querySelector('.notice').textContent.includes('no WebGL')")
        assert share_of(window.picture(".stage"), RED) > 0.3
        assert window.run("return getComputedStyle(document.querySelector('.toolbar')).display") == "none"


def test_curves_tell_their_values_to_pointer_and_keys(browser: Browser, tmp_path: Path):
    figure = chart(Curve("Loss", "Of nothing.", [10, 20, 30], [3.0, 2.0, 1.0]))
    path = tmp_path / "report.html"
    path.write_bytes(html_of(Page("curves", element("main", figure))).encode())
    browser.show(path.as_uri())
    value = "return document.querySelector('output').textContent"
    assert browser.run(value) == "1"
    browser.press(".chart", "ArrowLeft")
    browser.press(".chart", "ArrowLeft")
    assert browser.run(value) == "2 at step 20"
    browser.run("document.activeElement.blur()")
    assert browser.run(value) == "1"
    left, top, width = browser.run(
        "const b = document.querySelector('svg').getBoundingClientRect(); return [b.x, b.y, b.width]"
    )
    browser.command("Input.dispatchMouseEvent", type="mouseMoved", x=left + 0.45 * width, y=top + 20)
    browser.wait_for("document.querySelector('output').textContent.includes('step')")
    assert browser.run(value) == "3 at step 10"
    assert browser.messages() == []


class Ball:
    """A generator that is a red ball, as far as a live view asks."""

    def __call__(self, cameras: Cameras) -> torch.Tensor:
        return render_mesh(ball((0.9, 0.1, 0.1)), cameras)

    def surface(self) -> Mesh:
        return ball((0.9, 0.1, 0.1))


def test_a_page_follows_a_run_and_gives_way_to_its_report(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Turn, "is_due", lambda *_: True)
    folder = run_folder(tmp_path / "run")
    write_report(folder)
    with LiveView(port=0) as view:
        view.begin("a red ball", folder, 40, lambda asset: asset)
        scene = SimpleNamespace(shown=Ball())
        browser.show(view.address)
        browser.wait_for("document.querySelector('.state').textContent.includes('of 40')")
        view.look(scene, CurvePoint(30, "mesh", 0.1, 0.1, 1.0))
        browser.wait_for(READY)
        assert share_of(browser.picture(".stage"), RED) > 0.2
        assert browser.run("return document.querySelectorAll('.charts .chart').length") == 5
        assert browser.run("return document.querySelector('aside .now').naturalWidth") > 2 * PICTURE_SIZE
        view.finish()
        browser.wait_for("document.querySelector('h2')?.textContent == 'Views'")
        browser.wait_for(READY)
        assert browser.messages() == []


def test_gaussians_are_seen_and_turned(browser: Browser, tmp_path: Path):
    rng = np.random.default_rng(0)
    means = rng.normal(0, 0.25, (400, 3)).astype(np.float32)
    red = np.tile(np.float32([0.9, 0.1, 0.1]), (400, 1))
    red[means[:, 0] > 0.3] = (0.1, 0.1, 0.9)  # blue on the right
    turned = np.tile(np.float32([1, 0, 0, 0]), (400, 1))
    gaussians = Gaussians(means, np.full((400, 3), 0.06, np.float32), turned, np.full(400, 0.9, np.float32), red)
    page = Page("red", splat_viewer(None, "red"), splats=splat_bytes(gaussians))
    path = tmp_path / "report.html"
    path.write_bytes(html_of(page).encode())
    browser.show(path.as_uri())
    browser.wait_for(READY)
    front = browser.picture(".stage")
    assert share_of(front, RED) > 0.1
    columns = np.arange(front.shape[1])
    blue = (front[..., BLUE].astype(int) > front[..., RED].astype(int) + 60).sum(0)
    assert (blue * columns).sum() / blue.sum() > front.shape[1] / 2
    browser.run("splatViewer.move(Math.PI, 0)")
    browser.wait_for("!splatViewer.waiting")
    back = browser.picture(".stage")
    blue = (back[..., BLUE].astype(int) > back[..., RED].astype(int) + 60).sum(0)
    assert (blue * columns).sum() / blue.sum() < front.shape[1] / 2
    assert not browser.messages()
