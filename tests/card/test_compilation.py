"""NVIDIA's compiler, which comes with Warp, takes our kernels for all cards in use; it needs no card and no driver."""

from pathlib import Path
from types import ModuleType

import pytest

wp = pytest.importorskip("warp", reason="pip install warp-lang")

from representations.fields import hash_warp, packed_warp, volume_warp  # noqa: E402
from representations.surfaces import patches_warp, rasterizer_warp  # noqa: E402
from tests.card.conftest import EVERYTHING  # noqa: E402

CARDS = {75: "Turing", 80: "A100", 86: "Ampere", 89: "Ada", 90: "Hopper", 100: "B200", 120: "Blackwell"}
"""Compute capabilities, and who has them. `make test` takes the oldest and the newest, `make test-cuda` all."""

TAKEN = CARDS if EVERYTHING else {capability: CARDS[capability] for capability in (75, 120)}

MODULES = (volume_warp, hash_warp, packed_warp, rasterizer_warp, patches_warp)


def for_vectors() -> None:
    """Kernels that take vectors of any length, for those that fields have."""
    for length in (4, 7):
        vector = wp.types.vector(length, wp.float32)
        row = wp.array(dtype=vector)
        wp.overload(volume_warp.integrate, {"grid": row, "totals": row})
        wp.overload(volume_warp.differentiate, {"grid": row, "grad_totals": row, "grad_grid": row})
    pair = wp.types.vector(2, wp.float32)
    wp.overload(hash_warp.encode, {"table": wp.array(dtype=pair), "encoded": wp.array2d(dtype=pair)})
    wp.overload(hash_warp.differentiate, {"grad": wp.array2d(dtype=pair), "grad_table": wp.array(dtype=pair)})


@pytest.mark.parametrize("capability", TAKEN, ids=TAKEN.values())
@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_kernels_compile(module: ModuleType, capability: int, tmp_path: Path) -> None:
    for_vectors()
    made = wp.compile_aot_module(module, arch=capability, module_dir=tmp_path, use_ptx=False)
    assert [path.suffix for path in made] == [".cubin"]
    content = made[0].read_bytes()
    assert content.startswith(b"\x7fELF")
    for name in (key for key, kernel in wp.get_module(module.__name__).kernels.items() if "." not in key):
        assert name.rpartition(".")[2].encode() in content
