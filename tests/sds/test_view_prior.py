"""The view prior: layers are composited as painters do, and the mixture's posterior is Bayes' rule."""

import math

import pytest
import torch

from sds.teachers.camera_features import CAMERA_FEATURES, camera_features
from sds.teachers.view_prior import Layers, posterior_mean
from tests.sds.tiny_embedded import tiny_prior


def test_camera_features_are_periodic_and_tell_directions_apart() -> None:
    azimuth = torch.tensor([0.3, 0.3 + 2 * math.pi, -0.3])
    features = camera_features(azimuth, torch.full((3,), 0.2))
    assert features.shape == (3, CAMERA_FEATURES)
    torch.testing.assert_close(features[0], features[1], atol=1e-5, rtol=0)
    assert float((features[0] - features[2]).abs().max()) > 0.5
    assert float(features.abs().max()) <= 1


def test_layers_over_a_background() -> None:
    layers = Layers(
        fixed=torch.full((1, 3, 1, 1), 0.1), shade=torch.full((1, 1, 1, 1), 0.5), opacity=torch.full((1, 1, 1, 1), 0.75)
    )
    picture = layers.over(torch.tensor([[1.0, 0.0, 0.4]]), torch.tensor([[1.0, 0.0, 0.0]]))
    # fixed + shade * red + 0.25 * background
    torch.testing.assert_close(picture.flatten(), torch.tensor([0.1 + 0.5 + 0.25, 0.1, 0.1 + 0.1]))


def test_candidates_have_the_size_asked_for_and_weights_sum_to_one() -> None:
    prior = tiny_prior(resolution=8, slots=3)
    text = prior.read(["a red chair", "horse"])
    slots = prior.slots_of(text.pooled)
    camera = camera_features(torch.zeros(2), torch.zeros(2))
    for size in (8, 16):
        candidates = prior.candidates(slots, torch.ones(2, 3, dtype=torch.bool), camera, torch.ones(2, 3), size)
        assert candidates.shape == (2, 3, 3, size, size)
        assert float(candidates.abs().max()) <= 1
    torch.testing.assert_close(slots.log_weight.exp().sum(1), torch.ones(2))


def test_slots_that_are_not_drawn_are_gray_and_the_others_stay_the_same() -> None:
    prior = tiny_prior(resolution=8, slots=3)
    slots = prior.slots_of(prior.read(["a red chair", "horse"]).pooled)
    camera, white = camera_features(torch.tensor([0.1, 2.0]), torch.zeros(2)), torch.ones(2, 3)
    drawn = torch.tensor([[True, False, True], [False, True, False]])
    some = prior.candidates(slots, drawn, camera, white, 8)
    everything = prior.candidates(slots, torch.ones_like(drawn), camera, white, 8)
    torch.testing.assert_close(some[drawn], everything[drawn])
    assert float(some[~drawn].abs().max()) == 0


def test_padding_does_not_change_what_a_prompt_means() -> None:
    """A prompt is read alike whether it stands alone or beside a longer one."""
    prior = tiny_prior()
    alone = prior.read(["chair"]).pooled
    together = prior.read(["red blue horse chair", "chair"]).pooled
    torch.testing.assert_close(together[1:], alone)
    assert float((together[0] - together[1]).abs().max()) > 1e-3


def test_posterior_mean_is_the_prior_mean_in_pure_noise() -> None:
    candidates = torch.stack([torch.full((3, 2, 2), -0.5), torch.full((3, 2, 2), 0.5)])[None]
    log_weight = torch.tensor([[0.25, 0.75]]).log()
    mean = posterior_mean(torch.randn(1, 3, 2, 2), torch.zeros(1), torch.ones(1), candidates, log_weight, 0.2)
    torch.testing.assert_close(mean, torch.full((1, 3, 2, 2), -0.5 * 0.25 + 0.5 * 0.75))


def test_posterior_mean_by_hand_and_certain_without_noise() -> None:
    candidates = torch.stack([torch.full((3, 2, 2), -0.5), torch.full((3, 2, 2), 0.5)])[None]
    log_weight = torch.tensor([[0.5, 0.5]]).log()
    alpha, sigma = torch.tensor([0.6]), torch.tensor([0.8])
    x_t = torch.full((1, 3, 2, 2), 0.1)
    mean = posterior_mean(x_t, alpha, sigma, candidates, log_weight, 0.2)
    # 12 numbers; squared distances (0.1 + 0.3)^2 and (0.1 - 0.3)^2; variance c * 0.36 * 0.04 + 0.64, c = 4 / 128.
    gap = 12 * (0.16 - 0.04) / (2 * (4 / 128 * 0.36 * 0.04 + 0.64))
    share = 1 / (1 + math.exp(-gap))
    torch.testing.assert_close(mean, torch.full((1, 3, 2, 2), 0.5 * share - 0.5 * (1 - share)))
    big = torch.cat([candidates[:, :1].expand(1, 1, 3, 2, 2), candidates[:, 1:]], 1).repeat(1, 1, 1, 16, 16)
    certain = posterior_mean(big[:, 1], torch.ones(1), torch.zeros(1), big, log_weight, 0.2)
    assert float((certain - big[:, 1]).abs().max()) == pytest.approx(0, abs=1e-4)
