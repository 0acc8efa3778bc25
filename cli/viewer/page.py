"""A page: one file with everything inside, under a policy that lets it reach nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from cli.viewer.markup import Markup, data_block, element, joined
from cli.viewer.words import flattened

ASSETS = Path(__file__).parent / "assets"

ICON = (
    "data:image/svg+xml;base64,"
    + base64.b64encode(
        b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><path d="M16 3 28 10v13L16 30 4 23V10z" '
        b'fill="#d9643a"/><path d="M4 10l12 7 12-7M16 17v13" fill="none" stroke="#fff" stroke-width="2"/></svg>'
    ).decode()
)


@dataclass(frozen=True)
class Page:
    """What a page shows.

    Attributes:
        title: of the window.
        body: everything between header and scripts.
        model: a GLB file's bytes to write into the page, the address on the same server to fetch it from, or None.
        splats: a .splat file's bytes to write into the page in place of a model, or None.
        live: what live.js is told about the run that it follows on the same server, or None.
        scripts: more files of `assets` that the page runs, in order.
        told: what these find in the page's data, by name. A page with such scripts talks to its own server.
    """

    title: str
    body: Markup
    model: bytes | str | None = None
    live: dict[str, str | int] | None = None
    splats: bytes | None = None
    scripts: tuple[str, ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_served(self) -> bool:
        """Whether it asks its own server for something, and so cannot be opened as a file."""
        return self.live is not None or isinstance(self.model, str) or bool(self.scripts)


def html_of(page: Page) -> str:
    """The page as one HTML file.

    Scripts and style are named by their hashes in the page's Content-Security-Policy, so nothing else can ever run,
    even if something slipped into the body. A page with its model inside may connect to nothing; one that is served
    may connect to its own server. Textures inside a GLB reach the graphics card as blob: addresses.
    """
    scripts = [asset(name) for name in scripts_of(page)]
    style = asset("page.css")
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(hash_source(text) for text in scripts)}",
            f"style-src {hash_source(style)}",
            "img-src data: blob:" + (" 'self'" if page.is_served else ""),
            "connect-src blob:" + (" 'self'" if page.is_served else ""),
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", page.title),
        element("link", rel="icon", href=ICON),
        element("style", Markup(style)),
    )
    told = {"model": model_data(page.model), "live": page.live, **splat_data(page.splats), **page.told}
    data = data_block("page-data", told)
    body = element("body", page.body, data, *(element("script", Markup(text)) for text in scripts))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def scripts_of(page: Page) -> list[str]:
    """The files a page needs, in order."""
    viewer = ["three.min.js", "viewer.js"] if page.model is not None or page.live is not None else []
    viewer += ["splats.js"] if page.splats is not None else []
    return [*viewer, "charts.js", *(["live.js"] if page.live is not None else []), *page.scripts]


def model_data(model: bytes | str | None) -> dict[str, str] | None:
    """What viewer.js is told about the model."""
    if model is None:
        return None
    return {"address": model} if isinstance(model, str) else {"base64": base64.b64encode(model).decode()}


def splat_data(splats: bytes | None) -> dict[str, str]:
    """What splats.js is told."""
    return {} if splats is None else {"splats": base64.b64encode(splats).decode()}


@cache
def asset(name: str) -> str:
    """The text of a file in assets/."""
    return (ASSETS / name).read_text(encoding="utf-8")


def hash_source(text: str) -> str:
    """How a Content-Security-Policy names an inline script or style (CSP level 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def data_address(content: bytes, kind: str) -> str:
    """Bytes as a data: address; ``kind`` is their media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def viewer(
    instead: Markup | None,
    size: str,
    described: str,
    without_script: str = "Turning the object needs JavaScript.",
    first: str = "lit",
) -> Markup:
    """The place where the model is shown.

    Args:
        instead: a picture (see `turning`) that stands here until the model does, or None.
        size: of the object in words, or "".
        described: the model in words, for those who do not see it.
        without_script: what is said where no script runs.
        first: how it is shown first; "colour" where colours hold their light already. What says of itself that it is
            not to be lit is shown so.
    """
    modes = [("colour", "Colour"), ("lit", "Lit"), ("wireframe", "Wireframe"), ("normals", "Normals")]
    choices = [
        element("label", element("input", type="radio", name="mode", value=value), element("span", label))
        for value, label in modes
    ]
    return element(
        "section",
        element(
            "div",
            element("canvas", tabindex=0, role="img", aria_label=f"{described}. Arrow keys turn it, + and - zoom."),
            instead or "",
            element("p", element("noscript", without_script), class_="notice", role="status"),
            element("p", element("span", size), element("span", class_="cell"), class_="scale"),
            class_="stage",
            data_first=first,
        ),
        element(
            "div",
            element("fieldset", element("legend", "Show"), *choices),
            element("button", "Turn", type="button", data_action="turn", aria_pressed="false", title="Space"),
            element("button", "Reset view", type="button", data_action="reset", title="Home"),
            element(
                "small", "Arrow keys turn, + and - zoom, 1 to 4 choose, Home resets; the wheel zooms after a click."
            ),
            class_="toolbar",
        ),
        class_="viewer",
        aria_label="The object",
    )


def splat_viewer(instead: Markup | None, described: str) -> Markup:
    """The place where 3D Gaussians are shown; the arguments are those of `viewer`."""
    notice = element("p", "Turning the object needs JavaScript.", class_="notice", role="status")
    canvas = element("canvas", tabindex=0, role="img", aria_label=f"{described}. Arrow keys turn it, + and - zoom.")
    return element(
        "section",
        element("div", canvas, instead or "", notice, class_="stage"),
        element(
            "div",
            element("button", "Turn", type="button", data_action="turn", aria_pressed="false", title="Space"),
            element("button", "Reset view", type="button", data_action="reset", title="Home"),
            element("small", "Arrow keys turn, + and - zoom, Home resets; the wheel zooms after a click."),
            class_="toolbar",
        ),
        class_="viewer",
        aria_label="The object",
    )


def turning(address: str, described: str) -> Markup:
    """A picture of the object that turns by itself, for where the model cannot be shown."""
    return element("img", src=address, alt=f"{described}, turning once", class_="fallback")


def definitions(pairs: dict[str, str]) -> Markup:
    """A list of names and values."""
    return element(
        "dl", *(joined(element("dt", name), element("dd", value)) for name, value in pairs.items()), class_="facts"
    )


def section(title: str, explanation: str, *content: Markup) -> Markup:
    """A part of the page under a heading."""
    lead = [element("p", explanation, class_="lead")] if explanation else []
    return element("section", element("h2", title), *lead, *content)


def page_header(title: str, sentence: str, gallery: str | None = None) -> Markup:
    """The top of a page; ``gallery`` is the address of the page of all runs, if there is one."""
    back = [element("nav", element("a", "All runs", href=gallery))] if gallery is not None else []
    return element("header", *back, element("h1", title), element("p", sentence))


def page_footer(versions: dict[str, str]) -> Markup:
    """The bottom of a page: which version made what it shows."""
    return element("footer", element("p", f"scoresmith {versions.get('scoresmith', '')}"))


def folded(name: str, values: dict[str, Any]) -> Markup:
    """Settings behind a heading that opens them; nothing if there are none."""
    rows = dict(flattened(values))
    return element("details", element("summary", name), definitions(rows)) if rows else Markup("")
