import threading

import pytest
import torch

from representations import threads


@pytest.mark.parametrize("count", [0, 1, 511, 1024, 100_000])
@pytest.mark.parametrize("wanted", [1, 3])
def test_parts_cover_the_work_once(count, wanted):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(wanted)
        parts = threads.split(count)
    finally:
        torch.set_num_threads(before)
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(count))
    assert 1 <= len(parts) <= wanted


def test_parts_run_side_by_side_and_errors_come_back():
    meeting = threading.Barrier(2, timeout=10)
    threads.run_parts(lambda number, part: meeting.wait() and None, [slice(0, 1), slice(1, 2)])

    def fail(number: int, part: slice) -> None:
        if number == 1:
            raise RuntimeError("part one")

    with pytest.raises(RuntimeError, match="part one"):
        threads.run_parts(fail, [slice(0, 1), slice(1, 2)])


def test_the_user_s_setting_wins(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert threads.free_threads() == 7


@pytest.mark.parametrize(("load", "expected"), [(0.1, 4), (1.2, 3), (9.0, 1)])
def test_busy_cores_are_left_alone(monkeypatch, load, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(threads.os, "getloadavg", lambda: (load, 0.0, 0.0))
    assert threads.free_threads() == expected
    before = torch.get_num_threads()
    try:
        assert threads.choose_threads() == torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)
