import numpy as np
import pytest

from representations import compilation


def test_kernels_compile_where_nothing_can_be_written(monkeypatch):
    real = compilation.njit

    def without_a_cache_folder(*arguments, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(*arguments, **options)

    monkeypatch.setattr(compilation, "njit", without_a_cache_folder)
    twice = compilation.compiled(lambda value: 2 * value)
    assert twice(21) == 42


def test_kernels_let_nan_through():
    total = compilation.compiled(lambda values: values.sum())
    assert np.isnan(total(np.array([1.0, np.nan])))
    assert total(np.array([1.0, 2.0])) == pytest.approx(3.0)
