"""Assets as Wavefront OBJ, with the materials and their images in files beside it."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np

from representations.assets.asset import Asset, Image, MapName, Material
from representations.assets.colour_space import linear_to_srgb
from representations.assets.formats.digits import pattern_for
from representations.assets.formats.polygons import outlines
from representations.assets.textures import png_bytes
from representations.geometry.mesh import Floats, Integers

_USUAL_SURFACE = Material()


def obj_files(asset: Asset, stem: str, note: str = "") -> dict[str, bytes]:
    """The files of an asset by suffix: always ".obj"; with texture coordinates or materials also ".mtl" and images.

    No vertex is split but where its faces differ in colour: OBJ counts positions, texture coordinates and normals
    separately, so the surface stays closed. Colours stand behind the positions, as most programs understand.

    Args:
        asset: see `representations.assets.asset`.
        stem: the name of the .obj file without its suffix; the other files' names begin with it. Blanks in it are
            written as underscores in references, because the format cannot quote them.
        note: a comment for its first line, e.g. the units.
    """
    text = io.StringIO()
    text.write(f"# scoresmith {note}\n".replace(" \n", "\n"))
    stem = file_stem(stem)
    files: dict[str, bytes] = {}
    with_materials = asset.uv is not None or asset.material_of is not None or _says_something(asset.material)
    names = _names(asset)
    if with_materials:
        text.write(f"mtllib {stem}.mtl\n")
        files |= _Library(stem).files(asset, names)
    positions, colours, corner_of = _positions(asset)
    number = pattern_for(positions)
    if colours is None:
        _write_rows(text, f"v {number} {number} {number}\n", positions)
    else:
        _write_rows(
            text, f"v {number} {number} {number} %.6g %.6g %.6g\n", np.concatenate([positions, colours], axis=1)
        )
    normals, normal_of = _numbered(asset.normals, asset.mesh.normals, asset.mesh.faces)
    _write_rows(text, "vn %.6g %.6g %.6g\n", normals)
    columns, corner = [corner_of + 1, normal_of + 1], " %d//%d"
    if asset.uv is not None:
        uv, uv_of = np.unique(asset.uv.reshape(-1, 2), axis=0, return_inverse=True)
        _write_rows(text, "vt {0} {0}\n".format(pattern_for(uv)), uv)
        columns.insert(1, uv_of.reshape(-1, 3) + 1)
        corner = " %d/%d/%d"
    corners = np.stack(columns, axis=-1)
    for material in range(len(asset.materials)):
        chosen = asset.faces_of(material)
        if chosen.any():
            if with_materials:
                text.write(f"usemtl {names[material]}\n")
            _write_faces(text, corner, corners[chosen], None if asset.polygon_of is None else asset.polygon_of[chosen])
    return files | {".obj": text.getvalue().encode()}


def obj_losses(asset: Asset) -> list[str]:
    """What OBJ cannot say of an asset, in words."""
    found, materials = [], asset.materials
    if any(
        sampling.uv_set for material in materials for name in material.maps if (sampling := material.sampling(name))
    ):
        found.append("maps with texture coordinates of their own are left out: OBJ has one set")
    if any(material.occlusion is not None for material in materials):
        found.append("occlusion maps are not kept in OBJ")
    if any(material.alpha_mode == "mask" for material in materials):
        found.append("cut-outs become transparency in OBJ")
    if asset.uv is not None and asset.is_textured and asset.colours_of_corners is not None:
        found.append("programs show either the texture or the vertex colours of an OBJ, not their product")
    if asset.corner_colours is not None and asset.corner_colours.shape[2] == 4:
        found.append("opacities of vertices are not kept in OBJ")
    if any("mirror" in material.sampling(name).wrap for material in materials for name in material.maps):
        found.append("mirrored repetition becomes plain repetition in OBJ")
    if any(material.unlit for material in materials):
        found.append("unlit materials are lit in OBJ")
    if any(material.two_sided is not None for material in materials):
        found.append("whether backs are drawn is not kept in OBJ")
    return found


def file_stem(stem: str) -> str:
    """A name that may stand in an OBJ or MTL file."""
    return "_".join(stem.split())


def _says_something(material: Material) -> bool:
    """Whether a material without maps is worth a file of its own."""
    return (
        material.base_factor != _USUAL_SURFACE.base_factor
        or any(material.emission_factor)
        or ((material.roughness, material.metallic) not in ((0.9, 0.0), (1.0, 0.0)))
    )


def _names(asset: Asset) -> list[str]:
    """Of the materials: their own without blanks, each once; "surface" for one without."""
    found: list[str] = []
    for material in asset.materials:
        name = file_stem("".join(letter for letter in material.name if letter.isprintable() and letter != "#"))
        name = name or "surface"
        number = 2
        while name in found:
            name = f"{file_stem(material.name) or 'surface'}_{number}"
            number += 1
        found.append(name)
    return found


def _positions(asset: Asset) -> tuple[Floats, Floats | None, Integers]:
    """(W, 3) positions, (W, 3) colours or None, and (F, 3) which of them each corner has."""
    mesh = asset.mesh
    if asset.corner_colours is None:
        return mesh.vertices, mesh.colours, mesh.faces
    colours = asset.corner_colours[:, :, :3].reshape(-1, 3)
    rows = np.concatenate([mesh.faces.reshape(-1, 1), colours], axis=1)
    _, first, number = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    return mesh.vertices[mesh.faces.reshape(-1)[first]], colours[first], number.reshape(-1, 3)


@dataclass
class _Library:
    """The .mtl file, in the physically based extension of the format, and the images that it names."""

    stem: str
    contents: dict[str, bytes] = field(default_factory=dict)
    suffixes: dict[tuple[int, str], str] = field(default_factory=dict)

    def files(self, asset: Asset, names: list[str]) -> dict[str, bytes]:
        lines: list[str] = []
        for name, material in zip(names, asset.materials, strict=True):
            lines += [f"newmtl {name}", *self._lines(material if asset.uv is not None else _without_maps(material))]
        return self.contents | {".mtl": ("\n".join(lines) + "\n").encode()}

    def _lines(self, material: Material) -> list[str]:
        red, green, blue = linear_to_srgb(np.array(material.base_factor[:3]))
        lines = [f"Kd {red:.6g} {green:.6g} {blue:.6g}", "Ks 0 0 0", "illum 2"]
        lines += [f"Pr {material.roughness:.6g}", f"Pm {material.metallic:.6g}"]
        if material.alpha_mode != "opaque" and material.base_factor[3] < 1:
            lines.append(f"d {material.base_factor[3]:.6g}")
        if any(material.emission_factor):
            lines.append(
                "Ke " + " ".join(f"{light:.6g}" for light in linear_to_srgb(np.array(material.emission_factor)))
            )
        if material.base_colour is not None:
            lines += self._image(material, "base_colour", "map_Kd", "colour", material.base_colour[:, :, :3])
            if material.base_colour.shape[2] == 4 and material.alpha_mode != "opaque":
                opacity = np.repeat(material.base_colour[:, :, 3:], 3, axis=2)
                lines += self._image(material, "base_colour", "map_d", "opacity", opacity)
        if material.emission is not None:
            lines += self._image(material, "emission", "map_Ke", "emission", material.emission)
        if material.metallic_roughness is not None:
            for keyword, kind, channel in (("map_Pr", "roughness", 1), ("map_Pm", "metallic", 2)):
                grey = np.repeat(material.metallic_roughness[:, :, channel : channel + 1], 3, axis=2)
                lines += self._image(material, "metallic_roughness", keyword, kind, grey)
        if material.normal is not None:
            # Not "map_Bump": some programs take that for heights, and Blender reads it as sRGB, which bends every
            # normal.
            keyword = "norm" if material.normal_scale == 1 else f"norm -bm {material.normal_scale:.6g}"
            lines += self._image(material, "normal", keyword, "normal", material.normal)
        return lines

    def _image(self, material: Material, name: MapName, keyword: str, kind: str, image: Image) -> list[str]:
        """The line of a map, whose picture is kept; none if it has texture coordinates of its own."""
        sampling = material.sampling(name)
        if sampling.uv_set:
            return []
        key = (id(getattr(material, name)), kind)
        if key not in self.suffixes:
            alike = sum(other == kind for _, other in self.suffixes)
            self.suffixes[key] = f"_{kind}{alike + 1 if alike else ''}.png"
            self.contents[self.suffixes[key]] = png_bytes(np.ascontiguousarray(image))
        clamp = " -clamp on" if name in material.samplings and "clamp" in sampling.wrap else ""
        return [f"{keyword}{clamp} {self.stem}{self.suffixes[key]}"]


def _without_maps(material: Material) -> Material:
    return Material(
        roughness=material.roughness,
        metallic=material.metallic,
        base_factor=material.base_factor,
        emission_factor=material.emission_factor,
        alpha_mode=material.alpha_mode,
    )


def _numbered(of_corners: Floats | None, of_vertices: Floats, faces: Integers) -> tuple[Floats, Integers]:
    """Distinct normals, and which one each face's corners have."""
    if of_corners is None:
        return of_vertices, faces
    normals, number = np.unique(np.round(of_corners.reshape(-1, 3), 6), axis=0, return_inverse=True)
    return normals, number.reshape(-1, 3)


def _write_faces(text: io.StringIO, corner: str, corners: Integers, polygon_of: Integers | None) -> None:
    """Lines of faces whose corners (F, 3, K) are written as ``corner`` says; triangles of one polygon are one line."""
    if polygon_of is None:
        _write_rows(text, f"f{corner * 3}\n", corners.reshape(len(corners), -1))
        return
    flat = corners.reshape(-1, corners.shape[-1]).tolist()
    for polygon in outlines(corners, polygon_of):
        text.write("f" + "".join(corner % tuple(flat[place]) for place in polygon) + "\n")


def _write_rows(text: io.StringIO, pattern: str, rows: np.ndarray) -> None:
    text.write("".join([pattern % tuple(row) for row in rows.tolist()]))
