"""Classifier-free guidance in its one convention, rescaling, and Perp-Neg."""

import pytest
import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from hypothesis import given
from hypothesis import strategies as st

from sds.guidance import Guidance, classifier_free, contrast_restored, perpendicular_shift, rescaled
from sds.schedule import Prediction, cosine_schedule, output_from_x0


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_convention():
    conditional, unconditional = torch.tensor([3.0]), torch.tensor([1.0])
    assert classifier_free(conditional, unconditional, 0).item() == 1
    assert classifier_free(conditional, unconditional, 1).item() == 3
    assert classifier_free(conditional, unconditional, 7.5).item() == 1 + 7.5 * 2


@given(scale=st.floats(-2, 100), t=st.floats(0.05, 0.95))
def test_guidance_of_x0_is_guidance_of_every_prediction(scale: float, t: float):
    alpha, sigma = cosine_schedule()(torch.tensor([t], dtype=torch.float64))
    conditional, unconditional, x_t = randn(3, 1, 3, 4, 4)
    guided = classifier_free(conditional, unconditional, scale)
    for prediction in Prediction:
        of_outputs = classifier_free(
            output_from_x0(prediction, conditional, x_t, alpha, sigma),
            output_from_x0(prediction, unconditional, x_t, alpha, sigma),
            scale,
        )
        torch.testing.assert_close(
            of_outputs, output_from_x0(prediction, guided, x_t, alpha, sigma), rtol=1e-6, atol=1e-6
        )


@pytest.mark.parametrize("amount", [0.0, 0.7, 1.0])
def test_rescaling_is_that_of_diffusers(amount: float):
    """Lin et al. 2024, equations 14 to 16, as diffusers' pipelines have it: the mean shrinks with the rest."""
    guided, conditional = 5 * randn(2, 3, 8, 8) + 1, randn(2, 3, 8, 8, seed=1)
    expected = rescale_noise_cfg(guided, conditional, guidance_rescale=amount)
    torch.testing.assert_close(rescaled(guided, conditional, amount), expected)
    torch.testing.assert_close(
        Guidance(scale=1.0, rescale=amount)(conditional, guided), rescaled(conditional, conditional, amount)
    )


def test_restoring_contrast_keeps_the_mean_and_takes_the_contrast_of_the_conditional_prediction():
    guided, conditional = 5 * randn(2, 3, 8, 8) + 1, randn(2, 3, 8, 8, seed=1)
    full = contrast_restored(guided, conditional, 1.0)
    torch.testing.assert_close(full.mean((1, 2, 3)), guided.mean((1, 2, 3)))
    torch.testing.assert_close(full.std((1, 2, 3)), conditional.std((1, 2, 3)))
    torch.testing.assert_close(contrast_restored(guided, conditional, 0.0), guided)
    # Both are the same for pictures of zero mean, and only for these.
    centred = guided - guided.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(contrast_restored(centred, conditional, 0.6), rescaled(centred, conditional, 0.6))
    assert not torch.allclose(full, rescaled(guided, conditional, 1.0))


def test_rescaling_a_flat_image_is_finite():
    flat = torch.ones(1, 3, 4, 4)
    for change in (rescaled, contrast_restored):
        assert torch.isfinite(change(flat, flat, 1.0)).all()


def test_guidance_object_limits_and_refuses():
    guidance = Guidance(scale=3.0, limit=1.0)
    assert guidance(torch.tensor([[1.0, 0.1]]), torch.tensor([[0.0, 0.0]])).tolist() == [[1.0, pytest.approx(0.3)]]
    with pytest.raises(ValueError, match="rescale"):
        Guidance(scale=1.0, rescale=1.5)
    with pytest.raises(ValueError, match="contrast"):
        Guidance(scale=1.0, contrast=-0.1)


def test_perp_neg_by_hand():
    # direction (1, 0); the negative (1, 1) shares its first number with it, so only the second is taken away
    null, conditional, negative = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 1.0]])
    shifted = perpendicular_shift(conditional, null, [negative], [torch.tensor([-2.0])])
    assert shifted.tolist() == [[1.0, -2.0]]


@given(seed=st.integers(0, 1000), weight=st.floats(-5, 5))
def test_perp_neg_never_changes_what_the_prompt_asks_for(seed: int, weight: float):
    conditional, null, negative = randn(3, 2, 3, 4, 4, seed=seed)
    shifted = perpendicular_shift(conditional, null, [negative], [torch.tensor([weight, weight])])
    direction = conditional - null
    torch.testing.assert_close(
        ((shifted - null) * direction).sum((1, 2, 3)), (direction**2).sum((1, 2, 3)), rtol=1e-8, atol=1e-8
    )


def test_a_negative_equal_to_the_prompt_takes_nothing_away():
    conditional, null = randn(2, 2, 3, 4, 4)
    shifted = perpendicular_shift(conditional, null, [conditional], [torch.tensor([-3.0, -3.0])])
    torch.testing.assert_close(shifted, conditional)
