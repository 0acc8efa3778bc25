"""The curves of a run as charts."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from cli.scenes.curves import CurvePoint
from cli.viewer.charts import Curve, chart
from cli.viewer.markup import Markup, element
from cli.viewer.page import section
from cli.viewer.words import percent


def curves_section(points: list[CurvePoint]) -> Markup:
    """The curves of a run; nothing if there are none."""
    drawn = charts_of(points)
    if not drawn:
        return Markup("")
    explanation = "Step by step; a line is the mean of neighbouring steps, the band behind it their range."
    return section("Curves", explanation, element("div", *drawn, class_="charts"))


def charts_of(points: list[CurvePoint]) -> list[Markup]:
    """The curves of a run, drawn."""
    return [chart(curve) for curve in curves_of(points)]


def curves_of(points: list[CurvePoint]) -> list[Curve]:
    """What is worth drawing of the curves: quantities that were measured, and none twice."""
    marks = [(float(after.step), after.stage) for before, after in pairwise(points) if before.stage != after.stage]

    def curve(name: str, attribute: str, explanation: str, **more: Any) -> list[Curve]:
        known = [(point.step, getattr(point, attribute)) for point in points if getattr(point, attribute) is not None]
        if not known:
            return []
        steps, values = zip(*known, strict=True)
        return [Curve(name, explanation, steps, values, marks=marks, **more)]

    # for SDS with constant weight the gradient is the distance
    same = all(math.isclose(point.gradient_size, point.distance, rel_tol=1e-4) for point in points)
    return [
        *curve("Recognition", "recognition", "How surely a classifier sees the noun in the pictures.", written=percent),
        *curve("Distance from the wish", "distance", "From what the teacher would like to see, root mean square."),
        *([] if same else curve("Size of the gradient", "gradient_size", "Root mean square of the score gradient.")),
        *curve("Critic", "critic_loss", "Loss of the critic, which learns what the generator draws."),
        *curve("Learning rate", "learning_rate", "A factor on the representation's own learning rates."),
    ]
