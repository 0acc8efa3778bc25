import subprocess
import sys
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


@pytest.fixture
def four_cores(monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(threads.os, "getloadavg", lambda: (1.2, 0.0, 0.0))


@pytest.mark.usefixtures("four_cores")
def test_the_user_s_setting_wins(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert threads.wanted_threads(may_spin=True) == 7
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    monkeypatch.setenv("MKL_NUM_THREADS", "2")
    assert threads.wanted_threads(may_spin=False) == 2


@pytest.mark.usefixtures("four_cores")
def test_busy_cores_are_left_alone_by_threads_that_spin(monkeypatch):
    assert threads.wanted_threads(may_spin=False) == 4
    assert threads.wanted_threads(may_spin=True) == 3
    monkeypatch.setattr(threads.os, "getloadavg", lambda: (9.0, 0.0, 0.0))
    assert threads.wanted_threads(may_spin=True) == 1


@pytest.mark.usefixtures("four_cores")
def test_torch_is_given_the_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    before = torch.get_num_threads()
    try:
        assert threads.choose_threads() == torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_openmp_is_told_before_torch_is_loaded():
    program = (
        "import os, sys, representations.threads as threads; assert 'torch' not in sys.modules; "
        "os.environ.pop('OMP_WAIT_POLICY', None); threads.choose_threads(); print(os.environ['OMP_WAIT_POLICY'])"
    )
    result = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "PASSIVE"
