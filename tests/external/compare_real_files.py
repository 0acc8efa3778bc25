"""Other people's mesh files, read by ourselves, exported, and compared with independent readers.

    python -m tests.external.compare_real_files FOLDER [FOLDER ...]

Every .obj, .glb, .gltf, .ply, .stl and .off file below the folders is read and written as GLB. The polygons, or else
the areas by direction and the middles, must be those that another reader finds: assimp for OBJ, of which it cuts
concave polygons as we do (`pip install assimp-py`); three.js for glTF with its skins, morphs and instances, if
`THREE_JS` names a folder with it (see the README); trimesh for all else, and for what was written. The materials must
survive, and OBJ files keep their textures. Of polygons that touch or cross themselves assimp leaves parts out: there
ours must be trimesh's polygons, which it cuts into fans, and cover what the text says. Faces that were turned round and
textures that are not beside their file, both of which are said, are counted apart. What differs is printed; the last
line counts.

Files to try: the Debian package sweethome3d-furniture (its .sh3f files are archives with OBJ files), the npm package
@webxr-input-profiles/assets (GLB).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from representations.assets.asset import Asset
from representations.assets.finishing import prepared
from representations.assets.reading import SUFFIXES, MeshFileError, load_mesh, read_mesh_file
from representations.assets.writing import write_asset
from representations.geometry.mesh import MeshError

VERDICTS = ("the same", "turned, and said", "less, and said", "refused", "different", "theirs fails")


def main(folders: list[str]) -> int:
    """Compares all files; returns how many differ without a word."""
    paths = sorted(path for folder in folders for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES)
    counts = dict.fromkeys(VERDICTS, 0)
    with tempfile.TemporaryDirectory() as scratch:
        for path in paths:
            verdict, why = compared(path, Path(scratch))
            counts[verdict] += 1
            if verdict != "the same":
                print(f"{verdict:12} {path}: {why}", flush=True)
    print(f"{len(paths)} files: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    return counts["different"]


def compared(path: Path, scratch: Path) -> tuple[str, str]:
    """What comes of one file, and why."""
    try:
        file = read_mesh_file(path)
        asset, notes = prepared(file.asset)
        written = load_mesh(write_asset(asset, scratch / "written.glb", may_face_inwards=True)[0])
    except (MeshFileError, MeshError) as error:
        return "refused", str(error)
    try:
        theirs = theirs_of(path, scratch)
        after = triangles_of_trimesh(scratch / "written.glb")
    except Exception as error:  # it fails in every way on files that it cannot read
        return "theirs fails", f"{type(error).__name__}: {error}"
    if not len(theirs):
        return "theirs fails", "it finds nothing where we do"
    ours = file.asset.mesh.vertices[file.asset.mesh.faces]
    found = [] if only_cut_otherwise(ours, theirs) else differences(ours, theirs, "read")
    if found and path.suffix.lower() == ".obj" and are_the_polygons_of(path, ours):
        found = []
    found += differences(asset.mesh.vertices[asset.mesh.faces], after, "written")
    found += looks(asset, written)
    less = [note for note in file.notes if "left out" in note]
    if path.suffix.lower() == ".obj":
        found += diffuse_colours(path, file.asset, less)
    turned = [note for note in notes if "turned" in note]
    if found:
        return "different", "; ".join(found + turned)
    if less:
        return "less, and said", less[0]
    return ("turned, and said", turned[0]) if turned else ("the same", "")


def theirs_of(path: Path, scratch: Path) -> np.ndarray:
    """(F, 3, 3) as the reader finds them that knows most of a format."""
    suffix = path.suffix.lower()
    if suffix == ".obj":
        return triangles_of_assimp(path)
    if suffix in (".gltf", ".glb") and "THREE_JS" in os.environ:
        return triangles_of_three(path, scratch)
    return triangles_of_trimesh(path)


def triangles_of_trimesh(path: Path) -> np.ndarray:
    """(F, 3, 3) of all geometry of a file, placed; of STL in metres with +Y up, as we take it."""
    scene = trimesh.load(path, force="scene", process=False)
    parts = [part.triangles for part in scene.dump() if isinstance(part, trimesh.Trimesh)]
    soup = np.concatenate(parts) if parts else np.zeros((0, 3, 3))
    if path.suffix.lower() == ".stl":
        return np.stack([soup[..., 0], soup[..., 2], -soup[..., 1]], axis=-1) / 1000
    return soup


def triangles_of_three(path: Path, scratch: Path) -> np.ndarray:
    """(F, 3, 3) of a glTF file, posed; as trimesh has them where three.js fails, as it does in node at Draco."""
    script, out = Path(__file__).with_name("triangles_by_three.mjs"), scratch / "three"
    command = ["node", str(script), os.environ["THREE_JS"], str(path.absolute()), str(out)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return triangles_of_trimesh(path)
    return np.fromfile(out, "<f8").reshape(-1, 3, 3)


def triangles_of_assimp(path: Path) -> np.ndarray:
    """(F, 3, 3) of all geometry of an OBJ file; as trimesh has it if there are lines, which assimp's wheel refuses."""
    import assimp_py

    try:
        scene = assimp_py.import_file(str(path), assimp_py.Process_Triangulate)
    except (RuntimeError, ValueError):
        return triangles_of_trimesh(path)
    parts = []
    for mesh in scene.meshes:
        places = np.array(mesh.vertices, dtype=np.float64).reshape(-1, 3)
        indices = np.array(mesh.indices, dtype=np.int64)
        parts.append(places[indices[: len(indices) // 3 * 3].reshape(-1, 3)])
    return np.concatenate(parts)


def differences(ours: np.ndarray, theirs: np.ndarray, when: str) -> list[str]:
    """Whether two soups of triangles have the same faces, each with the same front.

    Compared is what is seen from the six sides of a cube, the whole area, and the middle. Polygons may be cut along
    other diagonals; where they are not flat (half a percent of their size is common, a fifth occurs), that turns
    triangles a little, and moves these sums much less than two per mille.
    """
    size = float(np.ptp(theirs.reshape(-1, 3), axis=0).max()) if len(theirs) else 1.0
    sums = []
    for soup in (ours, theirs):
        normals = np.cross(soup[:, 1] - soup[:, 0], soup[:, 2] - soup[:, 0]) / 2
        area = np.linalg.norm(normals, axis=1)
        seen = np.concatenate([np.maximum(normals, 0).sum(axis=0), np.maximum(-normals, 0).sum(axis=0), [area.sum()]])
        middles = (soup.mean(axis=1) * area[:, None]).sum(axis=0)
        sums.append(np.concatenate([seen, middles / size]))
    scale = max(float(sums[1][6]), 1e-30)
    off = float(np.abs(sums[0] - sums[1]).max()) / scale
    return [f"{when}: areas differ by {off:.2%}"] if off > 2e-3 else []


def only_cut_otherwise(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether two soups are the same polygons, each with the same front, whatever the diagonals they are cut along.

    Then they have as many triangles with their corners at the same places (to a hundred-thousandth of the size), and
    the same edges are left over when each is counted forwards in one triangle and backwards in its neighbour.
    """
    if len(ours) != len(theirs):
        return False
    places, corners = np.unique(ours.reshape(-1, 3), axis=0, return_inverse=True)
    off, nearest = cKDTree(places).query(theirs.reshape(-1, 3))
    if off.max(initial=0) > 1e-5 * np.ptp(places, axis=0).max(initial=0):
        return False
    return rims(corners.reshape(-1, 3), len(places)) == rims(nearest.reshape(-1, 3), len(places))


def are_the_polygons_of(path: Path, ours: np.ndarray) -> bool:
    """Whether triangles are all polygons of an OBJ file, and cover hardly more than what the text says they cover."""
    area = np.linalg.norm(np.cross(ours[:, 1] - ours[:, 0], ours[:, 2] - ours[:, 0]), axis=1).sum() / 2
    return only_cut_otherwise(ours, triangles_of_trimesh(path)) and area < BENT * directed_area(path)


BENT = 1.01
"""Polygons that are not flat have more area than their outlines' directed areas tell."""


def directed_area(path: Path) -> float:
    """The sum of the lengths of all polygons' directed areas (Newell), straight from the text of an OBJ file."""
    places: list[list[float]] = []
    total = 0.0
    for line in path.read_text("utf-8", "replace").splitlines():
        words = line.split()
        if words[:1] == ["v"]:
            places.append([float(word) for word in words[1:4]])
        elif words[:1] == ["f"]:
            numbers = [int(word.split("/")[0]) for word in words[1:]]
            corners = np.array([places[number - 1 if number > 0 else number] for number in numbers])
            corners -= corners[0]
            total += float(np.linalg.norm(np.cross(corners, np.roll(corners, -1, axis=0)).sum(axis=0))) / 2
    return total


def rims(faces: np.ndarray, count: int) -> dict[int, float]:
    """How often each edge, as lower * count + upper end, is passed upwards more than downwards; where that is not 0."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    keys, edge = np.unique(ends.min(axis=1) * count + ends.max(axis=1), return_inverse=True)
    passed = np.bincount(edge, weights=np.sign(ends[:, 1] - ends[:, 0]), minlength=len(keys))
    return {int(key): float(times) for key, times in zip(keys, passed, strict=True) if times}


def looks(before: Asset, after: Asset) -> list[str]:
    """Whether the materials of an asset are those that were written."""
    found = []
    for what in ("roughness", "metallic", "alpha_mode", "base_factor", "emission_factor", "normal_scale"):
        sets = [
            sorted({repr(np.round(getattr(asset.materials[number], what), 5) if what != "alpha_mode"
                         else asset.materials[number].alpha_mode) for number in used_materials(asset)})
            for asset in (before, after)
        ]  # fmt: skip
        if sets[0] != sets[1]:
            found.append(f"{what} differs")
    maps = [sorted(name for number in used_materials(asset) for name in asset.materials[number].maps)
            for asset in (before, after)]  # fmt: skip
    return found + (["maps differ"] if maps[0] != maps[1] else [])


def used_materials(asset: Asset) -> list[int]:
    """The numbers of the materials that some face has."""
    return [0] if asset.material_of is None else np.unique(asset.material_of).tolist()


def diffuse_colours(path: Path, asset: Asset, left_out: list[str]) -> list[str]:
    """Whether the materials of an OBJ's faces with texture coordinates have the textures that the file beside it names.

    Looked up in the text itself: trimesh gives a material without a texture that of its neighbour.

    Args:
        path: of the file.
        asset: as it was read.
        left_out: notes of the reading; textures that they name are said to be missing.
    """
    said = tuple(name.removeprefix("...") for note in left_out for name in re.findall("'(.+)'", note))
    lines = list(statements(path))
    textured, name = set(), ""
    for library in [path.parent / what for keyword, what in lines if keyword == "mtllib"]:
        for keyword, what in statements(library) if library.is_file() else ():
            if keyword == "newmtl":
                name = what
            elif keyword == "map_Kd" and what and not what.endswith(said):
                textured.add(name)
    wanted, name = set(), ""
    for keyword, what in lines:
        if keyword == "usemtl":
            name = what or name
        elif keyword == "f" and name in textured and has_texture_coordinates(what.split()):
            wanted.add(name)
    used = [asset.materials[number] for number in used_materials(asset)]
    found = {material.name for material in used if material.base_colour is not None}
    return [f"the texture of {name} is missing" for name in sorted(wanted - found)]


def statements(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of an OBJ or MTL file: what each is about, and the rest."""
    for line in path.read_text("utf-8", "replace").splitlines():
        keyword, _, rest = line.strip().partition(" ")
        yield keyword, rest.strip()


def has_texture_coordinates(corners: list[str]) -> bool:
    """Whether the corners of a face, "3/1/2" or "3//2", make a triangle or more that can show a texture."""
    return len(corners) > 2 and all("//" not in corner and "/" in corner for corner in corners)


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
