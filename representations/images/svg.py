"""Vector pictures as SVG files, which browsers, Inkscape and Illustrator open."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from representations.images.vector import Shape

SIDE = 512
"""The picture's side in the file's units; a vector picture has no size of its own."""


def svg_of(shapes: Sequence[Shape], title: str = "") -> str:
    """The text of an SVG file.

    Args:
        shapes: from the bottom to the top.
        title: what programs show as the picture's name.

    Raises:
        ValueError: if a number of a shape is not finite.
    """
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" width="{SIDE}" height="{SIDE}">',
        f"<title>{escape(title)}</title>" if title else "",
        f'<rect width="{SIDE}" height="{SIDE}" fill="#ffffff"/>',
        *(_path(shape) for shape in shapes),
        "</svg>",
    ]
    return "\n".join(line for line in lines if line) + "\n"


def _path(shape: Shape) -> str:
    if not bool(shape.points.isfinite().all()):
        raise ValueError("a shape has a point that is not finite")
    points = [f"{x * SIDE:.2f} {y * SIDE:.2f}" for x, y in shape.points.tolist()]
    curves = [f"C{points[i + 1]} {points[i + 2]} {points[(i + 3) % len(points)]}" for i in range(0, len(points), 3)]
    red, green, blue = (round(255 * min(1.0, max(0.0, channel))) for channel in shape.colour)
    fill = f'fill="#{red:02x}{green:02x}{blue:02x}" fill-opacity="{shape.opacity:.3f}"'
    return f'<path d="M{points[0]}{"".join(curves)}Z" {fill}/>'
