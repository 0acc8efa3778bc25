"""What tells whether two programs have read the same file: other diagonals are no difference, other faces are."""

from pathlib import Path

import imageio.v3 as imageio
import numpy as np

from representations.assets.reading import read_mesh_file
from tests.external.compare_real_files import (
    are_the_polygons_of,
    differences,
    diffuse_colours,
    directed_area,
    only_cut_otherwise,
    triangles_of_trimesh,
)

BENT = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0.5], [0, 1, 0]], dtype=float)


def soup(*faces: tuple[int, int, int]) -> np.ndarray:
    return BENT[np.array(faces)]


def test_a_bent_quadrilateral_along_either_diagonal():
    ours, theirs = soup((0, 1, 2), (0, 2, 3)), soup((0, 1, 3), (1, 2, 3))
    assert differences(ours, theirs, "read")
    assert only_cut_otherwise(ours, theirs)
    assert only_cut_otherwise(ours, theirs + 1e-7)


def test_other_faces():
    ours = soup((0, 1, 2), (0, 2, 3))
    for theirs in (soup((0, 1, 2)), soup((0, 1, 2), (0, 3, 2)), soup((2, 1, 0), (3, 2, 0)), ours + 0.1):
        assert not only_cut_otherwise(ours, theirs)


def test_polygons_are_judged_by_what_the_text_says(tmp_path: Path):
    path = tmp_path / "dent.obj"
    path.write_text("v 0 0 0\nv 4 0 0\nv 4 4 0\nv 2 1 0\nv 0 4 0\nf 1 2 3 4 5\nf -5 -4 -3\n")
    corners = np.array([[0, 0, 0], [4, 0, 0], [4, 4, 0], [2, 1, 0], [0, 4, 0]], dtype=float)
    assert directed_area(path) == 18
    sound = corners[[[4, 0, 3], [0, 1, 3], [1, 2, 3], [0, 1, 2]]]
    assert are_the_polygons_of(path, sound)
    folded = corners[[[2, 3, 4], [2, 4, 0], [2, 0, 1], [0, 1, 2]]]  # from the corner after the dent
    assert not are_the_polygons_of(path, folded)
    assert not are_the_polygons_of(path, sound[:3])
    assert not are_the_polygons_of(path, sound[:, ::-1])


def test_a_texture_that_is_said_to_be_missing_excuses_no_other(tmp_path: Path):
    """Two materials with a texture each, of which one is not there; a face of the other has nowhere to show it."""
    path = tmp_path / "two.obj"
    imageio.imwrite(tmp_path / "here.png", np.full((2, 2, 3), 99, np.uint8))
    (tmp_path / "two.mtl").write_text("newmtl a\nmap_Kd -s 1 1 1 here.png\nnewmtl b\nmap_Kd folder/not there.png\n")
    path.write_text(
        "mtllib two.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
        "usemtl a\nf 1/1 2/2 3/3\nf 1 3 2\nusemtl b\nf 3/3 2/2 1/1\n"
    )
    file = read_mesh_file(path)
    said = [note for note in file.notes if "left out" in note]
    assert diffuse_colours(path, file.asset, said) == []
    assert diffuse_colours(path, file.asset, []) == ["the texture of b is missing"]
    (tmp_path / "here.png").rename(tmp_path / "away.png")
    assert diffuse_colours(path, read_mesh_file(path).asset, said) == ["the texture of a is missing"]


def test_materials_without_a_name_or_in_libraries_that_are_not_named_are_no_textures(tmp_path: Path):
    path = tmp_path / "plain.obj"
    (tmp_path / "plain.mtl").write_text("newmtl \nmap_Kd\n")
    (tmp_path / "of another file.mtl").write_text("newmtl a\nmap_Kd here.png\n")
    path.write_text("mtllib plain.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nusemtl\nusemtl a\nf 1/1 2/1 3/1\n")
    assert diffuse_colours(path, read_mesh_file(path).asset, []) == []


def test_stl_is_compared_in_metres_with_y_up(tmp_path: Path):
    path = tmp_path / "corner.stl"
    corners = "\n".join(f"vertex {place}" for place in ("0 0 0", "1000 0 0", "0 1000 3000"))
    path.write_text(f"solid\nfacet normal 0 0 1\nouter loop\n{corners}\nendloop\nendfacet\nendsolid\n")
    mesh = read_mesh_file(path).asset.mesh
    np.testing.assert_allclose(triangles_of_trimesh(path), [[[0, 0, 0], [1, 0, 0], [0, 3, -1]]])
    assert differences(mesh.vertices[mesh.faces], triangles_of_trimesh(path), "read") == []
