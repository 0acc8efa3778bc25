"""`scoresmith export` and `scoresmith inspect` from the outside."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from cli.main import main
from representations.assets.asset import Asset
from representations.assets.reading import load_mesh
from representations.assets.writing import write_asset
from tests.cli.commands.test_generate import arguments
from tests.representations.shapes import ball, box, coloured


@pytest.fixture
def chair(tmp_path: Path) -> Path:
    """A mesh file of somebody's."""
    return write_asset(Asset(coloured(ball(3, 0.4))), tmp_path / "chair.glb")[0]


@pytest.fixture
def made(tiny_teacher: Path, tmp_path: Path) -> Path:
    """A run."""
    out = tmp_path / "run"
    assert main(arguments(tiny_teacher, out, "--stages", "nerf", steps=1)) == 0
    return out


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("scoresmith:")]
    assert len(lines) == 1, lines
    return lines[0]


def test_every_format_of_a_run(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("glb", "obj", "ply", "stl", "usdz"):
        assert main(["export", str(made), "--out", str(tmp_path / f"ball.{name}"), "--texture", "64"]) == 0
        assert (tmp_path / f"ball.{name}").exists()
    assert str(tmp_path / "ball_colour.png") in capsys.readouterr().out
    sizes = {name: np.ptp(load_mesh(tmp_path / f"ball.{name}").mesh.vertices, axis=0) for name in ("glb", "obj", "stl")}
    for size in sizes.values():
        np.testing.assert_allclose(size, sizes["glb"], rtol=1e-4)
        assert size.max() == pytest.approx(1.0, abs=1e-4)
    assert load_mesh(tmp_path / "ball.glb").material.base_colour.shape == (64, 64, 3)


def test_a_run_without_a_texture(made: Path):
    assert main(["export", str(made), "--texture", "0", "--faces", "500"]) == 0
    asset = load_mesh(made / "mesh.glb")
    assert asset.uv is None
    assert asset.mesh.colours is not None
    assert len(asset.mesh.faces) <= 500


def test_a_mesh_file_in_another_format(chair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["export", str(chair), "--format", "obj", "--units", "cm", "--up", "z"]) == 0
    assert capsys.readouterr().out == f"{chair.with_suffix('.obj')}\n"
    np.testing.assert_allclose(trimesh.load(chair.with_suffix(".obj")).extents, 80, rtol=0.01)


def test_simplified_and_painted(chair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "small.glb"
    assert main(["export", str(chair), "--faces", "300", "--texture", "64", "--size", "2", "--out", str(out)]) == 0
    assert "simplified from 1,280" in capsys.readouterr().err
    asset = load_mesh(out)
    assert len(asset.mesh.faces) <= 300
    assert asset.material.normal.shape == (64, 64, 3)
    assert np.ptp(asset.mesh.vertices, axis=0).max() == pytest.approx(2)
    assert asset.mesh.vertices[:, 1].min() == pytest.approx(0)


def test_levels_of_detail_lie_beside_the_file(chair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "small.glb"
    assert main(["export", str(chair), "--texture", "128", "--lods", "2", "--out", str(out)]) == 0
    files = [out, tmp_path / "small_LOD1.glb", tmp_path / "small_LOD2.glb"]
    assert capsys.readouterr().out.split() == [str(file) for file in files]
    levels = [load_mesh(file) for file in files]
    faces = [len(level.mesh.faces) for level in levels]
    assert faces[0] == 1280
    assert 0.4 < faces[1] / faces[0] < 0.55
    assert 0.4 < faces[2] / faces[1] < 0.55
    assert [level.material.base_colour.shape[0] for level in levels] == [128, 64, 64]
    for level in levels[1:]:
        assert level.mesh.volume == pytest.approx(levels[0].mesh.volume, rel=0.1)
        means = [one.material.base_colour.mean(axis=(0, 1)) for one in (level, levels[0])]
        np.testing.assert_allclose(*means, atol=12)


def test_there_are_no_more_levels_than_a_mesh_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = write_asset(Asset(box((1, 1, 1))), tmp_path / "box.glb")[0]
    assert main(["export", str(out), "--format", "obj", "--lods", "3"]) == 0
    assert "0 of 3 levels of detail" in capsys.readouterr().err
    assert not list(tmp_path.glob("*LOD*"))


def test_holes_are_closed_or_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bowl = ball(3).with_faces(ball(3).vertices[ball(3).faces][:, :, 1].mean(axis=1) < 0.3)
    source = write_asset(Asset(bowl), tmp_path / "bowl.ply")[0]
    assert main(["export", str(source), "--format", "stl"]) == 0
    assert "not watertight" in capsys.readouterr().err
    assert main(["export", str(source), "--format", "stl", "--watertight"]) == 0
    assert "1 hole was filled" in capsys.readouterr().err
    assert load_mesh(tmp_path / "bowl.stl").mesh.is_watertight
    assert main(["inspect", "--watertight", str(tmp_path / "bowl.stl")]) == 0
    assert main(["inspect", "--watertight", str(source)]) == 1


def test_the_table(chair: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["inspect", str(chair)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{chair}: GLB, ")
    assert "  faces             1,280" in lines
    assert "  watertight        yes" in lines
    assert "  verdict           sound" in lines


def test_faults_end_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    mesh = box()
    trimesh.Trimesh(mesh.vertices, mesh.faces[:, ::-1], process=False).export(tmp_path / "inside_out.ply")
    assert main(["inspect", str(tmp_path / "inside_out.ply")]) == 1
    out = capsys.readouterr().out
    assert "! outwards          no: inside out" in out
    assert "  verdict           faults: outwards" in out
    assert main(["export", str(tmp_path / "inside_out.ply")]) == 0
    assert "turned round" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "inside_out.glb")]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["export", "NOTHING"], "does not exist"),
        (["export", "CHAIR"], "overwritten by itself"),
        (["export", "CHAIR", "--format", "obj", "--faces", "3"], "--faces"),
        (["export", "CHAIR", "--format", "obj", "--texture", "5"], "--texture"),
        (["export", "CHAIR", "--format", "obj", "--size", "-1"], "--size"),
        (["export", "CHAIR", "--format", "obj", "--out", "x.stl"], "does not end in .obj"),
        (["export", "CHAIR", "--out", "x.fbx"], "must end in"),
        (["export", "CHAIR", "--out", "no/such/folder.obj"], "does not exist"),
        (["export", "CHAIR", "--out", "other.glb", "--up", "z"], "GLB is in metres"),
        (["export", "RUBBISH", "--format", "obj"], "no triangles"),
        (["inspect", "RUBBISH"], "no triangles"),
        (["inspect", "NOTHING"], "cannot be opened"),
        (["export", "FOLDER"], "holds no run"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    chair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
):
    (tmp_path / "rubbish.ply").write_text("ply\nformat ascii 1.0\nelement vertex 0\nelement face 0\nend_header\n")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    words = {"CHAIR": chair, "RUBBISH": tmp_path / "rubbish.ply", "NOTHING": tmp_path / "nothing.glb"}
    words["FOLDER"] = tmp_path / "folder"
    assert main([str(words.get(word, word)) for word in options]) == 2
    assert message in error_line(capsys)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_wrong_with_a_file_is_told_without_loading_networks(tmp_path: Path, monkeypatch, capsys):
    def loaded() -> None:
        raise AssertionError("diffusers would be loaded")

    monkeypatch.setattr("cli.errors._of_networks", loaded)
    (tmp_path / "words.obj").write_text("no mesh")
    for command in ("inspect", "export"):
        assert main([command, str(tmp_path / "words.obj")]) == 2
        assert "no triangles" in error_line(capsys)
