"""Assets as USDZ, Pixar's Universal Scene Description in one file, for which `usd-core` is needed."""

from __future__ import annotations

import errno
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from representations.assets.asset import Asset, Image, MapName, Material
from representations.assets.colour_space import srgb_to_linear
from representations.assets.formats.digits import offset_for_floats
from representations.assets.textures import decoded_normals, encoded_normals, png_bytes
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
        OSError: if usd-core cannot write, in the folder for temporary files.
    """
    modules = _modules()
    with tempfile.TemporaryDirectory() as folder:
        stage_file, package = Path(folder) / "object.usdc", Path(folder) / "object.usdz"
        try:
            _write_stage(modules, stage_file, asset, name, metres_per_unit, up_axis)
            packed = modules["UsdUtils"].CreateNewUsdzPackage(str(stage_file), str(package))
        except modules["Tf"].ErrorException as error:  # its only kind, for a full disk too
            number = errno.ENOSPC if os.strerror(errno.ENOSPC) in str(error) else errno.EIO
            raise OSError(number, "usd-core could not write", folder) from None
        if not packed:
            raise OSError("usd-core could not pack the USDZ file")
        return package.read_bytes()


def _modules() -> dict[str, ModuleType]:
    try:
        from pxr import Gf, Sdf, Tf, Usd, UsdGeom, UsdShade, UsdUtils, Vt
    except ImportError:
        raise UsdUnavailableError("USDZ needs the package usd-core; install it with `pip install usd-core`.") from None
    modules = (Gf, Sdf, Tf, Usd, UsdGeom, UsdShade, UsdUtils, Vt)
    return {module.__name__.rpartition(".")[2]: module for module in modules}


def usdz_losses(asset: Asset) -> list[str]:
    """What UsdPreviewSurface cannot say of an asset, in words."""
    materials, found = asset.materials, []
    if asset.is_textured and asset.colours_of_corners is not None:
        found.append("USDZ shows textures without the vertex colours that multiply them")
    if any(material.normal is not None and material.normal_scale != 1 for material in materials):
        found.append("the strength of normal maps is painted into them in USDZ")
    if any(material.unlit for material in materials):
        found.append("unlit materials are lit in USDZ")
    return found


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
    offset = offset_for_floats(asset.mesh.vertices)
    if offset.any():
        root.AddTranslateOp().Set(modules["Gf"].Vec3d(*offset.tolist()))
    faces, vertices = asset.mesh.faces, (asset.mesh.vertices - offset).astype(np.float32)
    mesh.CreateSubdivisionSchemeAttr("none")  # the triangles are the surface, not a cage around it
    mesh.CreatePointsAttr(values.Vec3fArray.FromNumpy(vertices))
    mesh.CreateFaceVertexCountsAttr(values.IntArray.FromNumpy(np.full(len(faces), 3, np.int32)))
    mesh.CreateFaceVertexIndicesAttr(values.IntArray.FromNumpy(faces.reshape(-1).astype(np.int32)))
    mesh.CreateExtentAttr(values.Vec3fArray.FromNumpy(np.stack([vertices.min(axis=0), vertices.max(axis=0)])))
    sided = [material.two_sided for material in asset.materials]
    mesh.CreateDoubleSidedAttr(any(not asset.mesh.is_watertight if side is None else side for side in sided))
    normals = asset.corner_normals.reshape(-1, 3).astype(np.float32)
    mesh.CreateNormalsAttr(values.Vec3fArray.FromNumpy(normals))
    mesh.SetNormalsInterpolation(geometry.Tokens.faceVarying)
    primitive_variables = geometry.PrimvarsAPI(mesh)
    types, tokens = modules["Sdf"].ValueTypeNames, geometry.Tokens
    for number, uv in enumerate(asset.uv_sets):
        variable = primitive_variables.CreatePrimvar(_uv_name(number), types.TexCoord2fArray, tokens.faceVarying)
        variable.Set(values.Vec2fArray.FromNumpy(uv.reshape(-1, 2).astype(np.float32)))
    colours = asset.colours_of_corners
    if colours is not None:
        per_corner = asset.corner_colours is not None
        listed = colours.reshape(-1, colours.shape[2]) if per_corner else asset.mesh.colours
        assert listed is not None
        interpolation = tokens.faceVarying if per_corner else tokens.vertex
        shown = primitive_variables.CreatePrimvar("displayColor", types.Color3fArray, interpolation)
        shown.Set(values.Vec3fArray.FromNumpy(srgb_to_linear(listed[:, :3]).astype(np.float32)))
    _bind_materials(modules, stage, root, mesh, asset, path.parent)
    stage.GetRootLayer().Save()


def _uv_name(number: int) -> str:
    return "st" if number == 0 else f"st{number}"


def _bind_materials(modules: dict[str, Any], stage: Any, root: Any, mesh: Any, asset: Asset, folder: Path) -> None:
    """One material for the mesh, or for each of its subsets of faces."""
    shade, geometry = modules["UsdShade"], modules["UsdGeom"]
    images = _Images(folder)
    for number, material in enumerate(asset.materials):
        chosen = np.flatnonzero(asset.faces_of(number))
        if not len(chosen):
            continue
        name = "surface" if asset.material_of is None else f"surface{number}"
        written = _Surface(modules, stage, root.GetPath().AppendChild(name), asset, material, images).write()
        bound = mesh.GetPrim()
        if asset.material_of is not None:
            shade.MaterialBindingAPI.Apply(mesh.GetPrim())
            faces = modules["Vt"].IntArray.FromNumpy(chosen.astype(np.int32))
            subset = geometry.Subset.CreateGeomSubset(
                mesh, f"part{number}", geometry.Tokens.face, faces, "materialBind"
            )
            bound = subset.GetPrim()
        shade.MaterialBindingAPI.Apply(bound).Bind(written)


@dataclass
class _Images:
    """Writes images beside the stage, each once."""

    folder: Path
    names: dict[tuple[int, str], str] = field(default_factory=dict)

    def path(self, image: Image, kind: str, pixels: Image) -> str:
        key = (id(image), kind)
        if key not in self.names:
            alike = sum(other == kind for _, other in self.names)
            self.names[key] = f"{kind}{alike + 1 if alike else ''}.png"
            (self.folder / self.names[key]).write_bytes(png_bytes(pixels))
        return f"./{self.names[key]}"


@dataclass
class _Surface:
    """A UsdPreviewSurface (https://openusd.org/release/spec_usdpreviewsurface.html) and the images that it reads."""

    modules: dict[str, Any]
    stage: Any
    path: Any
    asset: Asset
    material: Material
    images: _Images

    def write(self) -> Any:
        shade, types, vectors = self.modules["UsdShade"], self._types, self.modules["Gf"]
        material = self.material
        written = shade.Material.Define(self.stage, self.path)
        surface = self._shader("preview", "UsdPreviewSurface")
        surface.CreateInput("roughness", types.Float).Set(material.roughness)
        surface.CreateInput("metallic", types.Float).Set(material.metallic)
        written.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")
        red, green, blue, opacity = material.base_factor
        textured = self._has("base_colour")
        if textured:
            colour = self._texture("base_colour", "colour", "sRGB", scale=(red, green, blue, opacity))
            surface.CreateInput("diffuseColor", types.Color3f).ConnectToSource(colour.ConnectableAPI(), "rgb")
        elif self.asset.colours_of_corners is not None:
            colours = self._shader("colours", "UsdPrimvarReader_float3")
            colours.CreateInput("varname", types.String).Set("displayColor")
            surface.CreateInput("diffuseColor", types.Color3f).ConnectToSource(colours.ConnectableAPI(), "result")
        elif material.base_factor[:3] != (1.0, 1.0, 1.0):
            surface.CreateInput("diffuseColor", types.Color3f).Set(vectors.Vec3f(red, green, blue))
        if material.alpha_mode != "opaque":
            entry = surface.CreateInput("opacity", types.Float)
            if textured and material.base_colour is not None and material.base_colour.shape[2] == 4:
                entry.ConnectToSource(colour.ConnectableAPI(), "a")
            else:
                entry.Set(opacity)
            if material.alpha_mode == "mask":
                surface.CreateInput("opacityThreshold", types.Float).Set(material.alpha_cutoff)
        self._write_light_and_relief(surface)
        return written

    def _write_light_and_relief(self, surface: Any) -> None:
        types, material = self._types, self.material
        if self._has("normal"):
            normal = self._texture("normal", "normal", "raw", scale=(2, 2, 2, 1), bias=(-1, -1, -1, 0))
            surface.CreateInput("normal", types.Normal3f).ConnectToSource(normal.ConnectableAPI(), "rgb")
        if self._has("metallic_roughness"):
            scale = (1, material.roughness, material.metallic, 1)
            shine = self._texture("metallic_roughness", "surface", "raw", scale=scale)
            surface.CreateInput("roughness", types.Float).ConnectToSource(shine.ConnectableAPI(), "g")
            surface.CreateInput("metallic", types.Float).ConnectToSource(shine.ConnectableAPI(), "b")
        if self._has("occlusion"):
            strength = material.occlusion_strength
            shade = self._texture("occlusion", "occlusion", "raw", (strength,) * 4, (1 - strength,) * 4)
            surface.CreateInput("occlusion", types.Float).ConnectToSource(shade.ConnectableAPI(), "r")
        if any(material.emission_factor):
            entry = surface.CreateInput("emissiveColor", types.Color3f)
            if self._has("emission"):
                light = self._texture("emission", "emission", "sRGB", scale=(*material.emission_factor, 1))
                entry.ConnectToSource(light.ConnectableAPI(), "rgb")
            else:
                entry.Set(self.modules["Gf"].Vec3f(*material.emission_factor))

    @property
    def _types(self) -> Any:
        return self.modules["Sdf"].ValueTypeNames

    def _has(self, name: MapName) -> bool:
        return name in self.material.maps and self.asset.uv is not None

    def _shader(self, name: str, kind: str) -> Any:
        shader = self.modules["UsdShade"].Shader.Define(self.stage, self.path.AppendChild(name))
        shader.CreateIdAttr(kind)
        return shader

    def _texture(
        self,
        name: MapName,
        kind: str,
        space: str,
        scale: tuple[float, ...] = (1, 1, 1, 1),
        bias: tuple[float, ...] = (0, 0, 0, 0),
    ) -> Any:
        """A shader that reads a map where its texture coordinates say."""
        types, vectors = self._types, self.modules["Gf"]
        image, sampling = self.material.maps[name], self.material.sampling(name)
        coordinates = self._shader(f"{kind}_coordinates", "UsdPrimvarReader_float2")
        coordinates.CreateInput("varname", types.String).Set(_uv_name(sampling.uv_set))
        texture = self._shader(kind, "UsdUVTexture")
        pixels = _relief(image, self.material.normal_scale) if name == "normal" else image
        file = self.images.path(image, kind, pixels)
        texture.CreateInput("file", types.Asset).Set(self.modules["Sdf"].AssetPath(file))
        texture.CreateInput("sourceColorSpace", types.Token).Set(space)
        texture.CreateInput("st", types.Float2).ConnectToSource(coordinates.ConnectableAPI(), "result")
        wraps = sampling.wrap
        if name not in self.material.samplings:
            assert self.asset.uv is not None
            wraps = ("clamp", "clamp") if is_inside_unit_square(self.asset.uv) else ("repeat", "repeat")
        for entry, wrap in zip(("wrapS", "wrapT"), wraps, strict=True):
            texture.CreateInput(entry, types.Token).Set(wrap)
        if scale != (1, 1, 1, 1):
            texture.CreateInput("scale", types.Float4).Set(vectors.Vec4f(*scale))
        if any(bias):
            texture.CreateInput("bias", types.Float4).Set(vectors.Vec4f(*bias))
        return texture


def _relief(image: Image, scale: float) -> Image:
    """A normal map whose x and y are scaled."""
    if scale == 1:
        return image
    normals = decoded_normals(image[:, :, :3] / 255) * np.array([scale, scale, 1.0])
    length = np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-12)
    return np.round(encoded_normals(normals / length) * 255).astype(np.uint8)


def _identifier(name: str) -> str:
    """A name as USD allows it: ASCII letters, digits and underscores, not beginning with a digit."""
    letters = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in name)
    return letters if letters[:1].isalpha() else f"object_{letters}"
