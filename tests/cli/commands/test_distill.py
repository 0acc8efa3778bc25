"""`scoresmith distill` and `scoresmith sample` from the outside: files, methods, resume, and what they refuse."""

import json
import math
import shutil
from pathlib import Path

import imageio.v3 as imageio
import pytest
import torch

from cli.commands import distill
from cli.main import main
from cli.trainings import distillation
from cli.trainings.log import TrainingLog, lines_of
from students.folder import read_card
from students.inputs import INPUTS
from students.recipes.catalogue import RECIPES
from tests.sds.tiny_pipelines import deepfloyd_if


def arguments(teacher: Path, out: Path, *more: str, steps: int = 4) -> list[str]:
    small = ["--steps", str(steps), "--pairs", "64", "--batch-size", "2", "--path-steps", "8"]
    prompts = ["--prompt", "a red chair", "--prompt", "a cat"]
    return ["distill", "--teacher", str(teacher), "--out", str(out), *prompts, *small, *more]


@pytest.fixture(autouse=True)
def short_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "LOGGED_EVERY", 2)
    monkeypatch.setattr(distillation, "LOOKS", 1)


def unet_of(folder: Path) -> bytes:
    return (folder / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()


def test_the_command_offers_every_recipe():
    assert set(distill.METHODS) == set(RECIPES)


@pytest.mark.parametrize("method", RECIPES)
def test_every_method_makes_a_student_that_draws(tiny_teacher: Path, tmp_path: Path, method: str, capsys):
    out = tmp_path / "student"
    assert main(arguments(tiny_teacher, out, "--method", method)) == 0
    assert read_card(out).method == method
    own_network = method != "density"  # a flow lies beside the teacher's
    assert (unet_of(out) != unet_of(tiny_teacher)) is own_network
    assert own_network or (out / INPUTS).is_file()
    rows = lines_of(out / "training" / "log.jsonl")
    assert [row["step"] for row in rows] == [2, 4]
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert imageio.imread(out / "training" / "samples.png").ndim == 3
    capsys.readouterr()
    drawn = tmp_path / "drawn"
    assert main(["sample", str(out), "a red chair", "--count", "3", "--out", str(drawn)]) == 0
    assert capsys.readouterr().out.split() == [str(drawn / f"{i:04}.png") for i in range(3)]
    assert imageio.imread(drawn / "0002.png").shape == imageio.imread(drawn / "0000.png").shape


def test_a_seed_and_a_grid(tiny_teacher: Path, tmp_path: Path):
    out = tmp_path / "student"
    main(arguments(tiny_teacher, out, "--method", "one-pass", "--student-steps", "1"))
    for name, seed in (("first", "3"), ("again", "3"), ("other", "4")):
        assert main(["sample", str(out), "a cat", "--grid", "--seed", seed, "--out", str(tmp_path / name)]) == 0
    pictures = [(tmp_path / name / "grid.png").read_bytes() for name in ("first", "again", "other")]
    assert pictures[0] == pictures[1] != pictures[2]


@pytest.mark.parametrize("method", ["dmd", "tract"])
def test_resume_equals_never_having_stopped(tiny_teacher: Path, tmp_path: Path, monkeypatch, method: str):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert main(arguments(tiny_teacher, straight, "--method", method, steps=6)) == 0

    monkeypatch.setattr(distillation, "CHECKPOINT_SECONDS", 0.0)
    written = TrainingLog.numbers

    def interrupted(log: TrainingLog, step: int, row: dict[str, float]) -> None:
        written(log, step, row)
        if step == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingLog, "numbers", interrupted)
    assert main(arguments(tiny_teacher, stopped, "--method", method, steps=6)) == 130
    assert not (stopped / "student.json").exists()
    monkeypatch.setattr(TrainingLog, "numbers", written)
    assert main(["distill", "--resume", str(stopped)]) == 0
    assert unet_of(stopped) == unet_of(straight)
    logs = [(folder / "training" / "log.jsonl").read_text() for folder in (straight, stopped)]
    assert logs[0] == logs[1]


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("scoresmith: ")
    return lines[-1]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--method", "progressive", "--student-steps", "2", "--steps", "0"], "--steps: must be"),
        (["--method", "boot", "--student-steps", "2"], "boot only teaches the jump from pure noise"),
        (["--method", "add", "--pairs", "10"], "at least 64 real images, not 10"),
        (["--guidance-scale", "-1"], "--guidance-scale: must be a number above 0"),
        (["--start", "1.5"], "--start: must be a number above 0, at most 1"),
        (["--method", "consistency", "--start", "0.8"], "consistency follows the teacher's paths"),
        (["--prompt", " "], "the prompt is empty"),
        (["--method", "progressive", "--path-steps", "12"], "12 steps of the teacher never become 1"),
        (["--method", "progressive", "--student-steps", "3"], "8 steps of the teacher never become 3"),
        (["--method", "guidance", "--student-steps", "5"], "8 steps of the teacher never become 5"),
        (["--method", "progressive", "--steps", "2"], "progressive has 3 stages here, but only 2 steps"),
        (["--method", "one-pass", "--student-steps", "4"], "one-pass only teaches the jump from pure noise"),
        (["--method", "ict", "--start", "0.9"], "ict follows the teacher's paths"),
        (["--critic-steps", "-1"], "--critic-steps: must be"),
        (["--student-steps", "0"], "--student-steps: must be"),
    ],
)
def test_bad_input_is_one_line_and_no_student_is_touched(
    tiny_teacher: Path, tmp_path: Path, capsys, more: list[str], message: str
):
    out = tmp_path / "student"
    assert main(arguments(tiny_teacher, out, *more)) == 2
    assert message in error_line(capsys)
    assert not (out / "training" / "run.json").exists()


def test_other_peoples_folders_and_pairs_are_refused(tiny_teacher: Path, tmp_path: Path, capsys):
    out = tmp_path / "student"
    assert main(arguments(tiny_teacher, out, "--method", "one-pass")) == 0
    before = unet_of(out)
    assert main(arguments(tiny_teacher, out, "--method", "dmd")) == 2
    assert "holds another student" in error_line(capsys)
    other = deepfloyd_if(tmp_path / "work")
    other.unet.conv_out.weight.data.mul_(3)
    other.save_pretrained(tmp_path / "another")
    assert main(arguments(tmp_path / "another", out, "--method", "dmd", "--overwrite")) == 2
    assert "another teacher or with another guidance scale" in error_line(capsys)
    assert unet_of(out) == before
    assert main(arguments(tiny_teacher, out, "--method", "dmd", "--overwrite")) == 0
    assert main(["sample", str(tiny_teacher), "a cat"]) == 2
    assert "holds no student" in error_line(capsys)
    assert main(["distill", "--resume", str(tmp_path / "nothing")]) == 2
    assert "holds no run of `scoresmith distill`" in error_line(capsys)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "letter.txt").write_text("dear ...")
    assert main(arguments(tiny_teacher, tmp_path / "foreign")) == 2
    assert "not empty" in error_line(capsys)
    card = json.loads((out / "student.json").read_text())
    (out / "student.json").write_text(json.dumps({**card, "times": [0.2, 0.5]}))
    assert main(["sample", str(out), "a cat"]) == 2
    assert "do not fall" in error_line(capsys)


def test_pairs_that_do_not_fit_are_refused(tiny_teacher: Path, tmp_path: Path, capsys):
    out = tmp_path / "student"
    assert main(arguments(tiny_teacher, out, "--method", "one-pass", steps=1)) == 0
    before = unet_of(out)
    for more in (
        ["--method", "dsno"],
        ["--method", "dmd", "--pairs", "65"],
        ["--method", "dmd", "--guidance-scale", "9"],
    ):
        assert main(arguments(tiny_teacher, out, "--overwrite", *more)) == 2
        assert "pairs" in error_line(capsys)
    assert unet_of(out) == before
    (out / "training" / "pairs.safetensors").unlink()
    assert main(arguments(tiny_teacher, out, "--overwrite", "--method", "dsno", steps=1)) == 0


def test_a_student_is_no_teacher(tiny_teacher: Path, tmp_path: Path, capsys):
    out = tmp_path / "student"
    assert main(arguments(tiny_teacher, out, "--method", "one-pass", steps=1)) == 0
    assert main(arguments(out, tmp_path / "other")) == 2
    assert "is a student itself" in error_line(capsys)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("levels", [{"rescale_betas_zero_snr": True}, {"beta_schedule": "squaredcos_cap_v2"}])
def test_a_noise_prediction_that_ends_in_pure_noise_can_be_distilled(tiny_teacher: Path, tmp_path: Path, levels: dict):
    """At alpha = 0 it would have to be divided by it: such a teacher begins at its highest usable level."""
    teacher = tmp_path / "teacher"
    shutil.copytree(tiny_teacher, teacher)
    path = teacher / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_type": "epsilon", **levels}))
    for method in ("one-pass", "dmd", "consistency", "ddgan", "mean-flow"):
        out = tmp_path / method
        assert main(arguments(teacher, out, "--method", method, "--guidance-scale", "1", steps=1)) == 0
        assert main(["sample", str(out), "a cat", "--count", "1", "--out", str(out / "drawn")]) == 0


def test_a_student_may_begin_below_pure_noise(tiny_teacher: Path, tmp_path: Path):
    out = tmp_path / "student"
    options = ["--method", "diff-instruct", "--start", "0.8", "--student-steps", "2"]
    assert main(arguments(tiny_teacher, out, *options, steps=2)) == 0
    assert read_card(out).times == [0.8, 0.4]
    assert main(["sample", str(out), "a cat", "--count", "1", "--out", str(tmp_path / "drawn")]) == 0


def test_students_that_are_told_more_can_be_told_it_later(tiny_teacher: Path, tmp_path: Path, capsys):
    lcm, ctm, tract = (tmp_path / name for name in ("lcm", "ctm", "tract"))
    for out in (lcm, ctm, tract):
        assert main(arguments(tiny_teacher, out, "--method", out.name, "--learning-rate", "0.01")) == 0

    def drawn(out: Path, *more: str) -> bytes:
        folder = tmp_path / "drawn"
        assert main(["sample", str(out), "a cat", "--count", "1", "--out", str(folder), *more]) == 0
        return (folder / "0000.png").read_bytes()

    assert drawn(lcm) == drawn(lcm, "--guidance-scale", "2") != drawn(lcm, "--guidance-scale", "6")
    assert drawn(lcm) != drawn(lcm, "--student-steps", "3")
    assert drawn(ctm) == drawn(ctm, "--student-steps", "1") != drawn(ctm, "--student-steps", "4")
    for out, more, message in (
        (ctm, ["--guidance-scale", "3"], "has learned the scale 2 and no other"),
        (lcm, ["--guidance-scale", "0"], "--guidance-scale: must be a number above 0"),
        (lcm, ["--student-steps", "0"], "--student-steps: must be"),
        (tract, ["--student-steps", "2"], "made by tract for 1 steps and knows no others"),
    ):
        assert main(["sample", str(out), "a cat", *more]) == 2
        assert message in error_line(capsys)


def test_threads_of_a_run_are_kept(tiny_teacher: Path, tmp_path: Path):
    out = tmp_path / "student"
    assert main(arguments(tiny_teacher, out, "--method", "one-pass", steps=1)) == 0
    assert json.loads((out / "training" / "run.json").read_text())["threads"] == torch.get_num_threads()


def test_a_student_is_measured_beside_its_teacher(tiny_teacher: Path, tmp_path: Path, capsys, monkeypatch):
    for name, value in (("OF_ONE_PROMPT", 4), ("TEACHER_STEPS", 6), ("TIMED", 2), ("ROUNDS", 1)):
        monkeypatch.setattr(f"cli.trainings.student_metrics.{name}", value)
    out = tmp_path / "student"
    assert main(arguments(tiny_teacher, out, "--method", "one-pass", steps=1)) == 0
    capsys.readouterr()
    assert main(["evaluate", str(out), "--images", "16"]) == 0
    metrics = json.loads((out / "training" / "metrics.json").read_text())
    for who in ("student", "teacher"):
        assert metrics[who]["frechet_distance"] > 0
        assert 0 <= metrics[who]["precision"] <= 1
        assert 0 <= metrics[who]["recall"] <= 1
    assert metrics["beside teacher"]["ideal_speed"] == 12
    assert metrics["measured by"]["images"] == 16
    assert "teacher's, 6 steps" in metrics["measured by"]["reference"]
    table = capsys.readouterr().out
    assert "frechet distance" in table
    assert "classifier that is shipped" in table
    assert "16 images are fewer than 10000" in table
