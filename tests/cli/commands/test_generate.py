"""`scoresmith generate` from the outside: files, resume, kill, and what it refuses."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio.v3 as imageio
import pytest
import torch
import trimesh

from cli.commands import generate
from cli.errors import UserError
from cli.main import main, options_of
from cli.scenes import generation, results
from cli.scenes.curves import read_curves
from cli.scenes.run_folder import folder_name
from cli.scenes.scene import Scene
from sds.checkpoint import load_checkpoint
from sds.score import NonFiniteGradientError
from sds.weightings import WEIGHTINGS


def arguments(teacher: Path, out: Path, *more: str, steps: int = 4) -> list[str]:
    return ["generate", "a ball", "--teacher", str(teacher), "--out", str(out), "--steps", str(steps), *more]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_run_leaves_everything_it_promises(tiny_teacher: Path, tmp_path: Path):
    out = tmp_path / "ball"
    assert main(arguments(tiny_teacher, out)) == 0
    names = {"mesh.glb", "turntable.mp4", "turntable.gif", "preview.png", "run.json", "metrics.json", "checkpoint.pt"}
    assert {path.name for path in out.iterdir()} == names | {"curves.csv", "report.html", "run.toml"}
    mesh = trimesh.load(out / "mesh.glb", force="mesh")
    assert mesh.visual.material.baseColorTexture.size == (64, 64)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    assert mesh.is_watertight
    assert mesh.volume > 0
    assert mesh.bounds[0][1] == pytest.approx(0, abs=1e-6)
    assert max(mesh.extents) == pytest.approx(1, abs=1e-5)
    assert imageio.imread(out / "turntable.gif", index=None).shape[0] == results.FRAMES // 2
    assert imageio.imread(out / "preview.png").shape[0] > 100
    configuration = json.loads((out / "run.json").read_text())
    assert configuration["prompt"] == "a ball"
    assert configuration["recipe"]["mesh"]["steps"] == 4
    assert configuration["seconds"]["optimisation"] > 0
    assert json.loads((out / "metrics.json").read_text())["mesh"]["watertight"] is True


@pytest.mark.parametrize(
    "more", [["--method", "vsd"], ["--method", "nfsd"], ["--method", "csd"], ["--encoding", "hash"], ["--perp-neg"]]
)
def test_every_method_and_encoding_runs(tiny_teacher: Path, tmp_path: Path, more: list[str]):
    assert main(arguments(tiny_teacher, tmp_path / "out", *more, steps=2)) == 0
    assert (tmp_path / "out" / "mesh.glb").exists()


def test_a_flat_picture(tiny_teacher: Path, tmp_path: Path):
    assert main(arguments(tiny_teacher, tmp_path / "out", "--representation", "pixels")) == 0
    assert (tmp_path / "out" / "preview.png").exists()
    assert not (tmp_path / "out" / "mesh.glb").exists()


def test_many_prompts_have_a_folder_each(tiny_teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "prompts.txt").write_text("a cup  # the first\n\n# only a comment\na Red cup!\n")
    options = ["--representation", "pixels", "--steps", "1", "--out", str(tmp_path / "out")]
    prompts = ["--prompts-file", str(tmp_path / "prompts.txt"), "--teacher", str(tiny_teacher)]
    assert main(["generate", *prompts, *options, "--json"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a-cup", "a-red-cup", "manifest.jsonl"}
    told = json.loads(capsys.readouterr().out)["runs"]
    assert [(run["prompt"], run["state"]) for run in told] == [("a cup", "finished"), ("a Red cup!", "finished")]
    assert [run["folder"] for run in told] == [str(tmp_path / "out" / name) for name in ("a-cup", "a-red-cup")]
    assert told[0]["request"]["steps"] == 1


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int, error: BaseException, stage: str = "nerf") -> None:
    """Let runs fail when they begin the given step of a stage; checkpoints are written at every step."""
    original = Scene.step

    def interrupted(self: Scene):
        if self.stage == stage and self.distillation.done == step:
            raise error
        return original(self)

    monkeypatch.setattr(Scene, "step", interrupted)
    monkeypatch.setattr(generation, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(generation, "SHARE_OF_WRITING", 0.0)


@pytest.mark.parametrize(("method", "stage", "step"), [("sds", "nerf", 17), ("vsd", "mesh", 2)])
def test_resume_equals_never_having_stopped(
    tiny_teacher: Path, tmp_path: Path, monkeypatch, method: str, stage: str, step: int
):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    options = ["--method", method]
    assert main(arguments(tiny_teacher, straight, *options, steps=20)) == 0
    with monkeypatch.context() as patch:
        interrupt_at(patch, step, KeyboardInterrupt(), stage)
        assert main(arguments(tiny_teacher, broken, *options, steps=20)) == 130
    interrupted = load_checkpoint(broken / "checkpoint.pt")
    assert (interrupted["stage"], interrupted["done"]) == (stage, step)
    assert main(["generate", "--resume", str(broken)]) == 0
    expected = load_checkpoint(straight / "checkpoint.pt")["generator"]
    resumed = load_checkpoint(broken / "checkpoint.pt")["generator"]
    assert all(torch.equal(resumed[name], tensor) for name, tensor in expected.items())
    assert (broken / "mesh.glb").read_bytes() == (straight / "mesh.glb").read_bytes()
    assert (broken / "curves.csv").read_bytes() == (straight / "curves.csv").read_bytes()
    assert [point.step for point in read_curves(broken / "curves.csv")] == list(range(1, 41))


def test_kill_leaves_a_whole_checkpoint_from_which_the_run_continues(tiny_teacher: Path, tmp_path: Path):
    out = tmp_path / "killed"
    program = """
import sys, cli.scenes.generation, cli.main, cli.scenes.recipes.large_teachers as large, dataclasses
cli.scenes.generation.CHECKPOINT_SECONDS = cli.scenes.generation.SHARE_OF_WRITING = 0.0
large.LARGE_TEACHER = dataclasses.replace(large.LARGE_TEACHER, size=16, batch_size=2)
sys.exit(cli.main.main(sys.argv[1:]))
"""
    command = [
        sys.executable,
        "-c",
        program,
        *arguments(tiny_teacher, out, "--representation", "pixels", steps=100_000),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while not (out / "checkpoint.pt").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = load_checkpoint(out / "checkpoint.pt")["done"]
    assert done > 0
    configuration = json.loads((out / "run.json").read_text())
    configuration["request"]["steps"] = done + 1
    (out / "run.json").write_text(json.dumps(configuration))
    assert main(["generate", "--resume", str(out)]) == 0
    assert load_checkpoint(out / "checkpoint.pt")["done"] == done + 1


def test_a_gradient_that_is_not_finite_keeps_the_last_good_checkpoint(
    tiny_teacher: Path, tmp_path: Path, monkeypatch, capsys
):
    interrupt_at(monkeypatch, 3, NonFiniteGradientError("the score gradient is not finite"))
    assert main(arguments(tiny_teacher, tmp_path / "out", steps=6)) == 2
    assert "not finite" in capsys.readouterr().err
    assert load_checkpoint(tmp_path / "out" / "checkpoint.pt")["done"] == 3


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("scoresmith:")]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["generate", "", "--out", "OUT"], "prompt is empty"),
        (["generate", "  ", "--out", "OUT"], "prompt is empty"),
        (["generate", "--out", "OUT"], "give a prompt"),
        (["generate", "a " * 2000, "--out", "OUT"], "characters"),
        (["generate", "a\x00b", "--out", "OUT"], "cannot be printed"),
        (["generate", "a ball", "--steps", "-1", "--out", "OUT"], "--steps"),
        (["generate", "a ball", "--steps", "0", "--out", "OUT"], "--steps"),
        (["generate", "a ball", "--teacher", "no/such/folder", "--out", "OUT"], "no/such/folder"),
        (["generate", "a ball", "--perp-neg", "--out", "OUT"], "--perp-neg"),
        (["generate", "a cup", "a  Cup", "--out", "OUT"], "one folder"),
        (["generate", "a ball", "--resume", "OUT"], "give no prompt"),
        (["generate", "--resume", "OUT"], "holds no run"),
        (["generate", "--prompts-file", "no-such-file", "--out", "OUT"], "no-such-file"),
        (["generate", "a ball", "--device", "cuda", "--out", "OUT"], "no CUDA"),
        (["export", "OUT"], "does not exist"),
        (["evaluate", "OUT"], "holds no run"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path: Path, capsys, monkeypatch, change: list[str], message: str):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "out"
    assert main([str(out) if word == "OUT" else word for word in change]) == 2
    assert message in error_line(capsys)
    assert not out.exists()


@pytest.mark.parametrize("option", ["--prompts-file", "--scene", "--init", "--from", "--image", "--image-mask"])
@pytest.mark.parametrize("name", ["no such file", "a\x00b", "x" * 5000])
def test_a_misspelt_file_is_told_before_anything_is_loaded(option: str, name: str):
    with pytest.raises(UserError, match=f"{option}: there is no {name[:8]}"):
        options_of(["generate", "a ball", option, name])


def test_unknown_methods_name_the_known_ones(capsys: pytest.CaptureFixture[str]):
    assert main(["generate", "a ball", "--method", "magic"]) == 2
    assert "nfsd" in error_line(capsys)


def test_another_run_is_not_touched(tiny_teacher: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    assert main(arguments(tiny_teacher, out, "--representation", "pixels", steps=1)) == 0
    before = files_of(out)
    capsys.readouterr()
    assert main(arguments(tiny_teacher, out, "--representation", "pixels", steps=2)) == 2
    assert "holds another run" in error_line(capsys)
    assert files_of(out) == before
    assert main(arguments(tiny_teacher, out, "--representation", "pixels", "--overwrite", steps=2)) == 0
    assert json.loads((out / "run.json").read_text())["request"]["steps"] == 2


def test_foreign_files_are_not_touched(tiny_teacher: Path, tmp_path: Path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert main(arguments(tiny_teacher, tmp_path)) == 2
    assert "not empty" in error_line(capsys)
    assert main(arguments(tiny_teacher, tmp_path / "thesis.txt")) == 2
    assert "is a file" in error_line(capsys)
    assert files_of(tmp_path) == {"thesis.txt": b"years of work"}


def test_a_full_disk_is_noticed_before_the_work(tiny_teacher: Path, tmp_path: Path, capsys, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert main(arguments(tiny_teacher, tmp_path / "out")) == 2
    assert "free" in error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_pickled_weights_are_refused(tiny_teacher: Path, tmp_path: Path, capsys):
    broken = tmp_path / "teacher"
    shutil.copytree(tiny_teacher, broken)
    weights = next((broken / "unet").glob("*.safetensors"))
    weights.unlink()
    torch.save({"a": torch.zeros(1)}, broken / "unet" / "diffusion_pytorch_model.bin")
    assert main(arguments(broken, tmp_path / "out")) == 2
    assert "safetensors" in error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_damaged_runs_are_named(tiny_teacher: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    assert main(arguments(tiny_teacher, out, "--representation", "pixels", steps=1)) == 0
    (out / "checkpoint.pt").write_bytes(b"nonsense")
    assert main(["generate", "--resume", str(out)]) == 2
    assert "damaged" in capsys.readouterr().err.splitlines()[-1]
    (out / "run.json").write_text("{")
    assert main(["generate", "--resume", str(out)]) == 2
    assert "run.json is damaged" in capsys.readouterr().err.splitlines()[-1]


def test_folder_names():
    assert folder_name("A  Red armchair!") == "a-red-armchair"
    assert folder_name("???") != folder_name("...")
    assert folder_name("\N{CACTUS}").startswith("prompt-")
    assert folder_name("ein Stuhl für Bären") == "ein-stuhl-für-bären"
    assert folder_name("красный стул") == "красный-стул"
    assert len(folder_name("椅子" * 100).encode()) <= 200
    assert len(folder_name("very " * 100)) <= 60


def test_the_weightings_by_name_are_those_of_the_library():
    parser = argparse.ArgumentParser()
    generate.add_arguments(parser)
    (action,) = [action for action in parser._actions if action.dest == "weighting"]
    assert set(action.choices) == set(WEIGHTINGS)


@pytest.mark.parametrize(
    ("words", "tries"),
    [
        ([], 2),
        (["--tries", "3", "--seed", "1"], 3),
        (["--seed", "0"], 1),  # who names a seed gets that one
        (["--steps", "9"], 1),
        (["--teacher", "a/folder"], 1),
        (["--live"], 1),
        (["--workers", "2"], 1),
    ],
)
def test_another_seed_is_tried_by_itself_where_it_costs_little(words: list[str], tries: int, tmp_path: Path):
    parser = argparse.ArgumentParser()
    generate.add_arguments(parser)
    (job,) = generate.jobs_of(parser.parse_args(["a mug", "--out", str(tmp_path / "out"), *words]))
    assert job.tries == tries
    assert job.request.seed == (1 if "1" in words else 0)
