"""A student's card with anything in it is a card, or one line that says what is wrong."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from students.folder import CARD, StudentFolderError, read_card

SOUND = {
    "method": "dmd",
    "times": [1.0, 0.5],
    "same_path": False,
    "guidance_scale": 2,
    "fixed_steps": False,
    "gamma": 0.5,
}
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(changed=st.dictionaries(st.sampled_from([*SOUND, "unknown"]), values, min_size=1, max_size=2))
def test_any_card(tmp_path: Path, changed: dict[str, Any]):
    (tmp_path / CARD).write_text(json.dumps(SOUND | changed))
    try:
        card = read_card(tmp_path)
    except StudentFolderError as error:
        told = str(error)
    else:
        assert isinstance(card.method, str)
        assert all(type(time) is float and 0 < time <= 1 for time in card.times)
        assert math.isfinite(card.guidance_scale)
        assert type(card.same_path) is type(card.fixed_steps) is bool
        told = card.method.replace("\n", "")
    assert "\n" not in told


@pytest.mark.parametrize(
    "changed",
    [
        {"times": "1"},
        {"times": ["1"]},
        {"times": [True]},
        {"times": [10**400]},
        {"times": [1 - number / 20_000 for number in range(20_000)]},
        {"guidance_scale": "2"},
        {"guidance_scale": float("nan")},
        {"guidance_scale": 1e308},
        {"same_path": "no"},
        {"method": ["dmd"]},
        {"gamma": None},
        {"gamma": float("nan")},
    ],
)
def test_wrong_values_are_refused_by_name(tmp_path: Path, changed: dict[str, Any]):
    (tmp_path / CARD).write_text(json.dumps(SOUND | changed))
    name = "steps" if len(str(changed)) > 1000 else next(iter(changed))
    with pytest.raises(StudentFolderError, match=name):
        read_card(tmp_path)


def test_a_sound_card_is_read(tmp_path: Path):
    (tmp_path / CARD).write_text(json.dumps(SOUND))
    card = read_card(tmp_path)
    assert (card.times, card.guidance_scale) == ([1.0, 0.5], 2.0)
