"""Teachers that know one picture of an object, in the layout of Zero123's and Stable Zero123's folders."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sds.teachers.conditioning import PromptError
from sds.teachers.diffusers import DiffusersTeacher, load_diffusers_teacher
from sds.teachers.folder import TeacherFolderError
from sds.teachers.options import TeacherOptions
from tests.sds import original_layout
from tests.sds import tiny_pipelines as tiny
from tests.sds.tiny_view_teachers import eye, picture_conditioned, projection

SEEN_FROM = 0.3
TIMES = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny.stable_diffusion(tmp_path_factory.mktemp("work") / "work", in_channels=8)


@pytest.fixture
def folder(pipeline: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return picture_conditioned(pipeline, tmp_path / getattr(request, "param", "stable-zero123"))


def picture() -> torch.Tensor:
    return torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(5))


def view() -> Any:
    azimuth, elevation = torch.tensor([0.0, math.pi / 2, -2.0]), torch.tensor([SEEN_FROM, 0.0, -0.5])
    return SimpleNamespace(azimuth=azimuth, elevation=elevation, background=torch.ones(3, 3))


def expected(
    pipeline: Any, teacher: DiffusersTeacher, x_t: torch.Tensor, stable: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """(told the picture, told nothing), from the published recipe: polar angles, and latents that are not scaled."""
    mean, deviation = (torch.tensor(v)[:, None, None] for v in (CLIPS_MEAN, CLIPS_DEVIATION))
    small = torch.nn.functional.interpolate(picture()[None], (8, 8), mode="bicubic", align_corners=True)
    with torch.no_grad():
        seen = eye()((small - mean) / deviation).image_embeds.expand(3, -1)
        latents = pipeline.vae.encode(picture()[None] * 2 - 1).latent_dist.mode().expand(3, -1, -1, -1)
        polar, polar_seen = math.pi / 2 - view().elevation, math.pi / 2 - SEEN_FROM
        last = torch.full((3,), polar_seen if stable else 0.0)
        moved = torch.stack([polar - polar_seen, view().azimuth.sin(), view().azimuth.cos(), last], dim=-1)
        token = projection()(torch.cat([seen, moved], dim=-1))[:, None]
        steps = teacher.schedule.timestep(TIMES).float()
        told = pipeline.unet(torch.cat([x_t, latents], 1), steps, encoder_hidden_states=token).sample
        none = pipeline.unet(torch.cat([x_t, 0 * latents], 1), steps, encoder_hidden_states=0 * token).sample
    alpha, sigma = (value.float().reshape(-1, 1, 1, 1) for value in teacher.schedule(TIMES))
    return (x_t - sigma * told) / alpha, (x_t - sigma * none) / alpha


CLIPS_MEAN, CLIPS_DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@pytest.mark.parametrize("folder", ["stable-zero123", "zero123-xl"], indirect=True)
def test_views_are_asked_for_as_the_networks_were_trained(pipeline: Any, folder: Path) -> None:
    teacher = load_diffusers_teacher(folder)
    assert (teacher.shape, teacher.knows_views, teacher.takes_sentences) == ((4, 8, 8), True, False)
    teacher.show(picture(), SEEN_FROM)
    x_t = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    told, none = expected(pipeline, teacher, x_t, stable="stable" in folder.name)
    for prompt, wanted in (("it", told), ("", none)):
        x0 = teacher(x_t, TIMES, teacher.condition([prompt] * 3, view()))
        torch.testing.assert_close(x0, wanted, rtol=1e-4, atol=1e-4)


def test_a_larger_picture_is_seen_at_the_size_that_the_network_draws(folder: Path) -> None:
    teacher, x_t = load_diffusers_teacher(folder), torch.zeros(3, 4, 8, 8)
    predictions = []
    for shown in (picture(), picture().repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)):
        small = torch.nn.functional.interpolate(shown[None], (16, 16), mode="bilinear", antialias=True)[0]
        for each in (shown, small):
            teacher.show(each, SEEN_FROM)
            predictions.append(teacher(x_t, TIMES, teacher.condition(["it"] * 3, view())))
    torch.testing.assert_close(predictions[2], predictions[3], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(predictions[0], predictions[2], atol=1e-3)


def test_without_a_picture_it_says_what_it_needs(folder: Path) -> None:
    teacher = load_diffusers_teacher(folder)
    with pytest.raises(PromptError, match="generate --image FILE"):
        teacher.condition(["a chair"], view())


def test_only_teachers_of_pictures_are_shown_one(tmp_path: Path) -> None:
    tiny.deepfloyd_if(tmp_path / "work").save_pretrained(tmp_path / "teacher")
    teacher = load_diffusers_teacher(tmp_path / "teacher")
    assert not teacher.sees_pictures
    with pytest.raises(ValueError, match="words, not pictures"):
        teacher.show(picture(), 0.0)


def test_one_file_is_read_beside_a_folder_that_describes_it(pipeline: Any, folder: Path, tmp_path: Path) -> None:
    linear = projection().state_dict()
    file = tmp_path / "stable_zero123.safetensors"
    unet, vae = pipeline.unet.state_dict(), pipeline.vae.state_dict()
    own = {f"cc_projection.{name}": value for name, value in linear.items()}
    save_file({**original_layout.unet(unet, 1, 2), **original_layout.vae(vae, 2), **own}, file)
    with pytest.raises(
        TeacherFolderError, match=r"teacher-config FOLDER; or convert it .*convert_zero123_to_diffusers"
    ):
        load_diffusers_teacher(file)

    teachers = [load_diffusers_teacher(folder)]
    other = {f"proj.{name}": torch.zeros_like(value) for name, value in linear.items()}
    save_file(other, folder / "clip_camera_projection" / "diffusion_pytorch_model.safetensors")
    teachers.append(load_diffusers_teacher(file, options=TeacherOptions(config=str(folder))))
    x_t = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for teacher in teachers:
        teacher.show(picture(), SEEN_FROM)
    whole, single = (teacher(x_t, TIMES, teacher.condition(["it"] * 3, view())) for teacher in teachers)
    torch.testing.assert_close(single, whole, rtol=1e-4, atol=1e-4)


def test_a_pickle_of_it_names_its_own_conversion(tmp_path: Path) -> None:
    (tmp_path / "zero123-xl.ckpt").write_bytes(b"")
    with pytest.raises(TeacherFolderError, match=r"convert_zero123_to_diffusers.*only if you trust"):
        load_diffusers_teacher(tmp_path / "zero123-xl.ckpt")


@pytest.mark.parametrize("folder", ["zero123 of stable diffusion"], indirect=True)
def test_stable_diffusion_in_a_name_is_no_stable_zero123(pipeline: Any, folder: Path) -> None:
    teacher = load_diffusers_teacher(folder)
    teacher.show(picture(), SEEN_FROM)
    x_t = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    told, _ = expected(pipeline, teacher, x_t, stable=False)
    x0 = teacher(x_t, TIMES, teacher.condition(["it"] * 3, view()))
    torch.testing.assert_close(x0, told, rtol=1e-4, atol=1e-4)


def test_a_projection_of_another_size_is_refused(folder: Path) -> None:
    save_file(
        {"proj.weight": torch.zeros(8, 9), "proj.bias": torch.zeros(8)},
        folder / "clip_camera_projection" / "diffusion_pytorch_model.safetensors",
    )
    with pytest.raises(TeacherFolderError, match="takes 9 numbers"):
        load_diffusers_teacher(folder)
