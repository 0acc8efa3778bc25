"""The comparison of score gradients: what it measures by hand, and that what is finished is not made again."""

import json
import runpy
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from cli.scenes.judging import judged_cameras
from representations.likeness import likeness, seen_from
from tests.representations.shapes import box

SCRIPT = Path(__file__).parents[2] / "examples" / "compare_gradients" / "compare.py"
sys.path += [str(SCRIPT.parent), str(SCRIPT.parents[1] / "train_teacher")]

from catalogue import CatalogueEntry  # noqa: E402 - the programs of an example import each other as scripts do
from measuring import Result, diversity, mean_colour  # noqa: E402
from meshes import OBJECT_RADIUS, load_mesh  # noqa: E402
from real_models import seen_by  # noqa: E402
from render_looks import LookRenderer  # noqa: E402


@pytest.fixture(scope="module")
def compare():
    return runpy.run_path(str(SCRIPT))


def test_colours_and_differences_by_hand():
    picture = torch.ones(1, 3, 2, 2)
    picture[0, :, 0, 0] = torch.tensor([0.0, 0.5, 1.0])  # the only pixel that is not white
    torch.testing.assert_close(mean_colour(picture), torch.tensor([0.0, 0.5, 1.0]))
    seeds = [torch.full((2, 3, 2, 2), value) for value in (0.0, 0.5, 1.0)]
    assert diversity(seeds) == pytest.approx((0.5 + 0.5 + 1.0) / 3)
    assert diversity(seeds[:1]) == 0


def test_a_real_model_is_seen_as_the_mesh_that_it_is(tmp_path: Path):
    """The renderer of the teacher's pictures and that of what was made see one box alike."""
    mesh = box((0.8, 1.0, 0.6))
    trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).export(tmp_path / "box.obj")
    entry = CatalogueEntry("key", "box", "library", "somebody", tmp_path / "box.obj", None, np.eye(3))
    cameras = judged_cameras(48)
    scaled = replace(mesh, vertices=mesh.vertices * OBJECT_RADIUS / np.linalg.norm(mesh.vertices, axis=1).max())
    corners = scaled.vertices[scaled.faces].reshape(-1, 3)  # with corners of its own, a face is flat
    flat = replace(scaled, vertices=corners, faces=np.arange(len(corners)).reshape(-1, 3))
    renderer = LookRenderer(load_mesh(entry))
    found = likeness(seen_from(flat, cameras), seen_by(renderer, cameras))
    assert found.overlap > 0.98
    assert found.angle < 1
    with pytest.raises(ValueError, match="38 degrees"):
        seen_by(renderer, replace(cameras, field_of_view=cameras.field_of_view + 0.1))


def test_what_was_made_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for seed in (0, 1):
        angle = 20.0 if seed else float("nan")
        result = Result("sds", "a mug", seed, 40, 0.5 + 0.25 * seed, 0.4, 0.1, 0.0, 0.5 + 0.2 * seed, angle)
        (tmp_path / f"sds-a-mug-{seed}.json").write_text(json.dumps(asdict(result)))
        torch.save(torch.full((2, 3, 8, 8), 0.5 * seed), tmp_path / f"sds-a-mug-{seed}.pt")
    wanted = ["--methods", "sds", "--prompts", "a mug", "--seeds", "0", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *wanted, "--models", str(tmp_path / "none")])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert "| sds | 40 | 62% | 0.40 | 0.100 | 0.00 | 0.60 | 20° | 0.500 |" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "page.png").exists()


def test_what_is_not_known_is_a_dash(compare):
    assert compare["known_mean"]([float("nan"), 2.0, 4.0], ".1f") == "3.0"
    assert compare["known_mean"]([float("nan")], ".1f") == "-"
