"""Teachers that cannot be asked for anything, that know classes with or without a null class, and samplers by name."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from cli.commands import sample
from cli.main import main
from sds.samplers import SAMPLERS
from sds.teachers.diffusers import load_diffusers_teacher
from students.folder import read_card
from students.guided_teacher import GuidedTeacher
from students.teachers import can_be_guided


def teacher_folder(path: Path, classes: int | None, labels: dict[str, str] | None = None) -> Path:
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    unet = UNet2DModel(
        8, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, num_class_embeds=classes, **blocks
    )
    DDPMPipeline(unet, DDPMScheduler(prediction_type="v_prediction")).save_pretrained(path, safe_serialization=True)
    if labels is not None:
        index = json.loads((path / "model_index.json").read_text())
        (path / "model_index.json").write_text(json.dumps({**index, "id2label": labels}))
    return path


@pytest.fixture(scope="module")
def unconditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teacher_folder(tmp_path_factory.mktemp("teachers") / "faces", None)


@pytest.fixture(scope="module")
def two_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teacher_folder(tmp_path_factory.mktemp("teachers") / "pets", 2, {"0": "cat", "1": "dog"})


@pytest.fixture(scope="module")
def with_null(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teacher_folder(tmp_path_factory.mktemp("teachers") / "null", 3, {"0": "cat", "1": "dog"})


def arguments(teacher: Path, out: Path, *more: str) -> list[str]:
    small = ["--steps", "3", "--pairs", "64", "--batch-size", "2", "--path-steps", "4"]
    return ["distill", "--teacher", str(teacher), "--out", str(out), *small, *more]


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("scoresmith: ")
    return lines[-1]


@pytest.mark.parametrize("method", ["one-pass", "diff-instruct", "lcm", "add", "sid", "mean-flow"])
def test_an_unconditional_teacher_is_distilled_without_a_prompt(unconditional: Path, tmp_path: Path, method: str):
    out = tmp_path / "student"
    assert main(arguments(unconditional, out, "--method", method)) == 0
    assert read_card(out).guidance_scale == 1
    assert main(["sample", str(out), "--count", "2", "--out", str(tmp_path / "drawn")]) == 0
    assert (tmp_path / "drawn" / "0001.png").is_file()


@pytest.mark.parametrize("method", ["one-pass", "dmd", "guidance"])
def test_a_teacher_of_classes_draws_all_of_them_with_or_without_a_null_class(
    two_classes: Path, with_null: Path, tmp_path: Path, method: str
):
    for teacher, scale in ((two_classes, 1), (with_null, 2)):
        out = tmp_path / teacher.name
        assert main(arguments(teacher, out, "--method", method)) == 0
        assert read_card(out).guidance_scale == scale
        assert main(["sample", str(out), "dog", "--count", "1", "--out", str(tmp_path / "drawn")]) == 0
    assert load_diffusers_teacher(two_classes).vocabulary == ["cat", "dog"]
    assert load_diffusers_teacher(with_null).vocabulary == ["cat", "dog"]


def test_what_such_teachers_do_not_know_is_one_line(unconditional: Path, two_classes: Path, tmp_path: Path, capsys):
    out = tmp_path / "student"
    for teacher, more, message in (
        (two_classes, ["--prompt", "a unicorn"], "'a unicorn' is not a class of this teacher"),
        (two_classes, ["--guidance-scale", "3"], "has no null prompt to guide away from"),
        (unconditional, ["--prompt", "a cat"], "is unconditional: it cannot be told 'a cat'"),
        (unconditional, ["--guidance-scale", "2"], "has no null prompt to guide away from"),
    ):
        assert main(arguments(teacher, out, *more)) == 2
        assert message in error_line(capsys)
        assert not out.exists()
    assert main(arguments(two_classes, out, "--method", "one-pass")) == 0
    assert main(["sample", str(out), "a unicorn"]) == 2
    assert "'a unicorn' is not a class" in error_line(capsys)
    assert main(["sample", str(out)]) == 2
    assert "say what its student shall draw" in error_line(capsys)


def test_guidance_of_who_has_no_null_prompt_changes_nothing(two_classes: Path, with_null: Path):
    x, t = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.full((1,), 0.5).double()
    for path, guided in ((two_classes, False), (with_null, True)):
        teacher = load_diffusers_teacher(path)
        assert can_be_guided(teacher) is can_be_guided(GuidedTeacher(teacher, 3.0)) is guided
        plain, strong = (GuidedTeacher(teacher, scale) for scale in (1.0, 3.0))
        said = [who(x, t, who.condition(["dog"], None)) for who in (plain, strong)]
        assert torch.allclose(*said, atol=1e-6) is not guided


def test_a_teacher_draws_by_any_sampler(two_classes: Path, tmp_path: Path, capsys):
    assert set(sample.SAMPLER_NAMES) == set(SAMPLERS)
    pictures = {}
    for name in ("ddim", "heun", "ancestral", "sde-dpm-solver++"):
        out = tmp_path / name
        options = ["--sampler", name, "--sampler-steps", "3", "--count", "1", "--out", str(out)]
        assert main(["sample", str(two_classes), "cat", *options]) == 0
        pictures[name] = (out / "0000.png").read_bytes()
    assert len(set(pictures.values())) == 4
    assert main(["sample", str(two_classes), "cat", "--sampler", "ddim", "--sampler-steps", "0"]) == 2
    assert "whole number from 1 to 10000: '0'" in error_line(capsys)
    assert main(["sample", str(two_classes), "cat", "--sampler", "ddim", "--sampler-steps", "2000"]) == 2
    assert "from 1 to 1000 steps, not 2000" in error_line(capsys)
    assert main(["sample", str(two_classes), "cat"]) == 2
    assert "holds no student" in error_line(capsys)
