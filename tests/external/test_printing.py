"""What a slicer does first: manifold3d takes our STL files for solids."""

from pathlib import Path

import numpy as np
import pytest

from representations.assets.asset import Asset
from representations.assets.finishing import prepared
from representations.assets.reading import load_mesh
from representations.assets.writing import write_asset

manifold3d = pytest.importorskip("manifold3d")


def as_solid(path: Path):
    mesh = load_mesh(path).mesh
    given = manifold3d.Mesh(mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32))
    given.merge()
    return manifold3d.Manifold(given)


def test_closed_meshes_are_solids(assets: dict[str, Asset], tmp_path: Path):
    closed = {name: asset for name, asset in assets.items() if name.endswith(("coloured", "textured"))}
    assert len(closed) == 16
    for name, asset in closed.items():
        solid = as_solid(write_asset(asset, tmp_path / f"{name}.stl")[0])
        assert solid.status() == manifold3d.Error.NoError, name
        assert solid.volume() == pytest.approx(asset.mesh.volume, rel=1e-4), name


def test_open_meshes_are_solids_once_they_are_closed(assets: dict[str, Asset], tmp_path: Path):
    opened = {name: asset for name, asset in assets.items() if name.endswith("open")}
    assert len(opened) == 8
    for name, asset in opened.items():
        closed, notes = prepared(asset, watertight=True)
        assert closed.mesh.is_watertight
        solid = as_solid(write_asset(closed, tmp_path / f"{name}.stl")[0])
        assert solid.status() == manifold3d.Error.NoError, (name, notes)
        assert solid.volume() > 0
