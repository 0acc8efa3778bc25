"""The embedded teacher: the denoiser's formula, its folder, and that what it is told matters."""

import copy
import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch

from sds.denoiser import Condition
from sds.schedule import cosine_schedule, schedule_from_diffusers
from sds.teachers.embedded import EMBEDDED_FOLDER, SmallTeacher, load_embedded_teacher
from sds.teachers.embedded_pipeline import EmbeddedPipeline, cosine_scheduler
from sds.teachers.folder import TeacherFolderError
from sds.teachers.view_prior import posterior_mean
from sds.teachers.view_teacher import EmbeddedTeacher, told_to_unet
from tests.sds.tiny_embedded import tiny_teacher, view
from tests.sds.tiny_shapes import save_tiny_shape_teacher


def times(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def answer_always(teacher: EmbeddedTeacher, correction: float, gate_logit: float) -> None:
    """Makes the UNet return the same for any input."""
    torch.nn.init.zeros_(teacher.unet.conv_out.weight)
    half = len(teacher.unet.conv_out.bias) // 2
    teacher.unet.conv_out.bias[:half] = correction
    teacher.unet.conv_out.bias[half:] = gate_logit


def test_a_closed_gate_leaves_the_candidates_mean() -> None:
    teacher = tiny_teacher()
    answer_always(teacher, correction=0.0, gate_logit=-30.0)
    condition = teacher.condition(["horse"], view(1))
    x_t, t = torch.randn(1, 3, 16, 16), times(0.3)
    told, (alpha, sigma) = condition.tensors, cosine_schedule()(t)
    mean = posterior_mean(x_t, alpha, sigma, told["candidates"], told["log_weight"], teacher.view_prior.spread)
    torch.testing.assert_close(teacher(x_t, t, condition), mean)


def test_without_a_unet_it_is_the_denoiser_of_a_gaussian() -> None:
    """With one slot, F = 0 and g = 1, E[x0 | x_t] of N(m, s^2) is the precision-weighted mean of m and x_t / alpha."""
    teacher = tiny_teacher()
    answer_always(teacher, correction=0.0, gate_logit=30.0)
    condition = teacher.condition(["red chair"] * 3, view(3))
    one = dict(condition.tensors)
    one["candidates"] = one["candidates"][:, :1]
    one["log_weight"] = torch.zeros(3, 1)
    x_t, t = torch.randn(3, 3, 16, 16), times(0.1, 0.5, 0.9)
    alpha, sigma = (value.float()[:, None, None, None] for value in cosine_schedule()(t))
    s = teacher.view_prior.spread
    by_precision = (one["candidates"][:, 0] / s**2 + x_t * alpha / sigma**2) / (1 / s**2 + alpha**2 / sigma**2)
    torch.testing.assert_close(teacher(x_t, t, Condition(one)), by_precision, atol=2e-5, rtol=1e-4)


def test_at_pure_noise_the_unet_adds_the_spread_times_its_output() -> None:
    teacher = tiny_teacher()
    answer_always(teacher, correction=0.5, gate_logit=0.0)
    condition = teacher.condition(["horse"], view(1))
    x_t = torch.randn(1, 3, 16, 16)
    told = condition.tensors
    mean = posterior_mean(x_t, times(0), times(1), told["candidates"], told["log_weight"], teacher.view_prior.spread)
    torch.testing.assert_close(teacher(x_t, times(1), condition), mean + 0.5 * teacher.view_prior.spread)


def test_without_noise_and_with_an_open_gate_the_picture_is_returned() -> None:
    teacher = tiny_teacher()
    answer_always(teacher, correction=0.7, gate_logit=30.0)
    x = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(teacher(x, times(0), teacher.condition(["horse"], view(1))), x)


def test_prompt_camera_and_background_each_change_the_answer() -> None:
    teacher = tiny_teacher()
    x_t, t = torch.randn(1, 3, 16, 16), times(0.8)

    def answer(prompt: str, azimuth: float, background: float) -> torch.Tensor:
        return teacher(x_t, t, teacher.condition([prompt], view(1, azimuth, background)))

    base = answer("red chair", 0.5, 1.0)
    for other in (answer("horse", 0.5, 1.0), answer("red chair", 2.5, 1.0), answer("red chair", 0.5, 0.2)):
        assert float((base - other).abs().max()) > 1e-3
    torch.testing.assert_close(base, answer("a RED chair", 0.5, 1.0))


def test_negligible_candidates_are_left_out_and_change_nothing() -> None:
    teacher = tiny_teacher()
    prior, camera = teacher.view_prior, (torch.tensor([0.5]), torch.tensor([0.3]), torch.ones(1, 3))
    text = prior.read(["horse"])
    slots = dataclasses.replace(prior.slots_of(text.pooled), log_weight=torch.tensor([[0.6, 0.4 - 1e-9, 1e-9]]).log())
    x_t = torch.randn(1, 3, 16, 16)
    complete, pruned = (told_to_unet(prior, text, slots, *camera, 16, negligible) for negligible in (0.0, 0.01))
    assert float(complete.tensors["candidates"][:, 2].abs().max()) > 0
    assert float(pruned.tensors["candidates"][:, 2].abs().max()) == 0
    torch.testing.assert_close(teacher(x_t, times(0.7), pruned), teacher(x_t, times(0.7), complete))


def test_a_teacher_with_one_object_in_mind_sees_that_candidate_only() -> None:
    teacher = tiny_teacher()
    weight = teacher.condition(["red ball"], view(1)).tensors["log_weight"][0].exp()
    order = weight.argsort(descending=True).tolist()
    likely = [candidate for candidate in order if weight[candidate] >= 0.05]
    for number in range(2 * len(likely)):
        decided = teacher.with_one_object("red ball", number).condition(["red ball", ""], view(2)).tensors["log_weight"]
        assert decided[0].exp().argmax() == likely[number % len(likely)]
        torch.testing.assert_close(decided[0].exp().sum(), torch.tensor(1.0))
        torch.testing.assert_close(decided[1], teacher.condition([""], view(1)).tensors["log_weight"][0])
    untouched = teacher.condition(["red ball"], view(1)).tensors["log_weight"][0].exp()
    torch.testing.assert_close(untouched, weight)


def test_prompts_are_read_again_when_they_change() -> None:
    teacher = tiny_teacher()
    first = teacher.condition(["horse", "red chair", "horse"], view(3))
    other = teacher.condition(["red chair", "horse", "horse"], view(3))
    torch.testing.assert_close(other.tensors["states"], first.tensors["states"][[1, 0, 2]])
    torch.testing.assert_close(other.tensors["candidates"], first.tensors["candidates"][[1, 0, 2]])


def test_rows_do_not_influence_each_other() -> None:
    teacher = tiny_teacher()
    x_t, t = torch.randn(2, 3, 16, 16), times(0.3, 0.9)
    both = teacher.condition(["red chair", ""], view(2))
    together = teacher(x_t, t, both)
    for i in range(2):
        row = slice(i, i + 1)
        alone = teacher(x_t[row], t[row], teacher.condition([["red chair", ""][i]], view(1)))
        torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=1e-4)


def test_a_missing_view_is_a_fixed_one() -> None:
    teacher = tiny_teacher()
    first, second = teacher.condition(["horse"], None), teacher.condition(["horse"], None)
    for name, tensor in first.tensors.items():
        torch.testing.assert_close(tensor, second.tensors[name])


def test_it_is_frozen_and_no_graph_is_recorded() -> None:
    teacher = tiny_teacher()
    assert not any(p.requires_grad for m in (teacher.view_prior, teacher.unet) for p in m.parameters())
    x_t = torch.randn(1, 3, 16, 16, requires_grad=True)
    assert not teacher(x_t, times(0.5), teacher.condition(["horse"], view(1))).requires_grad


def test_another_network_in_the_unets_place_gets_gradients() -> None:
    teacher = tiny_teacher()
    condition = teacher.condition(["horse"], view(1))
    x_t, t = torch.randn(1, 3, 16, 16), times(0.5)
    torch.testing.assert_close(teacher.denoise(teacher.network, x_t, t, condition), teacher(x_t, t, condition))
    critic = copy.deepcopy(teacher.network).requires_grad_(True)
    teacher.denoise(critic, x_t, t, condition).sum().backward()
    assert float(critic.conv_out.weight.grad.abs().sum()) > 0


@pytest.mark.parametrize("side", [16, 8, 40])
def test_encode_resizes_and_is_differentiable(side: int) -> None:
    teacher = tiny_teacher()
    image = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    x = teacher.encode(image)
    assert x.shape[1:] == teacher.shape
    direction, weight = torch.randn_like(image), torch.randn_like(x)
    (analytic,) = torch.autograd.grad((x * weight).sum(), image)
    step = 1e-5
    numeric = ((teacher.encode(image + step * direction) - x) * weight).sum() / step
    assert float((analytic * direction).sum()) == pytest.approx(float(numeric), rel=1e-5)
    flat = teacher.encode(torch.full((1, 3, side, side), 0.25))
    torch.testing.assert_close(flat, torch.full_like(flat, -0.5))
    torch.testing.assert_close(teacher.decode(flat), torch.full_like(flat, 0.25))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    teacher = tiny_teacher()
    EmbeddedPipeline(teacher.view_prior, teacher.unet, cosine_scheduler()).save_pretrained(tmp_path / "teacher")
    return tmp_path / "teacher"


def test_a_folder_holds_the_same_teacher(folder: Path) -> None:
    saved, loaded = tiny_teacher(), load_embedded_teacher(folder)
    x_t, t = torch.randn(2, 3, 16, 16), times(0.2, 0.7)
    prompts = ["red chair", "horse"]
    assert loaded.shape == (3, 16, 16)
    torch.testing.assert_close(
        loaded(x_t, t, loaded.condition(prompts, view(2))), saved(x_t, t, saved.condition(prompts, view(2)))
    )


def test_the_folder_is_an_ordinary_pipeline(folder: Path) -> None:
    pipeline = EmbeddedPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)

    def draw(prompt: str, seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return pipeline(prompt, azimuth=90, num_inference_steps=3, generator=generator, output_type="pt").images

    picture = draw("red chair", 0)
    assert picture.shape == (1, 3, 16, 16)
    assert 0 <= float(picture.min()) <= float(picture.max()) <= 1
    torch.testing.assert_close(draw("red chair", 0), picture)
    assert float((draw("horse", 0) - picture).abs().max()) > 1e-3


def test_the_scheduler_in_the_folder_is_the_schedule_of_the_teacher() -> None:
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    alpha, sigma = cosine_schedule()(t)
    stored_alpha, stored_sigma = schedule_from_diffusers(cosine_scheduler())(t)
    torch.testing.assert_close(stored_alpha, alpha, atol=2e-4, rtol=0)
    torch.testing.assert_close(stored_sigma, sigma, atol=2e-4, rtol=0)
    assert float(stored_alpha[-1]) == 0


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"view_prior": ["os", "system"]}, "not supported"),
        ({"unet": ["sds.teachers.view_prior", "ViewPrior"]}, "ViewPrior|mixes up"),
        ({"view_prior": [None, None]}, "no 'view_prior'"),
    ],
)
def test_other_classes_are_refused(folder: Path, index: dict[str, list[str]], message: str) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | index))
    with pytest.raises(TeacherFolderError, match=message):
        load_embedded_teacher(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TeacherFolderError, match="nowhere"):
        load_embedded_teacher(tmp_path / "nowhere")


def test_the_shipped_teacher_knows_its_words_and_the_camera() -> None:
    teacher = load_embedded_teacher()
    assert "left out" not in teacher.understand("a red armchair and an automobile").sentence()
    assert teacher.understand("a red chair, a dragonn").sentence().endswith("left out: dragonn")
    x_t = torch.randn(1, *teacher.shape, generator=torch.Generator().manual_seed(0))

    def picture(prompt: str, azimuth: float) -> torch.Tensor:
        return teacher.decode(teacher(x_t, times(1), teacher.condition([prompt], view(1, azimuth))))[0]

    # A red car: the middle is red. Seen from the side it is wider than from the front.
    side = picture("a red car", math.pi / 2)
    red, green, blue = side[:, 28:36, 16:48].mean((1, 2))
    assert red > green + 0.2
    assert red > blue + 0.2
    covered = [
        int(((picture("a red car", azimuth) - 1).abs().amax(0) > 0.3).any(0).sum()) for azimuth in (0, math.pi / 2)
    ]
    assert covered[1] > covered[0]


def test_the_shipped_folder_holds_no_code_and_no_pickles() -> None:
    files = [path for path in EMBEDDED_FOLDER.rglob("*") if path.is_file()]
    assert files
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".md", ".jpg", ".csv", ".xz"}
    assert sum(path.stat().st_size for path in files if path.suffix == ".safetensors") < 45e6


def test_teachers_of_both_kinds_are_loaded_by_their_folder(tmp_path: Path) -> None:
    folder = save_tiny_shape_teacher(tmp_path)
    for teacher, looks in ((load_embedded_teacher(folder), True), (tiny_teacher(), False)):
        assert isinstance(teacher, SmallTeacher)
        assert teacher.knows_looks is looks
    (folder / "words").mkdir()
    with pytest.raises(TeacherFolderError, match="words cannot be read"):
        load_embedded_teacher(folder)
