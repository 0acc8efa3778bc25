"""What else `scoresmith generate` draws: vector pictures, 3D Gaussians, several objects at once; and what it plans."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
import trimesh

from cli.main import main
from cli.scenes.recipes.large_teachers import LARGE_TEACHER_METHODS
from cli.scenes.recipes.small_teachers import SMALL_TEACHER_METHODS
from cli.scenes.request import Request
from cli.scenes.run_folder import RunFolder
from cli.scenes.scene import build_scene
from cli.scenes.stage import stages_of
from representations.gaussians.files import read_ply
from representations.gaussians.spz import read_spz
from sds.baselines import METHODS
from sds.checkpoint import load_checkpoint
from sds.ramps import FallingTimes
from tests.sds.toys import ToyTeacher


def arguments(teacher: Path, out: Path, *more: str) -> list[str]:
    return ["generate", "a ball", "--teacher", str(teacher), "--out", str(out), "--steps", "2", *more]


def test_a_vector_picture(tiny_teacher: Path, tmp_path: Path):
    out = tmp_path / "out"
    assert main(arguments(tiny_teacher, out, "--representation", "svg", "--shapes", "5")) == 0
    root = ElementTree.parse(out / "picture.svg").getroot()
    assert len(root.findall("{http://www.w3.org/2000/svg}path")) == 5
    assert root.find("{http://www.w3.org/2000/svg}title").text == "a ball"
    assert "picture.svg" in (out / "report.html").read_text()
    assert main(["export", str(out)]) == 2


def test_gaussians(tiny_teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "out"
    assert main(arguments(tiny_teacher, out, "--representation", "gaussians")) == 0
    gaussians = read_ply((out / "gaussians.ply").read_bytes())
    assert (out / "gaussians.splat").stat().st_size == 32 * len(gaussians.means)
    assert len(read_spz((out / "gaussians.spz").read_bytes()).means) == len(gaussians.means)
    assert "gaussians.ply" in (out / "report.html").read_text()
    assert main(["export", str(out)]) == 2
    assert "holds Gaussians" in capsys.readouterr().err


def test_several_objects_at_once(tiny_teacher: Path, tmp_path: Path):
    out = tmp_path / "out"
    more = ["--representation", "pixels", "--method", "vsd", "--particles", "3", "--critic-rate", "1e-4"]
    assert main(arguments(tiny_teacher, out, *more)) == 0
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"particle-2", "particle-3"}
    assert (out / "particle-3" / "preview.png").exists()
    particles = json.loads((out / "metrics.json").read_text())["particles"]
    assert particles["count"] == 3
    assert 0 <= particles["difference"] < 1
    assert "3 objects were made at once" in (out / "report.html").read_text()


def test_a_plan_says_whose_settings_it_has_and_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    wanted = ["--method", "sdi", "--guidance-interval", "0.1,0.8", "--guidance-parallel", "0", "--times", "dreamtime"]
    assert main(["generate", "a corgi", "--teacher", "no/such", "--dry-run", "--out", str(tmp_path), *wanted]) == 0
    said = capsys.readouterr().out
    for part in ("threestudio configs/sdi.yaml", "scale -6.5", "interval (0.1, 0.8), parallel 0", "DreamTime"):
        assert part in said
    assert list(tmp_path.iterdir()) == []


def test_every_method_has_settings_and_says_from_where():
    assert METHODS.keys() == LARGE_TEACHER_METHODS.keys() == SMALL_TEACHER_METHODS.keys()
    assert all(choice.source for choice in (*LARGE_TEACHER_METHODS.values(), *SMALL_TEACHER_METHODS.values()))


@pytest.mark.parametrize(
    "wrong",
    [
        ["--guidance-interval", "0.8,0.1"],
        ["--guidance-interval", "0.8"],
        ["--guidance-parallel", "2"],
        ["--particles", "0"],
        ["--shapes", "0"],
        ["--stages", "gaussians"],
    ],
)
def test_impossible_wishes_are_refused_before_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong):
    assert main(["generate", "a ball", "--out", str(tmp_path / "out"), *wrong]) == 2
    assert wrong[0] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_wishes_reach_the_loop():
    request = Request(
        "a ball",
        stages=("pixels",),
        teacher="x/y",
        times="dreamtime",
        guidance_rescale=0.7,
        particles=2,
        method="vsd",
        critic_rate=0.5,
    )
    scene = build_scene(request, stages_of(request, ToyTeacher())[0], torch.device("cpu"))
    settings = scene.distillation.settings
    assert isinstance(settings.times, FallingTimes)
    assert settings.guidance.rescale == 0.7
    assert scene.distillation.critic.settings.learning_rate == 0.5
    assert len(scene.particles) == 2
    scene.step()
    impossible = {"times": "never", "particles": 0, "shapes": 0, "critic_rate": 2.0, "guidance_parallel": 3.0}
    for name, value in impossible.items():
        with pytest.raises(ValueError, match=r"must|guidance"):
            Request("a ball", **{name: value})


def test_a_run_is_changed_by_another_prompt(tiny_teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first, second = tmp_path / "first", tmp_path / "second"
    picture = ["--representation", "svg", "--shapes", "4"]
    assert main(arguments(tiny_teacher, first, *picture)) == 0
    assert main(["generate", "a red ball", "--from", str(first), "--steps", "1", "--out", str(second)]) == 0
    before, after = (load_checkpoint(folder / "checkpoint.pt")["generator"]["points"] for folder in (first, second))
    assert 0 < float((before - after).abs().max()) < 0.02  # one step of Adam from where the first run has ended
    request = RunFolder(second).read_request()
    assert (request.prompt, request.stages, request.shapes) == ("a red ball", ("svg",), 4)
    for wrong in (["--out", str(first), "--overwrite"], ["--stages", "nerf"], ["--particles", "2"]):
        assert main(["generate", "a cup", "--from", str(first), "--out", str(tmp_path / "third"), *wrong]) == 2
    assert main(["generate", "a cup", "--from", str(tmp_path), "--out", str(tmp_path / "third")]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_a_scene_of_two_objects(tiny_teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    scene, out = tmp_path / "scene.toml", tmp_path / "out"
    scene.write_text(
        'prompt = "two balls"\nsteps = 2\n'
        '[[objects]]\nname = "left one"\nprompt = "a ball"\nposition = [-0.5, 0, 0]\nsize = 0.4\n'
        '[[objects]]\nname = "right one"\nprompt = "a red ball"\nposition = [0.5, 0, 0]\nsize = 0.4\nturn = 90\n'
    )
    how = ["--teacher", str(tiny_teacher), "--steps", "2", "--stages", "nerf"]
    assert main(["generate", "--scene", str(scene), "--out", str(out), *how]) == 0
    nodes = trimesh.load(out / "scene.glb").graph.nodes_geometry
    assert {"left one", "right one"} <= set(nodes)
    assert (out / "left-one" / "mesh.glb").exists()
    assert json.loads((out / "scene.json").read_text())["prompt"] == "two balls"
    table = '[[objects]]\nname = "x"\nprompt = "a cup"\n'
    for wrong, word in {
        '[[objects]]\nname = "left one"': "objects.0.prompt",
        '[[objects]]\nname = ""\nprompt = "a ball"': "objects.0.name",
        f"{table}size = 7": "objects.0.size",
        f"{table}turned = 25": "objects.0.turned",
        table.replace("objects", "object"): "[[objects]]",
    }.items():
        scene.write_text(wrong)
        capsys.readouterr()
        assert main(["generate", "--scene", str(scene), "--out", str(tmp_path / "other"), *how]) == 2
        told = capsys.readouterr().err
        assert "scene.toml is no scene" in told
        assert word in told
    assert not (tmp_path / "other").exists()
