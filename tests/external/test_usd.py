"""Pixar's own library finds our USDZ files well formed."""

from pathlib import Path

import numpy as np
import pytest

from representations.assets.asset import Asset
from representations.assets.colour_space import srgb_to_linear
from representations.assets.writing import Convention, write_asset

pytest.importorskip("pxr")
from pxr import Usd, UsdGeom, UsdShade


@pytest.mark.parametrize("name", ["box, textured", "torus, coloured", "ball, hard edges", "cone, open"])
def test_pixars_validators_find_nothing(assets: dict[str, Asset], tmp_path: Path, name: str):
    validation = pytest.importorskip("pxr.UsdValidation")  # newer than usd-core itself
    registry = validation.ValidationRegistry()
    validators = [registry.GetOrLoadValidatorByName(entry.name) for entry in registry.GetAllValidatorMetadata()]
    stage = Usd.Stage.Open(str(write_asset(assets[name], tmp_path / "thing.usdz")[0]))
    assert len(validators) > 10
    assert [error.GetMessage() for error in validation.ValidationContext(validators).Validate(stage)] == []


@pytest.mark.parametrize(("units", "up"), [("m", "y"), ("cm", "z"), ("mm", "y")])
def test_size_and_axis_are_said(assets: dict[str, Asset], tmp_path: Path, units: str, up: str):
    asset = assets["box, textured"]
    stage = Usd.Stage.Open(str(write_asset(asset, tmp_path / "thing.usdz", Convention(units, up))[0]))
    assert UsdGeom.GetStageUpAxis(stage) == up.upper()
    box = UsdGeom.BBoxCache(Usd.TimeCode.Default(), [UsdGeom.Tokens.default_]).ComputeWorldBound(stage.GetPseudoRoot())
    size = np.array(box.ComputeAlignedRange().GetSize()) * UsdGeom.GetStageMetersPerUnit(stage)
    expected = np.ptp(asset.mesh.vertices, axis=0)
    np.testing.assert_allclose(size, expected if up == "y" else expected[[0, 2, 1]], rtol=1e-5)


def test_colours_are_linear_and_the_material_is_bound(assets: dict[str, Asset], tmp_path: Path):
    asset = assets["torus, coloured"]
    stage = Usd.Stage.Open(str(write_asset(asset, tmp_path / "a torus.usdz")[0]))
    mesh = next(UsdGeom.Mesh(prim) for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh))
    colours = np.array(UsdGeom.PrimvarsAPI(mesh).GetPrimvar("displayColor").Get())
    np.testing.assert_allclose(colours, srgb_to_linear(asset.mesh.colours), atol=1e-6)
    material = UsdShade.MaterialBindingAPI(mesh.GetPrim()).ComputeBoundMaterial()[0]
    shader = material.ComputeSurfaceSource()[0]
    assert shader.GetIdAttr().Get() == "UsdPreviewSurface"
    assert shader.GetInput("roughness").Get() == pytest.approx(0.9)
