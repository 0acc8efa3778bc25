"""The queue: one after the other, and whatever ends a run, it can be continued."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.errors import UserError
from cli.scenes.workers import Workplace
from cli.studio import workshop as workshops
from cli.studio.workshop import Stage, Workshop
from tests.cli.studio.pretend_worker import pretend


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    with Workshop(Workplace("embedded", "cpu", overwrite=False), pretend) as workshop:
        yield workshop


def job(root: Path, prompt: str) -> Any:
    """What a job is to the workshop; a true one would have the process load torch."""
    path = root / prompt.replace(" ", "-")
    path.mkdir()
    return SimpleNamespace(request=SimpleNamespace(prompt=prompt, seed=0), path=path)


def wait_for(workshop: Workshop, number: int, stage: str) -> dict:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        order = next(order for order in workshop.orders() if order["number"] == number)
        if order["stage"] == stage:
            return order
        time.sleep(0.01)
    raise TimeoutError(f"order {number} is {order['stage']}, not {stage}")


def test_orders_are_made_one_after_the_other_and_a_failure_stops_none(workshop: Workshop, tmp_path: Path):
    numbers = [workshop.add(job(tmp_path, prompt)).number for prompt in ("a cup", "a bad cup", "a mug")]
    assert numbers == [1, 2, 3]
    wait_for(workshop, 3, "finished")
    orders = {order["number"]: order for order in workshop.orders()}
    assert [orders[number]["stage"] for number in numbers] == ["finished", "failed", "finished"]
    assert orders[2]["error"] == "it cannot be made"
    assert (orders[3]["progress"], orders[3]["sentence"], orders[3]["pictures"]) == (0.5, "Step 1 of 2", 1)
    assert workshop.told(3, "now.png") == b"a mug"
    assert workshop.told(3, "state.json") is None
    assert workshop.told(99, "now.png") is None


def test_a_run_that_is_stopped_or_dies_can_go_on(workshop: Workshop, tmp_path: Path):
    endless = workshop.add(job(tmp_path, "an endless cup")).number
    deadly = workshop.add(job(tmp_path, "a deadly cup")).number
    waiting = workshop.add(job(tmp_path, "a mug")).number
    workshop.stop(waiting)
    wait_for(workshop, endless, "running")
    while not (tmp_path / "an-endless-cup" / "begun").exists():
        time.sleep(0.01)
    workshop.stop(endless)
    order = wait_for(workshop, deadly, "failed")
    assert "exit code -9" in order["error"]
    for number in (endless, deadly, waiting):
        workshop.go_on(number)
        wait_for(workshop, number, "finished")
    with pytest.raises(UserError, match="was not stopped"):
        workshop.go_on(endless)
    with pytest.raises(UserError, match="is over"):
        workshop.stop(endless)
    with pytest.raises(UserError, match="no order 17"):
        workshop.stop(17)


def test_the_queue_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workshops, "MOST_WAITING", 2)
    monkeypatch.setattr(workshops, "MOST_KEPT", 1)
    idle = Workshop(Workplace("embedded", "cpu", overwrite=False), pretend)  # nobody works
    for prompt in ("a", "b"):
        idle.add(job(tmp_path, prompt))
    with pytest.raises(UserError, match="2 objects wait already"):
        idle.add(job(tmp_path, "c"))
    idle.stop(1)
    idle.stop(2)
    idle.add(job(tmp_path, "d"))
    assert [(order["number"], order["stage"]) for order in idle.orders()] == [(3, "waiting"), (2, Stage.STOPPED.value)]
