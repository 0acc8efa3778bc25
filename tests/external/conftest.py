"""The files that are shown to other programs, made once."""

import os
from pathlib import Path

import pytest

from representations.assets.asset import Asset
from representations.assets.writing import write_asset
from tests.external.objects import all_assets


@pytest.fixture(scope="session")
def assets() -> dict[str, Asset]:
    pytest.importorskip("xatlas", reason="textures need xatlas")
    return all_assets()


@pytest.fixture(scope="session")
def glb_files(assets: dict[str, Asset], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("glb")
    return {name: write_asset(asset, folder / f"{name}.glb")[0] for name, asset in assets.items()}


@pytest.fixture(scope="session")
def run_files() -> list[Path]:
    """The meshes of runs that SCORESMITH_RUNS names; none by default."""
    folder = os.environ.get("SCORESMITH_RUNS")
    return sorted(Path(folder).glob("**/mesh.glb")) if folder else []
