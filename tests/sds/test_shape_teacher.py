from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler

from representations.cameras import turntable
from sds.denoiser import Condition
from sds.teachers.embedded_words import Lexicon
from sds.teachers.layers import Look
from sds.teachers.shape_denoising import TOKENS, posterior
from sds.teachers.shape_prior import CHANNELS, cell_centres
from sds.teachers.shape_teacher import CANDIDATES, ShapeTeacher, load_shape_teacher, plain_lexicon
from tests.sds.imagined import TwoThings
from tests.sds.tiny_shapes import CODE, SIZE, tiny_prior, tiny_unet


def teacher() -> ShapeTeacher:
    """Knows two balls and a table; its UNet says nothing yet."""
    prior = TwoThings()
    lexicon = plain_lexicon(prior)  # type: ignore[arg-type]
    return ShapeTeacher(prior, tiny_unet(4), lexicon)  # type: ignore[arg-type]


def test_at_full_noise_it_sees_the_mean_of_what_may_be_meant() -> None:
    asked = teacher()
    condition = asked.condition(["a ball"] * 3, turntable(3))
    shown = condition.tensors["candidates"]
    assert shown.shape == (3, CANDIDATES, 3, SIZE, SIZE)
    x0 = asked(torch.randn(3, 3, SIZE, SIZE), torch.ones(3, dtype=torch.float64), condition)
    assert torch.allclose(x0, shown[:, :2].mean(1), atol=1e-4)  # two balls


def test_a_made_up_mind_sees_one_object_and_another_number_another() -> None:
    first, second = (teacher().with_one_object("a ball", number) for number in (0, 1))
    one, other = (asked.condition(["a ball"], turntable(1)).tensors["candidates"] for asked in (first, second))
    assert one.shape[1] == other.shape[1] == 1
    assert (one < 0.9).float().mean() > 2 * (other < 0.9).float().mean()  # radius 0.85 against 0.4
    again = teacher().with_one_object("a ball", 2).condition(["a ball"], turntable(1)).tensors["candidates"]
    assert torch.equal(again, one)


def test_the_look_is_a_matter_of_the_view() -> None:
    class Told:
        def __init__(self, look: Look) -> None:
            self.look, cameras = look, turntable(1)
            self.azimuth, self.elevation, self.background = cameras.azimuth, cameras.elevation, cameras.background

    asked = teacher().with_one_object("a green table")
    middle = {
        look: (asked.condition(["a green table"], Told(look)).tensors["candidates"][0, 0, :, 8, 8] + 1) / 2
        for look in Look
    }
    assert torch.allclose(middle[Look.ALBEDO], torch.tensor([0.12, 0.62, 0.16]), atol=0.02)
    assert (middle[Look.LIT] < middle[Look.ALBEDO] + 1e-6).all()
    assert middle[Look.NORMALS][2] > 0.9  # it faces the camera


def test_every_picture_of_a_batch_may_show_another_look() -> None:
    asked, view = teacher().with_one_object("a ball"), turntable(3, size=SIZE)
    mixed = asked.condition(["a ball"] * 3, replace(view, look=torch.tensor([2, 0, 1]))).tensors["candidates"]
    for row, look in enumerate((2, 0, 1)):
        alone = asked.condition(["a ball"] * 3, view.showing(look)).tensors["candidates"]
        assert torch.equal(mixed[row], alone[row])
    with pytest.raises(ValueError, match="looks"):
        asked.condition(["a ball"] * 3, view.showing(3))
    with pytest.raises(ValueError, match="3 prompts but 2 views"):
        asked.condition(["a ball"] * 3, turntable(2))


def test_unknown_words_change_nothing_and_no_known_word_is_the_null_prompt() -> None:
    asked = teacher()
    plain, more, none, null = (
        asked.condition([prompt], turntable(1)).tensors["candidates"]
        for prompt in ("a table", "a glorpish table", "a glorp", "")
    )
    assert torch.equal(plain, more)
    assert torch.equal(none, null)
    assert not torch.equal(plain, null)


def test_conditions_of_prompt_and_null_prompt_can_be_joined_and_hold_the_codes() -> None:
    asked = teacher().with_one_object("a ball beside a table")
    condition = asked.condition(["a ball beside a table"], turntable(1))
    joined = Condition.concatenate([condition, asked.condition([""], turntable(1))])
    assert joined.tensors["mask"].tolist() == [[1, 1, 0], [1, 0, 0]]
    assert joined.tensors["states"][:, :, 0].tolist() == [[1, 3, 0], [0, 0, 0]]
    assert joined.tensors["states"].shape[1] == TOKENS


def test_the_posterior_believes_what_it_sees() -> None:
    candidates = torch.stack([torch.zeros(3, 8, 8), torch.ones(3, 8, 8)])[None]
    weight = torch.tensor([[0.5, 0.5]]).log()
    alpha, sigma = torch.tensor([0.8]), torch.tensor([0.6])
    share = posterior(0.8 * candidates[:, 1], alpha, sigma, candidates, weight, 0.15)
    c = 8 * 8 / 128
    log_odds = 0.8**2 * 3 * 64 / (2 * (0.8**2 * c * 0.15**2 + 0.6**2))
    assert share[0, 1].logit().item() == pytest.approx(log_odds, rel=1e-3) or share[0, 1] == 1
    nothing = posterior(torch.randn(1, 3, 8, 8), torch.zeros(1), torch.ones(1), candidates, weight, 0.15)
    assert torch.allclose(nothing, torch.tensor([[0.5, 0.5]]))


def test_a_field_is_what_the_prior_says_at_its_points_near_the_surface() -> None:
    prior = tiny_prior()
    field = prior.field(prior.code.weight[1], 32)
    assert field.shape == (CHANNELS, 32, 32, 32)
    near = field[0].abs() < 0.9
    points = cell_centres(32, field.device)[near.flatten()]
    said = prior.at(prior.planes(prior.code.weight[1:2]), points[None])[0]
    assert torch.allclose(field[:, near].T, said, atol=1e-4)


def test_a_folder_is_loaded_with_its_words(tmp_path: Path) -> None:
    prior, unet = tiny_prior(), tiny_unet(CODE)
    prior.save_pretrained(tmp_path / "shape_prior")
    unet.save_pretrained(tmp_path / "unet")
    DDIMScheduler().save_pretrained(tmp_path / "scheduler")
    index = (
        '{"_class_name": "ShapePipeline", "shape_prior": ["sds.teachers.shape_prior", "ShapePrior"], '
        '"unet": ["diffusers", "UNet2DConditionModel"], "scheduler": ["diffusers", "DDIMScheduler"]}'
    )
    (tmp_path / "model_index.json").write_text(index, encoding="utf-8")
    loaded = load_shape_teacher(tmp_path)
    assert loaded.lexicon.nouns == ("ball", "table")
    plain_lexicon(prior).only(["table"]).save(tmp_path / "words")
    assert Lexicon.load(tmp_path / "words").nouns == load_shape_teacher(tmp_path).lexicon.nouns == ("table",)
    view = turntable(2)
    original = ShapeTeacher(prior, unet, plain_lexicon(prior))
    one, other = (asked.condition(["a table"] * 2, view).tensors["candidates"] for asked in (original, loaded))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
