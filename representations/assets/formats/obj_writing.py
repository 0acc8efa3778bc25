"""Assets as Wavefront OBJ, with the material and its images in files beside it."""

from __future__ import annotations

import io

import numpy as np

from representations.assets.asset import Asset
from representations.assets.textures import png_bytes
from representations.geometry.mesh import Floats


def obj_files(asset: Asset, stem: str, note: str = "") -> dict[str, bytes]:
    """The files of an asset by suffix: always ".obj"; with texture coordinates also ".mtl" and images.

    No vertex is split: OBJ counts positions, texture coordinates and normals separately, so the surface stays closed.
    Vertex colours stand behind the positions, as most programs understand, unless there is a texture.

    Args:
        asset: see `representations.assets.asset`.
        stem: the name of the .obj file without its suffix; the other files' names begin with it. Blanks in it are
            written as underscores in references, because the format cannot quote them.
        note: a comment for its first line, e.g. the units.
    """
    mesh, material = asset.mesh, asset.material
    text = io.StringIO()
    text.write(f"# scoresmith {note}\n".replace(" \n", "\n"))
    stem = file_stem(stem)
    files: dict[str, bytes] = {}
    if asset.uv is not None:
        text.write(f"mtllib {stem}.mtl\n")
    textured = asset.uv is not None and material.base_colour is not None
    if mesh.colours is None or textured:
        _write_rows(text, "v %.7g %.7g %.7g\n", mesh.vertices)
    else:
        _write_rows(text, "v %.7g %.7g %.7g %.4f %.4f %.4f\n", np.concatenate([mesh.vertices, mesh.colours], axis=1))
    normals, normal_of = _numbered(asset.normals, mesh.normals, mesh.faces)
    _write_rows(text, "vn %.4f %.4f %.4f\n", normals)
    columns = [mesh.faces + 1, normal_of + 1]
    pattern = "f %d//%d %d//%d %d//%d\n"
    if asset.uv is not None:
        uv, uv_of = np.unique(asset.uv.reshape(-1, 2).astype(np.float32), axis=0, return_inverse=True)
        _write_rows(text, "vt %.6f %.6f\n", uv)
        columns.insert(1, uv_of.reshape(-1, 3) + 1)
        pattern = "f %d/%d/%d %d/%d/%d %d/%d/%d\n"
        text.write("usemtl surface\n")
        files |= _material_files(asset, stem)
    _write_rows(text, pattern, np.stack(columns, axis=-1).reshape(len(mesh.faces), -1))
    return files | {".obj": text.getvalue().encode()}


def file_stem(stem: str) -> str:
    """A name that may stand in an OBJ or MTL file."""
    return "_".join(stem.split())


def _material_files(asset: Asset, stem: str) -> dict[str, bytes]:
    """The .mtl file, in the physically based extension of the format, and the images that it names."""
    material = asset.material
    lines = [
        "newmtl surface",
        "Kd 1 1 1",
        "Ks 0 0 0",
        "illum 2",
        f"Pr {material.roughness:g}",
        f"Pm {material.metallic:g}",
    ]
    files: dict[str, bytes] = {}
    if material.base_colour is not None:
        lines.append(f"map_Kd {stem}_colour.png")
        files["_colour.png"] = png_bytes(material.base_colour)
    if material.normal is not None:
        # Not "map_Bump": some programs take that for heights, and Blender reads it as sRGB, which bends every normal.
        lines.append(f"norm {stem}_normal.png")
        files["_normal.png"] = png_bytes(material.normal)
    return files | {".mtl": ("\n".join(lines) + "\n").encode()}


def _numbered(of_corners: Floats | None, of_vertices: Floats, faces: np.ndarray) -> tuple[Floats, np.ndarray]:
    """Distinct normals, and which one each face's corners have."""
    if of_corners is None:
        return of_vertices, faces
    normals, number = np.unique(np.round(of_corners.reshape(-1, 3), 4), axis=0, return_inverse=True)
    return normals, number.reshape(-1, 3)


def _write_rows(text: io.StringIO, pattern: str, rows: np.ndarray) -> None:
    text.write("".join([pattern % tuple(row) for row in rows.tolist()]))
