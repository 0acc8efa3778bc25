"""Compiled loops trust what they are given, so the public functions do not: no array is worth a crashed process."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from representations.compilation import ForgivingCache, compiled
from representations.fields.encodings import HashEncoding
from representations.fields.volume import render_volume
from representations.geometry.closest_points import SurfaceSearch
from representations.geometry.mesh import Mesh
from representations.geometry.rasterizer import Cutout, Visibility, rasterize
from representations.geometry.topology import twin_edges
from representations.rays import Marching, Rays
from representations.surfaces.silhouettes import find_silhouettes

CORNERS = np.array([[-1, -1, 0, 1], [1, -1, 0, 1], [0, 1, 0, 1]], np.float32)
FACE = np.array([[0, 1, 2]], np.int32)


def cutout(
    uv: object = np.zeros((1, 3, 2), np.float32),
    opaque: object = np.ones((1, 4, 4), bool),
    texture: object = np.zeros(1, np.int32),
) -> Cutout:
    return Cutout(uv, opaque, texture)


def seen(face: int = 0) -> Visibility:
    return Visibility(np.full((2, 2), face, np.int32), np.zeros((2, 2, 3), np.float32), np.ones((2, 2), np.float32))


def rendered(
    nodes: int = 4, cells: int = 2, offset: float = 0.5, length: float = 1.0, dtype: torch.dtype = torch.bool
) -> object:
    directions = torch.tensor([[0.0, 0.0, -length]])
    rays = Rays(torch.tensor([[0.0, 0.0, 2.0]]), directions, torch.tensor([offset]))
    return render_volume(
        torch.zeros(nodes, nodes, nodes, 4), rays, torch.ones(cells, cells, cells, dtype=dtype), Marching()
    )


def silhouettes(screen: np.ndarray, twins: np.ndarray, face: int = 0) -> object:
    return find_silhouettes(screen, FACE, twins, seen(face))


SCREEN, TWINS = np.zeros((3, 2), np.float32), np.full(3, -1, np.int32)
SEARCH = SurfaceSearch(Mesh(CORNERS[:, :3].copy(), FACE))

BAD: dict[str, Callable[[], object]] = {
    "a mask beyond the last": lambda: rasterize(CORNERS, FACE, 4, 4, cutout(texture=np.array([99], np.int32))),
    "too few masks": lambda: rasterize(CORNERS, FACE, 4, 4, cutout(texture=np.zeros(0, np.int32))),
    "coordinates that are nowhere": lambda: rasterize(
        CORNERS, FACE, 4, 4, cutout(uv=np.full((1, 3, 2), np.nan, np.float32))
    ),
    "infinite coordinates": lambda: rasterize(CORNERS, FACE, 4, 4, cutout(uv=np.full((1, 3, 2), np.inf, np.float32))),
    "masks that are not square": lambda: rasterize(CORNERS, FACE, 4, 4, cutout(opaque=np.ones((1, 4, 9), bool))),
    "masks without a texel": lambda: rasterize(CORNERS, FACE, 4, 4, cutout(opaque=np.ones((1, 0, 0), bool))),
    "indices with fractions": lambda: rasterize(CORNERS, FACE + 0.9, 4, 4),
    "indices that wrap": lambda: rasterize(CORNERS, FACE.astype(np.int64) + 2**32, 4, 4),
    "negative indices": lambda: rasterize(CORNERS, FACE - 1, 4, 4),
    "quadrilaterals": lambda: twin_edges(np.array([[0, 1, 2, 3]], np.int32), 4),
    "edges beyond the vertices": lambda: twin_edges(FACE, 2),
    "negative edges": lambda: twin_edges(FACE - 1, 3),
    "a short screen": lambda: silhouettes(SCREEN[:2], TWINS),
    "a screen of three columns": lambda: silhouettes(CORNERS[:, :3], TWINS),
    "twins of another mesh": lambda: silhouettes(SCREEN, np.full(3, 77, np.int32)),
    "too few twins": lambda: silhouettes(SCREEN, TWINS[:1]),
    "visibility of another mesh": lambda: silhouettes(SCREEN, TWINS, 9),
    "a grid of one node": lambda: rendered(nodes=1),
    "a grid of no node": lambda: rendered(nodes=0),
    "an occupancy of no cell": lambda: rendered(cells=0),
    "an occupancy of numbers": lambda: rendered(dtype=torch.float32),
    "an offset that is none": lambda: rendered(offset=float("nan")),
    "a negative offset": lambda: rendered(offset=-1.0),
    "directions of another length": lambda: rendered(length=2.0),
    "a step that never ends": lambda: Marching(step=1e-300),
    "a transmittance that is none": lambda: Marching(stop_transmittance=float("nan")),
    "a transmittance of two": lambda: Marching(stop_transmittance=2.0),
    "points of two columns": lambda: HashEncoding(levels=1, log2_table_size=4)(torch.zeros(5, 2)),
    "points of four columns": lambda: HashEncoding(levels=1, log2_table_size=4)(torch.zeros(5, 4)),
    "closest to two columns": lambda: SEARCH.closest(np.zeros((3, 2))),
    "too few directions": lambda: SEARCH.closest(np.zeros((3, 3)), facing=np.zeros((1, 3))),
    "closest to nowhere": lambda: SEARCH.closest(np.full((1, 3), np.nan)),
}


@pytest.mark.parametrize("name", BAD)
def test_what_a_kernel_cannot_take_is_refused(name: str):
    with pytest.raises(ValueError, match=r"."):
        BAD[name]()


def test_the_same_without_the_fault_is_taken():
    assert (rasterize(CORNERS, FACE, 4, 4, cutout()).face == rasterize(CORNERS, FACE, 4, 4).face).all()
    assert rendered() is not None
    assert silhouettes(SCREEN, twin_edges(FACE, 3)) is not None
    assert SEARCH.closest(np.zeros((1, 3))).distance == pytest.approx(0)


def doubled(x: float) -> float:
    return 2 * x


def test_a_damaged_cache_of_kernels_is_compiled_anew(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    from numba.core import config

    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    assert compiled(doubled)(2.0) == 4.0
    kept = [path for path in tmp_path.rglob("*") if path.suffix in (".nbi", ".nbc")]
    assert len(kept) == 2
    for path in kept:
        path.write_bytes(b"cut off")
    again = compiled(doubled)
    assert isinstance(again._cache, ForgivingCache)
    assert again(2.0) == 4.0


def test_where_nothing_can_be_kept_kernels_compile_all_the_same(monkeypatch: pytest.MonkeyPatch):
    def nowhere(*arguments: object) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr("numba.core.caching.FunctionCache.save_overload", nowhere)
    monkeypatch.setattr("numba.core.caching.FunctionCache.load_overload", nowhere)
    assert compiled(doubled)(3.0) == 6.0
    monkeypatch.setattr("numba.core.caching.FunctionCache.__init__", nowhere)
    assert compiled(doubled)(4.0) == 8.0
