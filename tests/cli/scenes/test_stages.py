"""The stages of a run: chosen, begun with a mesh of the user's, and restored without it."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from cli.main import main
from cli.scenes.initial_mesh import (
    OBJECT_RADIUS,
    Placement,
    back_in_place,
    begin_with_asset,
    in_unit_sphere,
    placement_of,
    read_initial_mesh,
)
from cli.scenes.loading import load_object
from cli.scenes.recipes.large_teachers import LARGE_TEACHER, LARGE_TEACHER_MESH
from cli.scenes.recipes.small_teachers import SMALL_TEACHER, SMALL_TEACHER_MESH
from cli.scenes.request import Request
from cli.scenes.run_folder import RunFolder
from representations.assets.asset import Asset
from representations.fields.field import DenseGrid
from representations.fields.nerf import NeRF
from representations.geometry.mesh import Mesh
from representations.surfaces.distance_grid import DistanceGrid
from representations.surfaces.mesh_field import MeshField
from sds.checkpoint import load_checkpoint
from sds.weightings import WEIGHTINGS, sigma_squared_weight


@pytest.fixture
def block(tmp_path: Path) -> Path:
    """A file with a box that is twice as high as wide, all of it red, somewhere and of some size."""
    shape = trimesh.creation.box((1.0, 2.0, 0.5)).subdivide().subdivide()
    shape.apply_translation([3.0, -5.0, 1.0])
    shape.visual.vertex_colors = [255, 0, 0, 255]
    path = tmp_path / "block.ply"
    shape.export(path)
    return path


def generate(teacher: Path, out: Path, *more: str) -> int:
    return main(["generate", "a ball", "--teacher", str(teacher), "--out", str(out), "--steps", "2", *more])


@pytest.mark.parametrize(("options", "kind"), [(["--stages", "nerf"], NeRF), (["--representation", "mesh"], MeshField)])
def test_one_stage_alone(tiny_teacher: Path, tmp_path: Path, options: list[str], kind: type):
    out = tmp_path / "out"
    assert generate(tiny_teacher, out, *options) == 0
    stage = options[1]
    assert list(json.loads((out / "run.json").read_text())["recipe"]) == [stage]
    assert load_checkpoint(out / "checkpoint.pt")["stage"] == stage
    assert isinstance(load_object(RunFolder(out), torch.device("cpu")).solid, kind)


def test_a_mesh_is_given_new_colours_and_keeps_its_shape(tiny_teacher: Path, tmp_path: Path, block: Path):
    out = tmp_path / "out"
    assert generate(tiny_teacher, out, "--init", str(block), "--retexture") == 0
    made = load_object(RunFolder(out), torch.device("cpu")).solid.surface()
    expected = read_initial_mesh(block).mesh
    assert len(made.faces) == len(expected.faces)
    np.testing.assert_allclose(np.ptp(made.vertices, axis=0), np.ptp(expected.vertices, axis=0), atol=1e-5)
    bounds = trimesh.load(out / "mesh.glb", force="mesh").bounds
    np.testing.assert_allclose(bounds, trimesh.load(block).bounds, atol=1e-4)


def test_a_run_that_began_with_a_mesh_goes_on_without_the_file(tiny_teacher: Path, tmp_path: Path, block: Path):
    out = tmp_path / "out"
    assert generate(tiny_teacher, out, "--init", str(block)) == 0
    block.unlink()
    (out / "mesh.glb").unlink()
    assert main(["generate", "--resume", str(out)]) == 0
    assert (out / "mesh.glb").exists()


def test_a_mesh_that_is_refined_begins_with_its_shape_and_colours(block: Path):
    field = MeshField(DistanceGrid((16, 32)), DenseGrid((16, 32)))
    block_asset = read_initial_mesh(block)
    begin_with_asset(field, block_asset)
    surface = field.surface()
    assert surface.volume == pytest.approx(block_asset.mesh.volume, rel=0.1)
    np.testing.assert_allclose(surface.colours.mean(axis=0), [1, 0, 0], atol=0.05)


def test_meshes_are_fitted_into_the_view():
    corners = np.array([[0.0, 0, 0], [4, 0, 0], [0, 2, 0], [0, 0, 3]])
    asset = Asset(Mesh(corners, np.array([[0, 1, 2]])))
    mesh = in_unit_sphere(asset).mesh
    np.testing.assert_allclose(back_in_place(mesh, placement_of(asset)).vertices, corners, atol=1e-12)
    assert np.linalg.norm(mesh.vertices, axis=1).max() == pytest.approx(OBJECT_RADIUS)
    np.testing.assert_allclose(mesh.vertices.min(axis=0), -mesh.vertices.max(axis=0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--retexture"], "--init FILE"),
        (["--stages", "nerf", "--representation", "nerf"], "give one of them"),
        (["--init", "BLOCK", "--stages", "nerf,mesh"], "begins with the mesh stage"),
        (["--init", "missing.glb"], "missing.glb"),
        (["--init", "SHEET"], "encloses no volume"),
        (["--init", "JUNK"], "junk.glb"),
        (["--init", "WITHIN", "--overwrite"], "choose another --out"),
    ],
)
def test_contradictions_are_named_before_anything_is_written(
    tiny_teacher: Path, tmp_path: Path, block: Path, capsys, options: list[str], message: str
):
    sheet = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]])
    sheet.export(tmp_path / "sheet.ply")
    (tmp_path / "junk.glb").write_bytes(b"glTF, but not really")
    out = tmp_path / "out"
    (out / "mesh").mkdir(parents=True)
    within = Path(shutil.copy(block, out / "mesh" / "block.ply"))
    named = {"BLOCK": block, "SHEET": tmp_path / "sheet.ply", "JUNK": tmp_path / "junk.glb", "WITHIN": within}
    assert generate(tiny_teacher, out, *(str(named.get(word, word)) for word in options)) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("scoresmith:")]
    assert message in line
    assert [path for path in out.rglob("*") if path.is_file()] == [within]


def test_stages_that_cannot_be_are_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["generate", "a ball", "--stages", "mesh,nerf"]) == 2
    assert "nerf,mesh" in capsys.readouterr().err


def test_what_each_stage_does_by_default():
    """A mesh that refines visits less noise and takes fewer steps; one that begins with nothing does what fields do."""
    field, mesh = SMALL_TEACHER, SMALL_TEACHER_MESH
    field, mesh = replace(field, source=""), replace(mesh, source="")
    both = Request("a ball")
    assert replace(both.recipe("nerf"), source="") == field
    assert replace(both.recipe("mesh"), source="") == mesh
    alone = Request("a ball", stages=("mesh",))
    assert alone.recipe("mesh").times == field.times
    assert alone.recipe("mesh").steps == field.steps
    assert replace(Request("a ball", stages=("mesh",), init="x.glb").recipe("mesh"), source="") == mesh
    painted = Request("a ball", stages=("mesh",), init="x.glb", retexture=True)
    assert painted.recipe("mesh").times == field.times
    patient = Request("a ball", preset="quality", guidance_scale=3.0)
    assert patient.recipe("mesh").steps == 3 * mesh.steps
    assert patient.recipe("mesh").guidance.scale == 3.0
    for method, scale in (("sds", field.guidance.scale), ("nfsd", 1.5), ("vsd", 1.0)):
        assert Request("a ball", method=method).recipe("mesh").guidance.scale == scale
    assert (
        Request("a ball", method="nfsd").recipe("mesh").times == Request("a ball", method="nfsd").recipe("nerf").times
    )
    large = Request("a ball", teacher="some/hub-name")
    assert WEIGHTINGS[large.recipe("nerf").weighting] is sigma_squared_weight  # threestudio's 1 - alpha_bar
    for stage in ("nerf", "mesh"):
        assert Request("a ball").recipe(stage).weighting == "constant"
        assert Request("a ball", weighting="min-snr").recipe(stage).weighting == "min-snr"
    assert (large.recipe("nerf").steps, large.recipe("mesh").steps) == (LARGE_TEACHER.steps, LARGE_TEACHER_MESH.steps)


def test_a_request_survives_its_file():
    place = Placement((0.1, -2.0, 3.3), 0.7)
    request = Request("a ball", stages=("mesh",), init="/somewhere/model.glb", retexture=True, placement=place)
    assert Request(**json.loads(json.dumps(asdict(request)))) == request
