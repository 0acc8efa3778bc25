"""Flow-matching teachers beside the pipelines of diffusers: from any noise level one step of those ends at our x0."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler

from sds.schedule import Prediction
from sds.teachers import architectures
from sds.teachers.diffusers import DiffusersTeacher, load_diffusers_teacher
from sds.teachers.flow_transformers import from_patches, patches
from sds.teachers.folder import TeacherFolderError
from tests.sds import tiny_flow_pipelines as flow

PROMPT, TIME = "a red chair", 0.4


def load(pipeline: Any, folder: Path) -> DiffusersTeacher:
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(folder)
    return load_diffusers_teacher(folder)


def noisy(teacher: DiffusersTeacher) -> torch.Tensor:
    return torch.randn(1, *teacher.shape, generator=torch.Generator().manual_seed(0))


def x0(teacher: DiffusersTeacher, prompt: str = PROMPT, time: float = TIME) -> torch.Tensor:
    return teacher(noisy(teacher), torch.tensor([time], dtype=torch.float64), teacher.condition([prompt], None))


def one_step(pipeline: Any, latents: torch.Tensor, prompt: str | None = PROMPT, **how: Any) -> torch.Tensor:
    """Where one step of the pipeline's own sampler ends, without guidance."""
    arguments = {"guidance_scale": 1.0, "sigmas": [TIME], "height": 16, "width": 16, **how}
    return pipeline(prompt, num_inference_steps=1, latents=latents, output_type="latent", **arguments).images


def agree(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that name no size work at 16 pixels."""
    for network in architectures.USUAL_SIZE:
        monkeypatch.setitem(architectures.USUAL_SIZE, network, 8)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("guided", [True, False])
def test_flux_is_told_patches_places_and_no_guidance(tmp_path: Path, guided: bool) -> None:
    pipeline = flow.flux(tmp_path / "work", guided)
    teacher = load(pipeline, tmp_path / "teacher")
    x_t = noisy(teacher)
    end = one_step(pipeline, pipeline._pack_latents(x_t, 1, 4, 8, 8))
    assert teacher.prediction is Prediction.FLOW
    agree(x0(teacher), pipeline._unpack_latents(end, 16, 16, pipeline.vae_scale_factor))
    assert not torch.allclose(x0(teacher), x0(teacher, "a blue cat"), atol=1e-3)


def test_patches_are_packed_and_unpacked() -> None:
    x = torch.randn(2, 3, 4, 6)
    assert torch.equal(from_patches(patches(x), 4, 6), x)
    assert torch.equal(patches(x)[0, 1], x[0, :, :2, 2:4].flatten())


@pytest.mark.parametrize("prompt", [PROMPT, ""])
def test_sana_reads_the_prompt_behind_its_instruction(tmp_path: Path, prompt: str) -> None:
    pipeline = flow.sana(FlowMatchEulerDiscreteScheduler(shift=3.0))
    teacher = load(pipeline, tmp_path / "teacher")
    how = {"sigmas": [TIME], "height": 32, "width": 32, "use_resolution_binning": False, "clean_caption": False}
    if not prompt:
        how["complex_human_instruction"] = None  # as its own negative prompt
    agree(x0(teacher, prompt), one_step(pipeline, noisy(teacher), prompt, **how))


def test_the_flow_of_sanas_published_scheduler_is_read(tmp_path: Path) -> None:
    scheduler = DPMSolverMultistepScheduler(use_flow_sigmas=True, flow_shift=3.0, prediction_type="flow_prediction")
    teacher = load(flow.sana(scheduler), tmp_path / "teacher")
    scheduler.set_timesteps(1000)
    told = [float(teacher.schedule.timestep(torch.tensor([t]))[0]) for t in (0.25, 0.5)]
    shifted = [3000 * t / (1 + 2 * t) for t in (0.25, 0.5)]
    assert told == pytest.approx(shifted)
    step = int((scheduler.sigmas * 1000 - shifted[1]).abs().argmin())
    assert float(scheduler.timesteps[step]) == pytest.approx(shifted[1], abs=1.5)


def test_a_student_of_sana_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(TeacherFolderError, match="it is a student of Sana"):
        load(flow.sana(FlowMatchEulerDiscreteScheduler(), guidance_embeds=True), tmp_path / "teacher")


def test_sanas_autoencoder_has_scaled_latents(tmp_path: Path) -> None:
    pipeline = flow.sana(FlowMatchEulerDiscreteScheduler(shift=3.0))
    teacher = load(pipeline, tmp_path / "teacher")
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    x = teacher.encode(image)
    agree(x, pipeline.vae.encode(image * 2 - 1).latent * 0.41407)
    agree(teacher.decode(x), (pipeline.vae.decode(x / 0.41407).sample + 1) / 2)


def test_luminas_time_runs_from_noise_to_image(tmp_path: Path) -> None:
    pipeline = flow.lumina()
    teacher = load(pipeline, tmp_path / "teacher")
    agree(x0(teacher), one_step(pipeline, noisy(teacher)))
    _, _, null, mask = pipeline.encode_prompt(PROMPT)
    agree(x0(teacher, ""), one_step(pipeline, noisy(teacher), None, prompt_embeds=null, prompt_attention_mask=mask))


def test_prompts_of_different_lengths_go_together(tmp_path: Path) -> None:
    teacher = load(flow.lumina(), tmp_path / "teacher")
    x_t, t = noisy(teacher).expand(2, -1, -1, -1), torch.tensor([TIME, TIME], dtype=torch.float64)
    together = teacher(x_t, t, teacher.condition([PROMPT, "a"], None))
    agree(together, torch.cat([x0(teacher), x0(teacher, "a")]))


def test_aura_flow_sees_no_padding(tmp_path: Path) -> None:
    pipeline = flow.aura_flow()
    teacher = load(pipeline, tmp_path / "teacher")
    agree(x0(teacher), one_step(pipeline, noisy(teacher)))


@pytest.mark.usefixtures("small")
def test_z_image_reads_a_users_message(tmp_path: Path) -> None:
    pipeline = flow.z_image()
    teacher = load(pipeline, tmp_path / "teacher")
    agree(x0(teacher), one_step(pipeline, noisy(teacher), guidance_scale=0.0))
