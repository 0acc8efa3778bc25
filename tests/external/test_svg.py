"""What we draw and what other programs draw from our SVG file: the same but for antialiasing."""

import io
from urllib.parse import quote

import numpy as np
import pytest
import torch
from PIL import Image

from representations.images.svg import svg_of
from representations.images.vector import VectorImage
from tests.cli.viewer import browser as browsers

SIZE = 128


def by_resvg(text: str) -> bytes:
    resvg = pytest.importorskip("resvg_py")
    return bytes(resvg.svg_to_bytes(svg_string=text, width=SIZE, height=SIZE))


def by_cairo(text: str) -> bytes:
    try:
        import cairosvg
    except (ImportError, OSError):  # the latter without libcairo
        pytest.skip("cairosvg is not here")
    return cairosvg.svg2png(bytestring=text.encode(), output_width=SIZE, output_height=SIZE)


def by_chromium(text: str) -> bytes:
    if not (browsers.DRIVER and browsers.CHROMIUM):
        pytest.skip(browsers.MISSING)
    page = f'<style>*{{margin:0}}</style><img width={SIZE} src="data:image/svg+xml,{quote(text)}">'
    with browsers.browser("--force-color-profile=srgb") as window:
        window.show(f"data:text/html,{quote(page)}", SIZE, SIZE)
        window.wait_for("document.querySelector('img').complete")
        picture = window.picture("img")
    written = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(written, "PNG")
    return written.getvalue()


@pytest.mark.parametrize("draw", [by_resvg, by_cairo, by_chromium])
def test_other_programs_draw_the_same(draw):
    rng = torch.Generator().manual_seed(0)
    image = VectorImage(SIZE, 24, rng)
    with torch.no_grad():
        image.points += 0.06 * torch.randn(image.points.shape, generator=rng)  # bent, and some cross themselves
        image.opacities += torch.randn(image.opacities.shape, generator=rng)
        ours = image.image()[0].permute(1, 2, 0).numpy()
    theirs = np.asarray(Image.open(io.BytesIO(draw(svg_of(image.shapes())))).convert("RGB")) / 255
    difference = np.abs(ours - theirs).max(axis=2)
    assert difference.mean() < 0.006
    assert np.quantile(difference, 0.99) < 0.1  # edges, of which a renderer may count 16 or 256 parts of a pixel
