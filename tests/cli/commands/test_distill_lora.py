"""`scoresmith distill --lora`: students and critics of low rank, and the file of them that diffusers takes."""

from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file

from cli.main import main
from students.corrections import CORRECTIONS
from tests.sds.tiny_pipelines import stable_diffusion


@pytest.fixture(scope="module")
def latent_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("teacher")
    stable_diffusion(tmp_path_factory.mktemp("work")).save_pretrained(folder)
    return folder


def distilled(teacher: Path, out: Path, *more: str) -> int:
    small = ["--steps", "4", "--pairs", "64", "--batch-size", "2", "--path-steps", "4", "--prompt", "a cat"]
    return main(["distill", "--teacher", str(teacher), "--out", str(out), *small, *more])


@pytest.mark.parametrize("method", ["lcm", "dmd2", "sid", "tract"])
def test_the_file_turns_the_teacher_into_the_student(latent_teacher: Path, tmp_path: Path, method: str):
    out = tmp_path / "student"
    assert distilled(latent_teacher, out, "--method", method, "--lora", "2", "--learning-rate", "1e-2") == 0
    pipeline = DiffusionPipeline.from_pretrained(latent_teacher)
    x, t, words = (
        torch.randn(2, 4, 8, 8),
        torch.tensor(500),
        torch.randn(2, 5, pipeline.text_encoder.config.hidden_size),
    )
    untouched = pipeline.unet(x, t, words).sample
    pipeline.load_lora_weights(str(out))
    student = UNet2DConditionModel.from_pretrained(out / "unet")
    torch.testing.assert_close(pipeline.unet(x, t, words).sample, student(x, t, words).sample, rtol=0, atol=1e-5)
    assert (student(x, t, words).sample - untouched).abs().max() > 1e-3
    assert all(tensor.shape[0] == 2 for name, tensor in load_file(out / CORRECTIONS).items() if "lora_A" in name)


def test_a_run_of_low_rank_resumes_and_keeps_only_what_it_learns(latent_teacher: Path, tmp_path: Path):
    out = tmp_path / "student"
    assert distilled(latent_teacher, out, "--method", "dmd2", "--lora", "2") == 0
    learned = load_file(out / CORRECTIONS)
    state = torch.load(out / "training" / "checkpoint.pt", weights_only=True)["trainer"]
    for weights in (state["generator"], state["critic"]["network"], state["result"]):
        assert len([name for name in weights if "lora_" in name]) == len(learned)
        assert not any("base_layer" in name for name in weights)
    assert main(["distill", "--resume", str(out)]) == 0
    again = load_file(out / CORRECTIONS)
    assert all(torch.equal(again[name], tensor) for name, tensor in learned.items())


def test_what_has_no_place_in_the_file_is_refused(tiny_teacher: Path, tmp_path: Path, capsys):
    assert distilled(tiny_teacher, tmp_path / "student", "--method", "mean-flow", "--lora", "2") == 2
    assert "for which the file of a LoRA has no place" in capsys.readouterr().err
    assert not (tmp_path / "student" / "student.json").exists()


def test_a_student_of_all_weights_leaves_no_corrections_of_an_earlier_one(tiny_teacher: Path, tmp_path: Path):
    out = tmp_path / "student"
    assert distilled(tiny_teacher, out, "--method", "one-pass", "--lora", "1") == 0
    assert (out / CORRECTIONS).exists()
    assert distilled(tiny_teacher, out, "--method", "one-pass", "--overwrite") == 0
    assert not (out / CORRECTIONS).exists()
