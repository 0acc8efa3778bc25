"""curves.csv: what is written is what is read, and a resumed run leaves no gap and nothing twice."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.scenes.curves import COLUMNS, CurveLog, CurvePoint, read_curves


def point(step: int, stage: str = "nerf", **more: float) -> CurvePoint:
    return CurvePoint(step, stage, gradient_size=0.5 / step, distance=0.25, learning_rate=1.0, **more)


def test_points_are_read_as_they_were_written(tmp_path: Path):
    points = [point(1), point(2, critic_loss=0.125), point(3, stage="mesh", recognition=0.75)]
    log = CurveLog(tmp_path / "curves.csv", done=0)
    for each in points:
        log.add(each)
    assert read_curves(log.path) == [points[0], points[1], CurvePoint(3, "mesh", 0.166667, 0.25, 1.0, None, 0.75)]
    assert (
        log.path.read_text().splitlines()[0]
        == "step,stage,gradient_size,distance,learning_rate,critic_loss,recognition"
    )
    assert log.path.read_text().splitlines()[1] == "1,nerf,0.5,0.25,1,,"


@given(done=st.integers(0, 12), written=st.integers(0, 12), again=st.integers(0, 5))
def test_a_resumed_log_is_the_one_of_a_run_that_never_stopped(
    tmp_path_factory: pytest.TempPathFactory, done: int, written: int, again: int
):
    """Lines beyond the checkpoint's step are dropped; those up to it must have been written before it was saved."""
    done = min(done, written)
    folder = tmp_path_factory.mktemp("run")
    stopped = CurveLog(folder / "stopped.csv", done=0)
    for step in range(1, written + 1):
        stopped.add(point(step))
    resumed = CurveLog(folder / "stopped.csv", done=done)
    for step in range(done + 1, done + again + 1):
        resumed.add(point(step))
    straight = CurveLog(folder / "straight.csv", done=0)
    for step in range(1, done + again + 1):
        straight.add(point(step))
    assert resumed.path.read_bytes() == straight.path.read_bytes()


def test_a_new_run_begins_a_new_log(tmp_path: Path):
    (tmp_path / "curves.csv").write_text("something else")
    CurveLog(tmp_path / "curves.csv", done=0)
    assert (tmp_path / "curves.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_what_is_damaged_is_skipped(tmp_path: Path):
    path = tmp_path / "curves.csv"
    log = CurveLog(path, done=0)
    for step in (1, 2):
        log.add(point(step))
    whole = path.read_bytes()
    path.write_bytes(whole + b"3,nerf,nan,0.1,1,,\n4,nerf,0.1\nx,nerf,1,1,1,,\n5,nerf,\xff,1,1,,\n6,nerf,0.1,0.")
    assert [each.step for each in read_curves(path)] == [1, 2]
    assert read_curves(tmp_path / "none.csv") == []


def test_numbers_have_six_digits(tmp_path: Path):
    log = CurveLog(tmp_path / "curves.csv", done=0)
    log.add(CurvePoint(1, "nerf", math.pi, 1e-9 * math.e, 2 / 3))
    assert read_curves(log.path)[0] == CurvePoint(1, "nerf", 3.14159, 2.71828e-9, 0.666667)
