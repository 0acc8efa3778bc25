"""`distill` and `sample` with files of weights, LoRA files and learned words: as `generate` takes them."""

import json
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

from cli.main import main
from sds.teachers.diffusers import load_diffusers_teacher
from sds.teachers.options import TeacherOptions
from tests.sds import original_layout
from tests.sds import tiny_pipelines as tiny
from tests.sds.test_teacher_changes import file_of_layout

SMALL = ["--steps", "3", "--batch-size", "2", "--path-steps", "4", "--method", "lcm", "--prompt", "a red thing"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("changed")
    pipeline = tiny.stable_diffusion(path / "work")
    pipeline.save_pretrained(path / "teacher")
    save_file(original_layout.stable_diffusion(pipeline), path / "model.safetensors")
    file_of_layout(pipeline, path / "lora.safetensors", "peft", 2.0)
    save_file({"emb_params": torch.full((2, 8), 0.5)}, path / "thing.safetensors")
    return path


def changes(root: Path) -> list[str]:
    lora, word = f"{root / 'lora.safetensors'}:2", str(root / "thing.safetensors")
    return ["--teacher-config", str(root / "teacher"), "--teacher-lora", lora, "--teacher-word", word]


@pytest.fixture(scope="module")
def student(root: Path) -> Path:
    out = root / "student"
    assert (
        main(["distill", "--teacher", str(root / "model.safetensors"), "--out", str(out), *SMALL, *changes(root)]) == 0
    )
    return out


def test_a_student_begins_with_the_changed_teacher_and_brings_its_other_parts(root: Path, student: Path):
    options = TeacherOptions(
        config=str(root / "teacher"),
        loras=(f"{root / 'lora.safetensors'}:2",),
        words=(str(root / "thing.safetensors"),),
    )
    teacher = load_diffusers_teacher(root / "model.safetensors", options=options)
    folder = load_diffusers_teacher(student)
    for prompt in ("a red thing", "a chair"):
        said = [one.condition([prompt], None).tensors["text"] for one in (teacher, folder)]
        torch.testing.assert_close(said[0], said[1])
    learned, begun = UNet2DConditionModel.from_pretrained(student / "unet"), teacher.network.state_dict()
    plain = UNet2DConditionModel.from_pretrained(root / "teacher" / "unet").state_dict()
    apart = {
        name: [float((weight - other[name]).abs().max()) for other in (begun, plain)]
        for name, weight in learned.state_dict().items()
        if not torch.equal(begun[name], plain[name])
    }
    assert len(apart) == 2  # the layers that the LoRA changes
    assert all(to_begun < 0.01 < to_plain for to_begun, to_plain in apart.values())
    drawn = root / "drawn"
    assert main(["sample", str(student), "a red thing", "--count", "1", "--out", str(drawn)]) == 0
    assert (drawn / "0000.png").is_file()


def test_it_is_continued_and_measured_with_the_changes(student: Path, capsys):
    request = json.loads((student / "training" / "run.json").read_text())["request"]
    assert request["teacher_options"]["loras"][0].endswith("lora.safetensors:2")
    before = (student / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    assert main(["distill", "--resume", str(student)]) == 0
    assert (student / "unet" / "diffusion_pytorch_model.safetensors").read_bytes() == before
    assert main(["evaluate", str(student), "--images", "8"]) == 0


def test_a_teacher_in_one_file_draws_with_a_lora(root: Path):
    pictures = {}
    for name, teacher, more in (
        ("folder", "teacher", []),
        ("file", "model.safetensors", ["--teacher-config", str(root / "teacher")]),
        ("nothing", "teacher", ["--teacher-lora", f"{root / 'lora.safetensors'}:0"]),
        ("lora", "teacher", ["--teacher-lora", str(root / "lora.safetensors")]),
    ):
        out = root / "drawings" / name
        how = ["--sampler", "ddim", "--sampler-steps", "3", "--count", "1", "--out", str(out)]
        assert main(["sample", str(root / teacher), "a red chair", *how, *more]) == 0
        pictures[name] = imageio.imread(out / "0000.png").astype(float)
    for same in ("file", "nothing"):
        np.testing.assert_allclose(pictures[same], pictures["folder"], atol=1)
    assert np.abs(pictures["lora"] - pictures["folder"]).max() > 8


def test_what_cannot_be_changed_is_said(root: Path, student: Path, tmp_path: Path, capsys):
    out = ["--out", str(tmp_path / "out")]
    lora = ["--teacher-lora", str(root / "lora.safetensors")]
    assert main(["distill", *out, "--steps", "1", *lora]) == 2
    assert "embedded is no diffusers teacher" in capsys.readouterr().err
    assert main(["distill", "--resume", str(student), *lora]) == 2
    assert "as it was begun" in capsys.readouterr().err
    assert main(["sample", "a blue mug", *lora, *out]) == 2
    assert "is no diffusers teacher" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
