"""Blender sees our files with the right size, axis, material and colours."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from representations.assets.asset import Asset
from representations.assets.baking import vertex_coloured
from representations.assets.vertex_buffers import vertex_buffers
from representations.assets.writing import Convention, write_asset

SCRIPT = Path(__file__).with_name("import_into_blender.py")


@pytest.fixture(scope="session")
def blender() -> str:
    python = os.environ.get("BLENDER_PYTHON")
    if not python or not Path(python).is_file():
        pytest.skip("BLENDER_PYTHON names no Python with bpy")
    return python


def seen_by(blender: str, files: list[Path]) -> list[dict]:
    finished = subprocess.run([blender, str(SCRIPT), *map(str, files)], capture_output=True, text=True, check=True)
    lines = [line for line in finished.stdout.splitlines() if line.startswith("RESULT ")]
    return [json.loads(line.removeprefix("RESULT ")) for line in lines]


def in_blenders_axes(asset: Asset) -> np.ndarray:
    """(2, 3) bounds of the asset as Blender has them: +Z up, the front towards -Y."""
    x, y, z = asset.mesh.vertices.T
    turned = np.stack([x, -z, y], axis=-1)
    return np.stack([turned.min(axis=0), turned.max(axis=0)])


def painted(assets: dict[str, Asset]) -> Asset:
    return assets["two balls, textured"]  # of different extent along every axis


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".usdz"])
def test_textured_assets(blender: str, assets: dict[str, Asset], tmp_path: Path, suffix: str):
    asset = painted(assets)
    (seen,) = seen_by(blender, [write_asset(asset, tmp_path / f"thing{suffix}")[0]])
    assert (seen["objects"], seen["faces"], seen["uv_layers"]) == (1, len(asset.mesh.faces), 1)
    np.testing.assert_allclose([seen["low"], seen["high"]], in_blenders_axes(asset), atol=1e-5)
    assert len(seen["materials"]) == 1
    colour = seen["images"]["BSDF_PRINCIPLED"]
    assert colour["size"] == [128, 128]
    assert colour["space"] == "sRGB"
    np.testing.assert_allclose(colour["mean"], asset.material.base_colour.mean(axis=(0, 1)) / 255, atol=2e-3)
    if suffix == ".obj":  # Blender's importer knows no "norm"
        assert "NORMAL_MAP" not in seen["images"]
    else:
        assert seen["images"]["NORMAL_MAP"]["space"] == "Non-Color"
        mean = asset.material.normal.mean(axis=(0, 1)) / 255
        np.testing.assert_allclose(seen["images"]["NORMAL_MAP"]["mean"], mean, atol=2e-3)


@pytest.mark.parametrize("suffix", [".glb", ".ply", ".obj"])
def test_vertex_colours(blender: str, assets: dict[str, Asset], tmp_path: Path, suffix: str):
    asset = assets["torus, coloured"]
    (seen,) = seen_by(blender, [write_asset(asset, tmp_path / f"thing{suffix}")[0]])
    assert seen["faces"] == len(asset.mesh.faces)
    by_vertex = vertex_coloured(asset).colours
    by_corner = by_vertex[asset.mesh.faces].reshape(-1, 3)
    means = (by_vertex.mean(axis=0), by_corner.mean(axis=0))  # importers choose where colours live
    assert any(np.allclose(seen["mean_vertex_colour"], mean, atol=4e-3) for mean in means)


def test_units_and_axes(blender: str, assets: dict[str, Asset], tmp_path: Path):
    asset = painted(assets)
    bounds = in_blenders_axes(asset)
    printed = write_asset(asset, tmp_path / "printed.stl")[0]  # Blender takes STL as it is: millimetres, +Z up
    centimetres = write_asset(asset, tmp_path / "cm.usdz", Convention("cm", "z"))[0]  # USD says what it is in
    metres = [np.array([seen["low"], seen["high"]]) for seen in seen_by(blender, [printed, centimetres])]
    np.testing.assert_allclose(metres[0], bounds * 1000, atol=1e-2)
    np.testing.assert_allclose(metres[1], bounds, atol=1e-5)


def test_tangents_are_those_of_mikktspace(blender: str, assets: dict[str, Asset], tmp_path: Path):
    asset = assets["torus, textured"]
    (seen,) = seen_by(blender, [write_asset(asset, tmp_path / "thing.glb")[0]])
    theirs = np.array(seen["tangents"])
    buffers = vertex_buffers(asset)
    x, y, z = buffers.positions.T
    places = np.stack([x, -z, y], axis=-1)
    x, y, z = buffers.tangents[:, :3].T
    ours = np.stack([x, -z, y], axis=-1)
    # Several of our vertices may be at one place, on both sides of a seam: the one that agrees best is meant.
    apart = np.linalg.norm(theirs[:, None, :3] - places[None], axis=-1)
    cosine = np.where(apart < 1e-5, theirs[:, 3:6] @ ours.T, -1)
    assert len(theirs) > 40
    assert (cosine.max(axis=1) > 0.999).mean() > 0.98
    assert np.median(cosine.max(axis=1)) > 0.99999
    assert (theirs[:, 6] == buffers.tangents[cosine.argmax(axis=1), 3]).all()
