import math
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sds.critic import Critic, CriticSettings
from sds.denoiser import NeuralTeacher, View
from sds.guidance import Guidance, PromptConditions
from sds.schedule import Prediction
from sds.score import score_gradient, surrogate_loss
from sds.teachers.conditioning import camera_numbers
from sds.teachers.diffusers import DiffusersTeacher, load_diffusers_teacher
from sds.teachers.folder import TeacherFolderError
from sds.teachers.image_codec import resized
from sds.teachers.schedules import FAINTEST_IMAGE
from tests.sds import tiny_pipelines as tiny

STEPS = [20, 500, 960]
"""Discrete steps of 1000, low, middle and high noise."""


def load(pipeline: Any, folder: Path) -> DiffusersTeacher:
    pipeline.save_pretrained(folder)
    return load_diffusers_teacher(folder)


def noisy(teacher: DiffusersTeacher, count: int = 3) -> torch.Tensor:
    return torch.randn(count, *teacher.shape, generator=torch.Generator().manual_seed(0))


def times(steps: list[int]) -> torch.Tensor:
    return torch.tensor(steps, dtype=torch.float64) / 999


def view(*angles: tuple[float, float]) -> View:
    """Cameras from (azimuth, elevation) in radians."""
    azimuth, elevation = torch.tensor(angles).unbind(1)
    return SimpleNamespace(azimuth=azimuth, elevation=elevation, background=torch.ones(len(angles), 3))


def scheduler_x0(pipeline: Any, outputs: torch.Tensor, x_t: torch.Tensor) -> torch.Tensor:
    """What diffusers' own scheduler computes from a network's outputs at `STEPS`."""
    pipeline.scheduler.set_timesteps(1000)
    return torch.cat(
        [
            pipeline.scheduler.step(output[None], step, x[None]).pred_original_sample
            for output, step, x in zip(outputs, STEPS, x_t, strict=True)
        ]
    )


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_stable_diffusion_predicts_what_its_own_scheduler_computes(tmp_path: Path, prediction_type: str) -> None:
    pipeline = tiny.stable_diffusion(tmp_path / "work", prediction_type)
    teacher = load(pipeline, tmp_path / "teacher")
    x_t, prompts = noisy(teacher), ["a red chair", "a blue cat", ""]

    with torch.no_grad():
        text = pipeline.encode_prompt(prompts, "cpu", 1, False)[0]
        outputs = pipeline.unet(x_t, torch.tensor(STEPS), encoder_hidden_states=text).sample
    x0 = teacher(x_t, times(STEPS), teacher.condition(prompts, None))

    assert teacher.prediction is Prediction(prediction_type)
    torch.testing.assert_close(x0, scheduler_x0(pipeline, outputs, x_t), rtol=1e-5, atol=1e-5)


def test_sdxl_is_told_both_texts_and_the_image_size(tmp_path: Path) -> None:
    pipeline = tiny.stable_diffusion_xl(tmp_path / "work")
    teacher = load(pipeline, tmp_path / "teacher")
    x_t, prompts = noisy(teacher), ["a red chair", "a blue cat", "a chair"]

    with torch.no_grad():
        text, _, pooled, _ = pipeline.encode_prompt(prompts, do_classifier_free_guidance=False)
        time_ids = pipeline._get_add_time_ids((16, 16), (0, 0), (16, 16), text.dtype, 6).expand(3, -1)
        added = {"text_embeds": pooled, "time_ids": time_ids}
        noise = pipeline.unet(x_t, torch.tensor(STEPS), encoder_hidden_states=text, added_cond_kwargs=added).sample
    alpha_bar = pipeline.scheduler.alphas_cumprod[STEPS].reshape(-1, 1, 1, 1)
    expected = (x_t - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()

    x0 = teacher(x_t, times(STEPS), teacher.condition(prompts, None))

    torch.testing.assert_close(x0, expected, rtol=1e-5, atol=1e-5)
    null = teacher.condition([""], None)  # the pipeline's default: force_zeros_for_empty_prompt
    assert not null.tensors["text"].any()
    assert not null.tensors["pooled"].any()


def test_deepfloyd_if_keeps_the_mean_of_a_learned_variance(tmp_path: Path) -> None:
    pipeline = tiny.deepfloyd_if(tmp_path / "work")
    teacher = load(pipeline, tmp_path / "teacher")
    x_t, prompts = noisy(teacher), ["a red chair", "A Blue Cat", ""]

    with torch.no_grad():
        text = pipeline.encode_prompt(prompts, do_classifier_free_guidance=False)[0]
        outputs = pipeline.unet(x_t, torch.tensor(STEPS), encoder_hidden_states=text).sample
    x0 = teacher(x_t, times(STEPS), teacher.condition(prompts, None))

    assert outputs.shape[1] == 6
    assert teacher.shape == (3, 8, 8)
    torch.testing.assert_close(x0, scheduler_x0(pipeline, outputs, x_t), rtol=1e-5, atol=1e-5)


OF_3_5 = {"qk_norm": "rms_norm", "dual_attention_layers": (0,)}


@pytest.mark.parametrize(("with_t5", "config"), [(True, {}), (False, {}), (True, OF_3_5)])
def test_stable_diffusion_3_ends_where_one_step_of_its_sampler_ends(
    tmp_path: Path, with_t5: bool, config: dict[str, Any]
) -> None:
    pipeline = tiny.stable_diffusion_3(tmp_path / "work", with_t5, **config)
    teacher = load(pipeline, tmp_path / "teacher")
    prompt, x_t, t = "a red chair", noisy(teacher, 1), torch.tensor([0.4], dtype=torch.float64)
    sigma = 3 * 0.4 / (1 + 2 * 0.4)  # the scheduler's shift is 3

    with torch.no_grad():
        text, _, pooled, _ = pipeline.encode_prompt(prompt, None, None, do_classifier_free_guidance=False)
        velocity = pipeline.transformer(
            x_t, encoder_hidden_states=text, pooled_projections=pooled, timestep=torch.tensor([1000 * sigma])
        ).sample
    pipeline.scheduler.set_timesteps(sigmas=[0.4])
    one_step = pipeline.scheduler.step(velocity, pipeline.scheduler.timesteps[0], x_t).prev_sample

    assert teacher.prediction is Prediction.FLOW
    torch.testing.assert_close(teacher(x_t, t, teacher.condition([prompt], None)), one_step, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "make", [lambda work: tiny.pixart(work, told_size=True), tiny.pixart, tiny.pixart_sigma], ids=["sized", "", "sigma"]
)
def test_pixart_masks_padding_and_splits_off_the_variance(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    pipeline = make(tmp_path / "work")
    teacher = load(pipeline, tmp_path / "teacher")
    x_t, prompts = noisy(teacher), ["a red chair", "a", ""]

    with torch.no_grad():
        text, mask, _, _ = pipeline.encode_prompt(prompts, do_classifier_free_guidance=False, clean_caption=False)
        outputs = pipeline.transformer(
            x_t,
            encoder_hidden_states=text,
            encoder_attention_mask=mask.float(),
            timestep=torch.tensor(STEPS),
            added_cond_kwargs={"resolution": torch.full((3, 2), 16.0), "aspect_ratio": torch.ones(3, 1)},
        ).sample
    alpha_bar = pipeline.scheduler.alphas_cumprod[STEPS].reshape(-1, 1, 1, 1)
    expected = (x_t - (1 - alpha_bar).sqrt() * outputs[:, :4]) / alpha_bar.sqrt()

    x0 = teacher(x_t, times(STEPS), teacher.condition(prompts, None))

    torch.testing.assert_close(x0, expected, rtol=1e-5, atol=2e-5)


def test_transformers_under_their_early_name_are_recognised(tmp_path: Path) -> None:
    teacher = load(tiny.pixart(tmp_path / "work"), tmp_path / "teacher")
    tiny.edit_json(tmp_path / "teacher" / "model_index.json", transformer=["diffusers", "Transformer2DModel"])
    early = load_diffusers_teacher(tmp_path / "teacher")
    x_t, condition = noisy(teacher), teacher.condition(["a cat"] * 3, None)
    assert torch.equal(early(x_t, times(STEPS), condition), teacher(x_t, times(STEPS), condition))


def test_dit_takes_class_names_numbers_and_the_null_class(tmp_path: Path) -> None:
    pipeline = tiny.diffusion_transformer(tmp_path / "work")
    pipeline.save_pretrained(tmp_path / "teacher")
    tiny.edit_json(tmp_path / "teacher" / "model_index.json", id2label={"0": "cat, tomcat", "1": "chair", "2": "car"})
    teacher = load_diffusers_teacher(tmp_path / "teacher")
    x_t, prompts = noisy(teacher), ["Tomcat", "2", ""]

    with torch.no_grad():
        outputs = pipeline.transformer(x_t, torch.tensor(STEPS), class_labels=torch.tensor([0, 2, 3])).sample
    x0 = teacher(x_t, times(STEPS), teacher.condition(prompts, None))

    torch.testing.assert_close(x0, scheduler_x0(pipeline, outputs[:, :4], x_t), rtol=1e-5, atol=1e-5)
    assert not teacher.takes_sentences
    with pytest.raises(ValueError, match=r"'chari' is not a class .* near names: chair"):
        teacher.condition(["chari"], None)
    with pytest.raises(ValueError, match="from 0 to 2"):
        teacher.condition(["3"], None)


def test_class_conditional_unet_without_a_null_class_says_so(tmp_path: Path) -> None:
    pipeline = tiny.unconditional(tmp_path / "work", num_class_embeds=4)
    teacher = load(pipeline, tmp_path / "teacher")
    x_t = noisy(teacher)

    with torch.no_grad():
        expected = pipeline.unet(x_t, torch.tensor(STEPS), class_labels=torch.tensor([3, 0, 1])).sample

    x0 = teacher(x_t, times(STEPS), teacher.condition(["3", "0", "1"], None))
    torch.testing.assert_close(x0, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="without a null class"):
        teacher.condition([""], None)


def test_unconditional_teacher_takes_only_the_empty_prompt(tmp_path: Path) -> None:
    pipeline = tiny.unconditional(tmp_path / "work")
    teacher = load(pipeline, tmp_path / "teacher")
    x_t = noisy(teacher)

    with torch.no_grad():
        expected = pipeline.unet(x_t, torch.tensor(STEPS)).sample

    condition = teacher.condition(["", "", ""], None)
    assert len(condition) == 3
    torch.testing.assert_close(teacher(x_t, times(STEPS), condition), expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="cannot be told 'a chair'"):
        teacher.condition(["a chair"], None)


def test_a_teacher_told_the_camera_as_numbers(tmp_path: Path) -> None:
    camera_unet: dict[str, Any] = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 16}
    pipeline = tiny.stable_diffusion(tmp_path / "work", "sample", **camera_unet)
    teacher = load(pipeline, tmp_path / "teacher")
    seen = view((0.0, 0.0), (2.0, 0.5))
    x_t = noisy(teacher, 2)

    with torch.no_grad():
        text = pipeline.encode_prompt(["a chair"] * 2, "cpu", 1, False)[0]
        expected = pipeline.unet(x_t, 500, text, class_labels=camera_numbers(seen)).sample
    x0 = teacher(x_t, times([500, 500]), teacher.condition(["a chair"] * 2, seen))

    assert teacher.knows_views
    torch.testing.assert_close(x0, expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="told the camera"):
        teacher.condition(["a chair"], None)
    with pytest.raises(ValueError, match="1 prompts but 2 views"):
        teacher.condition(["a chair"], seen)


def test_camera_numbers_are_a_rotation_and_a_position_that_looks_home() -> None:
    view = SimpleNamespace(
        azimuth=torch.tensor([0.0, math.pi / 2]), elevation=torch.tensor([0.0, 0.3]), background=None
    )
    matrix = camera_numbers(view).reshape(2, 4, 4)

    torch.testing.assert_close(matrix[0], torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]]))
    rotation, position = matrix[1, :3, :3], matrix[1, :3, 3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3))
    torch.testing.assert_close(torch.linalg.det(rotation), torch.tensor(1.0))
    torch.testing.assert_close(position, torch.tensor([math.cos(0.3), math.sin(0.3), 0.0]))
    torch.testing.assert_close(rotation @ torch.tensor([0.0, 0, -1]), -position)


def test_the_text_and_the_camera_move_the_prediction(tmp_path: Path) -> None:
    teacher = load(tiny.stable_diffusion(tmp_path / "work"), tmp_path / "teacher")
    x_t = noisy(teacher, 1).expand(3, -1, -1, -1)

    x0 = teacher(x_t, times([500] * 3), teacher.condition(["a red chair", "a blue chair", "a red chair"], None))

    assert (x0[0] - x0[1]).abs().max() > 1e-3
    torch.testing.assert_close(x0[0], x0[2])


def test_teacher_is_frozen_but_a_copy_of_its_network_can_learn(tmp_path: Path) -> None:
    teacher: NeuralTeacher = load(tiny.stable_diffusion(tmp_path / "work", "v_prediction"), tmp_path / "teacher")
    x_t, condition = noisy(teacher, 1).requires_grad_(), teacher.condition(["a chair"], None)

    assert not teacher(x_t, times([500]), condition).requires_grad
    assert not any(parameter.requires_grad for parameter in teacher.network.parameters())
    assert not any(module.training for module in teacher.network.modules())

    learner = load_diffusers_teacher(tmp_path / "teacher").network.requires_grad_(True)
    teacher.denoise(learner, x_t.detach(), times([500]), condition).square().sum().backward()
    assert all(parameter.grad is not None for parameter in learner.parameters())


@pytest.mark.parametrize("make", [tiny.stable_diffusion, tiny.stable_diffusion_3])
def test_a_critic_starts_as_the_teacher_and_leaves_it_alone(tmp_path: Path, make: Callable[..., Any]) -> None:
    teacher = load(make(tmp_path / "work"), tmp_path / "teacher")
    critic = Critic(teacher, CriticSettings(view_drop=0.0, warm_up=1))
    x_t, t = noisy(teacher, 2), times([400, 600])
    condition = critic.condition(["a cat"] * 2, view((0.0, 0.0), (2.0, 0.3)))
    before = teacher(x_t, t, condition)

    torch.testing.assert_close(critic(x_t, t, condition), before)
    for _ in range(2):
        critic.update(x_t, condition, torch.Generator().manual_seed(0))
    assert (critic(x_t, t, condition) - before).abs().max() > 1e-5
    assert torch.equal(teacher(x_t, t, condition), before)


def test_the_gradient_reaches_the_pixels_of_an_image_through_the_autoencoder_only(tmp_path: Path) -> None:
    teacher = load(tiny.stable_diffusion(tmp_path / "work"), tmp_path / "teacher")
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(3)).requires_grad_()
    x, told = teacher.encode(image), PromptConditions(teacher.condition(["a cat"], None), teacher.condition([""], None))

    with torch.no_grad():
        score = score_gradient(teacher, x, noisy(teacher, 1), times([500]), told, Guidance(7.5)).gradient
    surrogate_loss(x, score).backward()

    (expected,) = torch.autograd.grad(teacher.encode(image), image, grad_outputs=score)
    torch.testing.assert_close(image.grad, expected)
    assert expected.abs().max() > 1e-4
    assert all(parameter.grad is None for parameter in teacher.network.parameters())


def test_encode_resizes_maps_to_minus_one_and_back(tmp_path: Path) -> None:
    teacher = load(tiny.unconditional(tmp_path / "work"), tmp_path / "teacher")
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    checkers = (torch.arange(32)[:, None] + torch.arange(32)).remainder(2).float().expand(1, 3, 32, 32)

    torch.testing.assert_close(teacher.encode(image), image * 2 - 1)
    torch.testing.assert_close(teacher.decode(teacher.encode(image)), image)
    # A fine pattern shrinks to its mean, where bilinear sampling without antialiasing would keep single pixels of it.
    torch.testing.assert_close(teacher.encode(checkers), torch.zeros(1, 3, 8, 8), atol=0.05, rtol=0)
    with pytest.raises(ValueError, match=r"\(batch, 3, height, width\)"):
        teacher.encode(image[0])


def test_resizing_keeps_a_constant_and_has_the_asked_size() -> None:
    image = torch.full((1, 3, 20, 12), 0.3)
    torch.testing.assert_close(resized(image, (7, 30)), torch.full((1, 3, 7, 30), 0.3))


def test_latents_are_the_scaled_and_shifted_posterior_mean(tmp_path: Path) -> None:
    pipeline = tiny.stable_diffusion_3(tmp_path / "work", with_t5=False)
    teacher = load(pipeline, tmp_path / "teacher")
    image = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))

    with torch.no_grad():
        mean = pipeline.vae.encode(image * 2 - 1).latent_dist.mean
        decoded = pipeline.vae.decode(mean).sample / 2 + 0.5

    torch.testing.assert_close(teacher.encode(image), (mean - 0.25) * 0.5)
    torch.testing.assert_close(teacher.decode(teacher.encode(image)), decoded)
    torch.testing.assert_close(teacher.encode(image), teacher.encode(image), rtol=0, atol=0)


@pytest.mark.parametrize("size", [16, 24, 11])
def test_gradient_of_encoding_agrees_with_finite_differences(tmp_path: Path, size: int) -> None:
    teacher = load(tiny.stable_diffusion(tmp_path / "work"), tmp_path / "teacher")
    rng = torch.Generator().manual_seed(2)
    image = torch.rand(1, 3, size, size, generator=rng).requires_grad_()
    out = torch.randn(1, *teacher.shape, generator=rng)
    direction = torch.randn(image.shape, generator=rng)

    (analytic,) = torch.autograd.grad((teacher.encode(image) * out).sum(), image)
    with torch.no_grad():
        step = 1e-2
        ahead, behind = (teacher.encode(image + sign * step * direction) for sign in (1, -1))
        numeric = ((ahead - behind) * out).sum() / (2 * step)

    assert float((analytic * direction).sum()) == pytest.approx(float(numeric), rel=1e-2)
    assert (analytic != 0).float().mean() > 0.9  # shrinking, too, every pixel has its say


def test_prompts_are_encoded_once_and_stay_after_the_encoders_are_gone(tmp_path: Path) -> None:
    teacher = load(tiny.stable_diffusion(tmp_path / "work"), tmp_path / "teacher")
    asked: list[str] = []
    encode = teacher.prompts.encode
    teacher.prompts.encode = lambda prompt: asked.append(prompt) or encode(prompt)

    first = teacher.condition(["a cat", "a cat", "a chair"], None)
    again = teacher.condition(["a chair"], None)
    teacher.release_text_encoders()

    assert asked == ["a cat", "a chair"]
    assert torch.equal(first.tensors["text"][2], again.tensors["text"][0])
    assert len(teacher.condition(["", "a cat"], None)) == 2
    with pytest.raises(RuntimeError, match="'a red cat' was encoded"):
        teacher.condition(["a red cat"], None)


def test_a_prompt_that_is_too_long_is_cut_with_a_warning(tmp_path: Path) -> None:
    teacher = load(tiny.stable_diffusion(tmp_path / "work"), tmp_path / "teacher")
    with pytest.warns(UserWarning, match="only the first 16 tokens"):
        condition = teacher.condition(["a " * 40], None)
    assert condition.tensors["text"].shape == (1, 16, 8)


def test_a_noise_prediction_begins_at_its_highest_usable_level(tmp_path: Path) -> None:
    """Where alpha is zero it says nothing about the image: t = 1 is the last level where it does."""
    pipeline = tiny.stable_diffusion(tmp_path / "work", "epsilon")
    pipeline.scheduler = tiny.scheduler("epsilon", rescale_betas_zero_snr=True)
    teacher, one = load(pipeline, tmp_path / "teacher"), torch.ones(1, dtype=torch.float64)
    step = int(teacher.schedule.timestep(one))
    table = pipeline.scheduler.alphas_cumprod.double().sqrt()
    assert float(table[step]) >= FAINTEST_IMAGE > float(table[step + 1])
    assert float(teacher.schedule.alpha(one)) == pytest.approx(float(table[step]))
    assert torch.isfinite(teacher(noisy(teacher, 1), one, teacher.condition(["a cat"], None))).all()


def test_half_precision_answers_in_the_type_of_the_question(tmp_path: Path) -> None:
    pipeline = tiny.stable_diffusion(tmp_path / "work", "v_prediction")
    full = load(pipeline, tmp_path / "teacher")
    half = load_diffusers_teacher(tmp_path / "teacher", dtype=torch.bfloat16)
    x_t, t = noisy(full, 1), times([500])

    x0 = half(x_t, t, half.condition(["a cat"], None))

    assert half.network.dtype == torch.bfloat16
    assert x0.dtype == torch.float32
    torch.testing.assert_close(x0, full(x_t, t, full.condition(["a cat"], None)), rtol=0.05, atol=0.05)
    image = torch.rand(1, 3, 16, 16)
    assert half.encode(image).dtype is torch.float32
    torch.testing.assert_close(half.encode(image), full.encode(image), rtol=0.02, atol=0.02)


def test_early_autoencoders_attention_names_are_understood(tmp_path: Path) -> None:
    teacher = load(tiny.stable_diffusion(tmp_path / "work"), tmp_path / "teacher")
    path = tmp_path / "teacher" / "vae" / "diffusion_pytorch_model.safetensors"
    early = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = load_file(path)
    for new, old in early.items():
        weights = {key.replace(f"attentions.0.{new}.", f"attentions.0.{old}."): value for key, value in weights.items()}
    save_file(weights, path)
    image = torch.rand(1, 3, 16, 16)

    assert any(".query." in key for key in weights)
    torch.testing.assert_close(load_diffusers_teacher(tmp_path / "teacher").encode(image), teacher.encode(image))


def test_loading_a_folder_uses_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.stable_diffusion_3(tmp_path / "work").save_pretrained(tmp_path / "teacher")

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"a connection was tried: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert load_diffusers_teacher(tmp_path / "teacher").condition(["a cat"], None)


def test_networks_that_are_no_teachers_are_refused_with_the_reason(tmp_path: Path) -> None:
    inpainting = tiny.stable_diffusion(tmp_path / "work", in_channels=9)
    with pytest.raises(TeacherFolderError, match="takes 9 channels where images have 4"):
        load(inpainting, tmp_path / "inpainting")
    upscaler = tiny.stable_diffusion(tmp_path / "work2", num_class_embeds=10)
    with pytest.raises(TeacherFolderError, match="upscaler"):
        load(upscaler, tmp_path / "upscaler")
    narrow = tiny.stable_diffusion(tmp_path / "work3", cross_attention_dim=12)
    with pytest.raises(TeacherFolderError, match="'text' 8 wide, the network takes 12"):
        load(narrow, tmp_path / "narrow")
    camera: dict[str, Any] = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 12}
    with pytest.raises(TeacherFolderError, match="camera's 16 numbers"):
        load(tiny.stable_diffusion(tmp_path / "work4", **camera), tmp_path / "camera")
