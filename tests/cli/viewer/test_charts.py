"""Curves: where points are drawn, which ticks an axis has, and what is refused."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.viewer.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Curve, chart, grouped, round_ticks
from cli.viewer.words import percent


def points_of(figure: str, name: str) -> list[tuple[float, float]]:
    """The coordinates of a drawn line or polygon."""
    found = re.search(rf'points="([^"]*)" class="{name}"', figure)
    assert found is not None
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in found[1].split())]


def test_a_straight_line_goes_from_corner_to_corner():
    steps = list(range(101))
    figure = chart(Curve("Progress", "As expected.", steps, [step / 100 for step in steps], percent))
    line = points_of(figure, "line")
    assert line[0] == (LEFT, HEIGHT - BOTTOM)
    assert line[-1] == (WIDTH - RIGHT, TOP)
    for x, y in line:
        across, up = (x - LEFT) / (WIDTH - LEFT - RIGHT), (HEIGHT - BOTTOM - y) / (HEIGHT - TOP - BOTTOM)
        assert across == pytest.approx(up, abs=1e-3)
    assert re.findall(r'text-anchor="end">([0-9]+%)<', figure) == ["0%", "50%", "100%"]
    assert 'aria-label="Progress: from 0% to 100% over 100 steps"' in figure


def test_values_for_the_pointer_are_those_of_the_curve():
    figure = chart(Curve("Loss", "", [10, 20, 30], [3.0, 2.0, 1.0]))
    data = re.search(r'data-points="([^"]*)"', figure)
    assert data is not None
    points = json.loads(data[1].replace("&quot;", '"'))
    assert [label for _, _, label in points] == ["3 at step 10", "2 at step 20", "1 at step 30"]
    assert [(x, y) for x, y, _ in points] == points_of(figure, "line")


def test_many_points_become_means_within_their_range():
    rng = np.random.default_rng(0)
    values = rng.normal(size=1000)
    groups = grouped(range(1000), values.tolist(), most=100)
    assert groups.means == pytest.approx(values.reshape(100, 10).mean(1))
    assert groups.highest == pytest.approx(values.reshape(100, 10).max(1))
    assert groups.lowest == pytest.approx(values.reshape(100, 10).min(1))
    assert groups.steps == pytest.approx(np.arange(100) * 10 + 4.5)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_ticks_are_round_and_enclose_the_values(low: float, extent: float):
    high = low + extent
    ticks = round_ticks(low, high)
    steps = np.diff(ticks)
    assert 2 <= len(ticks) <= 6
    assert steps == pytest.approx(steps[0])
    tolerance = 1e-6 * max(1.0, abs(low), abs(high))
    assert ticks[0] <= low + tolerance
    assert ticks[-1] >= high - tolerance
    mantissa = float(f"{steps[0]:.6e}".split("e")[0])
    assert min(abs(mantissa - round_number) for round_number in (1, 2, 5, 10)) < 1e-6


def test_stages_are_marked_and_names_are_escaped():
    figure = chart(Curve("<b>", "<i>", [1, 2, 3], [1.0, 1.0, 1.0], marks=[(2, "<mesh>")]))
    assert "&lt;mesh&gt;</text>" in figure
    assert not re.search(r"<(b|i|mesh)>", figure)


@pytest.mark.parametrize("values", [[], [float("nan")], [float("inf")]])
def test_what_cannot_be_drawn_is_refused(values: list[float]):
    with pytest.raises(ValueError, match="'Loss' needs finite points"):
        chart(Curve("Loss", "", list(range(len(values))), values))
