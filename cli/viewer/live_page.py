"""What the page of a run shows while it goes on; live.js asks for the state again and again."""

from __future__ import annotations

from typing import Any

from cli.scenes.curves import CurvePoint
from cli.viewer.markup import element, joined
from cli.viewer.page import Page, page_header, section, viewer
from cli.viewer.run_curves import charts_of
from cli.viewer.words import percent

STATE, PICTURE, SURFACE = "state.json", "now.png", "now.glb"
"""Where the page finds what changes."""


def live_page(prompt: str, run: int) -> Page:
    """The page of a run that has begun; its model, picture and curves come later.

    Args:
        prompt: of the run.
        run: its number on this server; a page whose run is over gives way to the next one.
    """
    now = [
        element("img", alt="The object as it is now, from four sides", class_=f"now {place}".strip())
        for place in ("fallback", "")
    ]
    body = joined(
        page_header(prompt, "This page follows the run; the finished object will take its place."),
        element(
            "main",
            element("progress", max=1, value=0, aria_label="Progress of the run"),
            element("p", "The run begins.", class_="state", role="status"),
            element(
                "div",
                viewer(now[0], "", prompt, "The surface comes later; until then, pictures from four sides."),
                element("aside", element("h2", "Now"), now[1]),
                class_="hero live",
            ),
            section("Curves", "", element("div", class_="charts")),
        ),
    )
    return Page(
        f"{prompt} · scoresmith", body, live={"state": STATE, "picture": PICTURE, "surface": SURFACE, "run": run}
    )


def live_state(points: list[CurvePoint], step: int, steps: int) -> dict[str, Any]:
    """What live.js is told: how far the run is, in words and in numbers, and its curves as drawn here."""
    recognised = [point.recognition for point in points if point.recognition is not None]
    parts = [f"Step {step:,} of {steps:,}"]
    if points:
        parts.append(f"stage {points[-1].stage}")
    if recognised:
        parts.append(f"recognised {percent(recognised[-1])}")
    return {
        "progress": min(1.0, step / max(1, steps)),
        "sentence": " · ".join(parts),
        "charts": "".join(charts_of(points)),
    }
