"""three.js sees our files as they were meant, and as our own reader sees them again."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from representations.assets.asset import Asset
from representations.assets.baking import vertex_coloured
from representations.assets.reading import load_mesh
from tests.external.compare_real_files import only_cut_otherwise, triangles_of_three

SCRIPT = Path(__file__).with_name("read_by_three.mjs")
CASES = Path(__file__).parents[1] / "representations" / "assets" / "cases"


@pytest.fixture(scope="session")
def folder() -> str:
    """Where three.js is."""
    folder = os.environ.get("THREE_JS")
    if not folder or not (Path(folder) / "node_modules" / "three").is_dir() or shutil.which("node") is None:
        pytest.skip("THREE_JS names no folder with node_modules/three, or node is missing")
    return folder


@pytest.fixture(scope="session")
def seen(folder: str, glb_files: dict[str, Path], run_files: list[Path]) -> dict[Path, dict]:
    """What three.js says of every file."""
    command = ["node", str(SCRIPT), folder, *map(str, [*glb_files.values(), *run_files])]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""
    lines = [line for line in finished.stdout.splitlines() if line.startswith("RESULT ")]
    return {Path(one["file"]): one for one in (json.loads(line.removeprefix("RESULT ")) for line in lines)}


def area_of(asset: Asset) -> float:
    return float(asset.mesh.areas.sum())


def test_shapes_sizes_and_materials(seen: dict[Path, dict], assets: dict[str, Asset], glb_files: dict[str, Path]):
    for name, path in glb_files.items():
        asset, one = assets[name], seen[path]
        assert one["faces"] == len(asset.mesh.faces), name
        assert one["area"] == pytest.approx(area_of(asset), rel=1e-5), name
        np.testing.assert_allclose(one["low"], asset.mesh.vertices.min(axis=0), atol=1e-6, err_msg=name)
        np.testing.assert_allclose(one["high"], asset.mesh.vertices.max(axis=0), atol=1e-6, err_msg=name)
        (material,) = one["materials"]
        assert material["roughness"] == pytest.approx(asset.material.roughness, abs=1e-6), name
        textured = asset.material.base_colour is not None
        assert material["map"] == ([128, 128] if textured else None), name
        assert material["normal"] == ([128, 128] if textured else None), name
        assert material["vertexColours"] == (asset.mesh.colours is not None and not textured), name
        if material["vertexColours"]:  # three.js keeps them linear, and so do files
            colours = vertex_coloured(asset).colours[asset.mesh.faces].reshape(-1, 3)
            linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4).mean(axis=0)
            np.testing.assert_allclose(one["colours"], linear, atol=2e-3, err_msg=name)


def test_our_own_reader_agrees(seen: dict[Path, dict], glb_files: dict[str, Path], run_files: list[Path]):
    for path in [*glb_files.values(), *run_files]:
        ours, theirs = load_mesh(path), seen[path]
        assert len(ours.mesh.faces) == theirs["faces"], path
        assert area_of(ours) == pytest.approx(theirs["area"], rel=1e-5), path
        assert (ours.material.base_colour is not None) == (theirs["materials"][0]["map"] is not None), path


@pytest.mark.parametrize("name", ["skin", "morph_weight", "gpu_instancing_required"])
def test_what_a_file_poses_is_where_three_has_it(folder: str, name: str, tmp_path: Path):
    mesh = load_mesh(CASES / f"{name}.glb").mesh
    theirs = triangles_of_three(CASES / f"{name}.glb", tmp_path)
    assert (tmp_path / "three").is_file()  # and not trimesh's, which knows no poses
    assert only_cut_otherwise(mesh.vertices[mesh.faces], theirs)
