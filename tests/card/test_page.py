"""The page of figures that `make test-cuda` ends with, in its smallest form."""

import torch

from tests.benchmarks import card as benchmark
from tests.card.rules import Counts


def test_every_row_has_figures(card: Counts) -> None:
    del card
    rows = list(benchmark.kernels(torch.device("cuda"), benchmark.SMALL))
    for _, work in rows:
        work()
    assert len(rows) == 5


def test_the_page_is_a_table() -> None:
    text = benchmark.page(torch.device("cpu"), benchmark.SMALL)
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 5 + 2
    assert all(len(row) == 4 for row in rows)
    assert all(float(row[1]) > 0 for row in rows[2:])
    assert "nerfacc" in text
