"""Assets as USDZ, Pixar's Universal Scene Description in one file, for which `usd-core` is needed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from representations.assets.asset import Asset
from representations.assets.colour_space import srgb_to_linear
from representations.assets.textures import png_bytes
from representations.assets.unwrapping import is_inside_unit_square


class UsdUnavailableError(ValueError):
    """The package that writes USD is not installed; the message says how to get it."""


def usdz_bytes(asset: Asset, name: str, metres_per_unit: float = 1.0, up_axis: str = "y") -> bytes:
    """A USDZ file: one mesh with a UsdPreviewSurface, as Apple's, Pixar's and Blender's programs show it.

    Args:
        asset: in the units and with the axis that are told.
        name: of the object.
        metres_per_unit: 1 for metres, 0.01 for centimetres.
        up_axis: "y" or "z".

    Raises:
        UsdUnavailableError: if usd-core is not installed.
    """
    modules = _modules()
    with tempfile.TemporaryDirectory() as folder:
        stage_file, package = Path(folder) / "object.usdc", Path(folder) / "object.usdz"
        _write_stage(modules, stage_file, asset, name, metres_per_unit, up_axis)
        if not modules["UsdUtils"].CreateNewUsdzPackage(str(stage_file), str(package)):
            raise OSError("usd-core could not pack the USDZ file")
        return package.read_bytes()


def _modules() -> dict[str, ModuleType]:
    try:
        from pxr import Gf, Sdf, Usd, UsdGeom, UsdShade, UsdUtils, Vt
    except ImportError:
        raise UsdUnavailableError(
            'USDZ needs the package usd-core; install it with `pip install "scoresmith[usd]"`.'
        ) from None
    modules = (Gf, Sdf, Usd, UsdGeom, UsdShade, UsdUtils, Vt)
    return {module.__name__.rpartition(".")[2]: module for module in modules}


def _write_stage(
    modules: dict[str, Any], path: Path, asset: Asset, name: str, metres_per_unit: float, up_axis: str
) -> None:
    usd, geometry, values = modules["Usd"], modules["UsdGeom"], modules["Vt"]
    stage = usd.Stage.CreateNew(str(path))
    geometry.SetStageUpAxis(stage, up_axis.upper())
    geometry.SetStageMetersPerUnit(stage, metres_per_unit)
    root = geometry.Xform.Define(stage, f"/{_identifier(name)}")
    stage.SetDefaultPrim(root.GetPrim())
    mesh = geometry.Mesh.Define(stage, root.GetPath().AppendChild("mesh"))
    faces = asset.mesh.faces
    mesh.CreateSubdivisionSchemeAttr("none")  # the triangles are the surface, not a cage around it
    mesh.CreatePointsAttr(values.Vec3fArray.FromNumpy(asset.mesh.vertices.astype(np.float32)))
    mesh.CreateFaceVertexCountsAttr(values.IntArray.FromNumpy(np.full(len(faces), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(values.IntArray.FromNumpy(faces.reshape(-1).astype(np.int32)))
    extent = np.stack([asset.mesh.vertices.min(axis=0), asset.mesh.vertices.max(axis=0)])
    mesh.CreateExtentAttr(values.Vec3fArray.FromNumpy(extent.astype(np.float32)))
    mesh.CreateDoubleSidedAttr(not asset.mesh.is_watertight)
    normals = asset.corner_normals.reshape(-1, 3).astype(np.float32)
    mesh.CreateNormalsAttr(values.Vec3fArray.FromNumpy(normals))
    mesh.SetNormalsInterpolation(geometry.Tokens.faceVarying)
    primitive_variables = geometry.PrimvarsAPI(mesh)
    types, tokens = modules["Sdf"].ValueTypeNames, geometry.Tokens
    if asset.uv is not None:
        uv = primitive_variables.CreatePrimvar("st", types.TexCoord2fArray, tokens.faceVarying)
        uv.Set(values.Vec2fArray.FromNumpy(asset.uv.reshape(-1, 2).astype(np.float32)))
    if asset.mesh.colours is not None and asset.material.base_colour is None:
        colours = primitive_variables.CreatePrimvar("displayColor", types.Color3fArray, tokens.vertex)
        colours.Set(values.Vec3fArray.FromNumpy(srgb_to_linear(asset.mesh.colours).astype(np.float32)))
    _write_material(modules, stage, root.GetPath().AppendChild("surface"), mesh, asset, path.parent)
    stage.GetRootLayer().Save()


def _write_material(modules: dict[str, Any], stage: Any, path: Any, mesh: Any, asset: Asset, folder: Path) -> None:
    """A UsdPreviewSurface (https://openusd.org/release/spec_usdpreviewsurface.html) and the images that it reads."""
    shade, types, vectors = modules["UsdShade"], modules["Sdf"].ValueTypeNames, modules["Gf"]
    material = shade.Material.Define(stage, path)
    surface = shade.Shader.Define(stage, path.AppendChild("preview"))
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", types.Float).Set(asset.material.roughness)
    surface.CreateInput("metallic", types.Float).Set(asset.material.metallic)
    material.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")

    def reader(name: str, kind: str) -> Any:
        shader = shade.Shader.Define(stage, path.AppendChild(name))
        shader.CreateIdAttr(kind)
        return shader

    if asset.uv is not None:
        wrap_mode = "clamp" if is_inside_unit_square(asset.uv) else "repeat"
        coordinates = reader("coordinates", "UsdPrimvarReader_float2")
        coordinates.CreateInput("varname", types.String).Set("st")
        for name, image in (("colour", asset.material.base_colour), ("normal", asset.material.normal)):
            if image is None:
                continue
            (folder / f"{name}.png").write_bytes(png_bytes(image))
            texture = reader(name, "UsdUVTexture")
            texture.CreateInput("file", types.Asset).Set(modules["Sdf"].AssetPath(f"./{name}.png"))
            texture.CreateInput("sourceColorSpace", types.Token).Set("sRGB" if name == "colour" else "raw")
            texture.CreateInput("st", types.Float2).ConnectToSource(coordinates.ConnectableAPI(), "result")
            for wrap in ("wrapS", "wrapT"):
                texture.CreateInput(wrap, types.Token).Set(wrap_mode)
            if name == "normal":  # from bytes to [-1, 1]
                texture.CreateInput("scale", types.Float4).Set(vectors.Vec4f(2, 2, 2, 1))
                texture.CreateInput("bias", types.Float4).Set(vectors.Vec4f(-1, -1, -1, 0))
            target, kind = ("diffuseColor", types.Color3f) if name == "colour" else ("normal", types.Normal3f)
            surface.CreateInput(target, kind).ConnectToSource(texture.ConnectableAPI(), "rgb")
    if asset.mesh.colours is not None and asset.material.base_colour is None:
        colours = reader("colours", "UsdPrimvarReader_float3")
        colours.CreateInput("varname", types.String).Set("displayColor")
        surface.CreateInput("diffuseColor", types.Color3f).ConnectToSource(colours.ConnectableAPI(), "result")
    shade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)


def _identifier(name: str) -> str:
    """A name as USD allows it: ASCII letters, digits and underscores, not beginning with a digit."""
    letters = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
    return letters if letters[:1].isalpha() else f"object_{letters}"
