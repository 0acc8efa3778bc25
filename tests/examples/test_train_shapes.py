"""Fields of meshes with a closed form, and a shape prior that learns two of them."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

PROGRAM = Path(__file__).parents[2] / "examples" / "train_teacher"
sys.path.insert(0, str(PROGRAM))

from field_samples import POINT_SCALE, THICKENED, TRUNCATED, sample_field  # noqa: E402 - as the example's programs do
from meshes import OBJECT_RADIUS, load_mesh  # noqa: E402
from render import ViewAngles  # noqa: E402
from render_looks import LookRenderer  # noqa: E402
from sort_variants import rearrange  # noqa: E402
from training import averaged  # noqa: E402

from sds.teachers.layers import NORMAL, OPACITY, OWN, POSITION  # noqa: E402
from sds.teachers.shape_prior import ShapePrior  # noqa: E402
from tests.examples.test_train_teacher import entry, red_box, run  # noqa: E402


@pytest.fixture(scope="module")
def ball_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ball") / "ball.ply"
    trimesh.creation.icosphere(subdivisions=4).export(path)
    return path


def test_the_field_of_a_ball_is_its_distance(ball_file: Path) -> None:
    points, values = sample_field(LookRenderer(load_mesh(entry(ball_file))), 4000, np.random.default_rng(0), cameras=24)
    place = points.astype(np.float64) / POINT_SCALE
    length = np.linalg.norm(place, axis=1)
    expected = np.clip(length - OBJECT_RADIUS - THICKENED, -TRUNCATED, TRUNCATED)
    error = np.abs(values[:, 0] / 127 * TRUNCATED - expected)
    assert error.mean() < 0.002
    assert error.max() < 0.02  # a point in the very rim may be seen past by none of the cameras
    near = np.abs(length - OBJECT_RADIUS) < 0.05
    normal = values[near, 6:9] / 127
    assert (np.abs((normal * place[near] / length[near, None]).sum(1)) > 0.97).all()


def test_a_sheet_without_thickness_has_one_in_the_field(tmp_path: Path) -> None:
    corners = np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]], float)
    trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]]).export(tmp_path / "sheet.ply")
    points, values = sample_field(
        LookRenderer(load_mesh(entry(tmp_path / "sheet.ply"))), 4000, np.random.default_rng(0), cameras=24
    )
    place = points / POINT_SCALE
    middle = np.abs(place[:, [0, 2]]).max(1) < 0.5
    inside = values[middle, 0] < 0
    assert inside.any()
    assert np.abs(place[middle][inside, 1]).max() <= THICKENED + 0.002
    assert np.abs(place[middle][~inside, 1]).min() >= THICKENED - 0.006


def test_layers_of_a_box_hold_no_light(tmp_path: Path) -> None:
    layers = LookRenderer(load_mesh(entry(red_box(tmp_path / "box.glb"))), 16).render(ViewAngles(0.0, 0.0))
    middle = layers[:, 8, 8] / 255
    assert middle[OWN].tolist() == pytest.approx([1, 0, 0], abs=0.01)
    assert middle[NORMAL].tolist() == pytest.approx([0.5, 0.5, 1], abs=0.01)
    assert middle[OPACITY].tolist() == [1]
    front = OBJECT_RADIUS / np.sqrt(3)
    assert (middle[POSITION] * 2 - 1)[2] == pytest.approx(front, abs=0.01)


def test_a_prior_learns_resumes_and_shows(tmp_path: Path, ball_file: Path) -> None:
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    (meshes / "ball.ply").write_bytes(ball_file.read_bytes())
    red_box(meshes / "cube.glb")
    data, out = tmp_path / "data", tmp_path / "run"
    run(
        "build_fields.py", "--meshes", meshes, "--out", data, "--size", 16, "--views", 2, "--cameras", 8, "--workers", 1
    )
    options = ("--data", data, "--groups", 2, "--points", 64, "--channels", "16,8", "--out")
    run("train_shapes.py", *options, out, "--steps", 2)
    run("train_shapes.py", *options, out, "--steps", 3)
    assert torch.load(out / "shapes.pt", weights_only=True)["step"] == 3
    printed = run("show_shapes.py", "a dotted cube", "--run", out, "--out", tmp_path / "sheet.png", "--size", 16)
    assert "understood" in printed
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.size == (16 * 12, 16)
    other = tmp_path / "more"
    earlier = averaged(out / "shapes.pt", ShapePrior)
    earlier.save_pretrained(tmp_path / "shape_prior")
    rearrange(tmp_path, [1, 0])  # things keep their codes, in whatever order the earlier prior has them
    finer = ("--data", data, "--groups", 2, "--points", 64, "--channels", "16,8,8", "--out", other, "--steps", 1)
    run("train_shapes.py", *finer, "--warm-start", tmp_path / "shape_prior")
    after = torch.load(other / "shapes.pt", weights_only=True)["network"]
    for name in ("seed.weight", "code.weight", "grow.0.enter.weight"):
        assert (after[name] - earlier.state_dict()[name]).abs().max() < 0.01  # one step of the warm-up away
