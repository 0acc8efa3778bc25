"""Whole runs with a teacher that knows looks, of a few thousand parameters."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cli.main import main
from cli.pictures import pictures_of_sheet
from cli.scenes import results
from cli.scenes.recipes import small_teachers
from cli.scenes.request import Request
from cli.scenes.scene import build_scene
from cli.scenes.stage import stages_of
from cli.teachers import load_teacher
from representations.cameras import turntable
from representations.particles import ParticleDraw
from sds.teachers.embedded_words import Lexicon
from sds.teachers.shape_teacher import plain_lexicon
from tests.sds.tiny_shapes import save_tiny_shape_teacher, tiny_prior


@pytest.fixture
def teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its folder, with words; everything at a size that takes moments."""
    folder = save_tiny_shape_teacher(tmp_path / "teacher")
    plain_lexicon(tiny_prior()).save(folder / "words")
    assert Lexicon.load(folder / "words").nouns == ("ball", "table")
    small = replace(small_teachers.SMALL_TEACHER, grid=16, samples=16, batch_size=2)
    monkeypatch.setattr(small_teachers, "SMALL_TEACHER", small)
    mesh = replace(small_teachers.SMALL_TEACHER_MESH, grid=16, texture_grid=16, batch_size=2)
    monkeypatch.setattr(small_teachers, "SMALL_TEACHER_MESH", mesh)
    monkeypatch.setattr(results, "FRAMES", 4)
    return folder


def material_of(glb: Path) -> dict[str, float]:
    content = glb.read_bytes()
    (length,) = struct.unpack("<I", content[12:16])
    return json.loads(content[20 : 20 + length])["materials"][0]["pbrMetallicRoughness"]


def test_a_prompt_becomes_a_mesh_that_reflects_light_as_it_was_asked_to(
    teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    options = ["--teacher", str(teacher), "--stages", "mesh", "--steps", "2", "--out", str(out)]
    assert main(["generate", "a golden table", *options]) == 0
    assert "understood: table, golden" in capsys.readouterr().err
    reflecting = material_of(out / "mesh.glb")
    assert reflecting.get("metallicFactor", 1.0) == 1.0
    assert reflecting["roughnessFactor"] == 0.25
    assert json.loads((out / "run.json").read_text())["recipe"]["mesh"]["looks"]["normals"] > 0
    rows = pictures_of_sheet(out / "preview.png", rows=6)
    assert {len(row) for row in rows} == {8}
    assert rows[0] != rows[2] != rows[4]
    assert "directions of its surface" in (out / "report.html").read_text()
    assert main(["export", str(out), "--format", "glb", "--out", str(tmp_path / "again.glb")]) == 0
    assert material_of(tmp_path / "again.glb")["roughnessFactor"] == 0.25


def test_each_particle_becomes_another_of_the_things_that_the_teacher_knows(teacher: Path):
    request = Request("a ball", stages=("nerf",), particles=2, seed=5, teacher=str(teacher))
    one = load_teacher(str(teacher), torch.device("cpu"))
    scene = build_scene(request, stages_of(request, one)[0], torch.device("cpu"))
    cameras = turntable(2).showing(1)
    for number in range(2):
        told = scene.distillation.told(ParticleDraw(number, cameras)).conditional.tensors["candidates"]
        alone = one.with_one_object("a ball", 5 + number).condition(["a ball"] * 2, cameras).tensors["candidates"]
        torch.testing.assert_close(told, alone)
        shown = scene.of_particle(number)
        torch.testing.assert_close(shown.told(cameras, 2).conditional.tensors["candidates"], alone)
        assert shown.particles == [scene.particles[number]]
    other = scene.distillation.told(ParticleDraw(0, cameras)).conditional.tensors["candidates"]
    assert float((told - other).abs().max()) > 0.01
    scene.step()
    assert scene.recipe.steps == 2 * Request("a ball", stages=("nerf",), teacher=str(teacher)).recipe("nerf").steps
    assert replace(request, steps=7).recipe("nerf").steps == 7


def test_a_field_is_judged_by_all_looks_and_its_colours_hold_no_light(teacher: Path, tmp_path: Path):
    out = tmp_path / "out"
    options = ["--teacher", str(teacher), "--stages", "nerf", "--steps", "2", "--out", str(out)]
    assert main(["generate", "a table", *options]) == 0
    assert json.loads((out / "run.json").read_text())["recipe"]["nerf"]["looks"] == {
        "lit": 0.1,
        "albedo": 0.3,
        "normals": 0.6,
    }
    assert 'data-first="lit"' in (out / "report.html").read_text()
    assert "metallicFactor" not in material_of(out / "mesh.glb") or material_of(out / "mesh.glb")["metallicFactor"] == 0
