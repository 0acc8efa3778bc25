"""The denoiser of a shape teacher: a mixture of what was imagined, and what a UNet adds to it.

With m the candidates' posterior mean and s their
residual spread,

    x0 = m + g alpha r^2 / (alpha^2 r^2 + sigma^2) (x_t - alpha m) + s sigma / sqrt(alpha^2 s^2 + sigma^2) F

where F and g are the UNet's output. No error of F is ever amplified, at any noise level. The middle term is the linear
estimate of what differs from m by r: where sigma is far below r, x0 is x_t. With r = s it would be all that a Gaussian
N(m, s^2) lets be known, but it would also carry the noise of every step into samples; with a small r that is invisible.
The gate g in [0, 1] closes where the candidates leave nothing open, such as the background: there x_t adds but noise.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sds.denoiser import Condition
from sds.schedule import scale
from sds.teachers.camera_features import CAMERA_FEATURES, camera_features
from sds.teachers.layers import LOOKS, picture
from sds.teachers.volume import Eyes

PATCH = 4
"""Each 4 x 4 block of pixels is one position of the UNet."""
SPREAD = 0.15
"""s, the standard deviation (pictures in [-1, 1]) of what the best candidate leaves unexplained."""
HEARD = 0.02
"""r, the differences from the best candidate that are believed where there is less noise than this."""
TOKENS = 3
"""Things that the UNet is told of by attention; further ones it sees in the candidate only."""
_CORRELATED = 1 / 128
"""The share of a picture's pixels that err as one."""


def condition_width(code_width: int) -> int:
    """How many numbers the UNet is told at once: camera, background colour, look, code."""
    return CAMERA_FEATURES + 3 + len(LOOKS) + code_width


def told_to_unet(
    candidates: Tensor,
    log_weight: Tensor,
    tokens: Tensor,
    present: Tensor,
    eyes: Eyes,
    look: Tensor,
    background: Tensor,
) -> Condition:
    """All that depends on prompt and view but not on the noisy picture.

    Args:
        candidates: (B, K, 10, S, S), every look of each candidate, see `sds.teachers.layers.all_looks`.
        log_weight: (B, K).
        tokens: (B, `TOKENS`, C) the codes of the things.
        present: (B, `TOKENS`), 1 where there is one.
        eyes: the cameras.
        look: (B,) int64, which of `LOOKS` is asked for.
        background: (B, 3) in [0, 1].

    Returns:
        A condition with `candidates` (B, K, 3, S, S) in [-1, 1], `guides` (B, K, 10, S, S), `log_weight`, `states`,
        `mask` and `vector` (B, `condition_width(C)`).
    """
    count = candidates.shape[1]
    asked = picture(candidates.flatten(0, 1), look.repeat_interleave(count), background.repeat_interleave(count, 0))
    one_hot = (look[:, None] == torch.arange(len(LOOKS), device=look.device)).to(candidates)
    mean = (tokens * present[:, :, None]).sum(1) / present.sum(1, keepdim=True).clamp(min=1)
    camera = camera_features(eyes.azimuth, eyes.elevation)
    return Condition(
        {
            "candidates": (asked * 2 - 1).unflatten(0, candidates.shape[:2]),
            "guides": candidates * 2 - 1,
            "log_weight": log_weight,
            "states": tokens,
            "mask": present,
            "vector": torch.cat([camera, background * 2 - 1, one_hot, mean], dim=1),
        }
    )


def posterior(
    x_t: Tensor, alpha: Tensor, sigma: Tensor, candidates: Tensor, log_weight: Tensor, residual: float
) -> Tensor:
    """p(k | x_t) ~ w_k N(x_t; alpha mu_k, c alpha^2 s^2 + sigma^2): (B, K).

    Noise differs from pixel to pixel, what a candidate leaves unexplained does not: c numbers err as one, so its
    variance counts c times.

    Args:
        x_t: (B, 3, H, W).
        alpha, sigma: (B,).
        candidates: mu_k, (B, K, 3, H, W).
        log_weight: log w_k, (B, K).
        residual: s.
    """
    alpha, sigma = alpha.to(x_t), sigma.to(x_t)
    correlated = _CORRELATED * x_t.shape[-2] * x_t.shape[-1]
    variance = (alpha**2 * correlated * residual**2 + sigma**2)[:, None]
    difference = x_t.flatten(1)[:, None] - alpha[:, None, None] * candidates.flatten(2)
    return (log_weight.to(x_t) - difference.square().sum(2) / (2 * variance)).softmax(dim=1)


def predict_x0(
    unet: nn.Module,
    residual: float,
    x_t: Tensor,
    alpha: Tensor,
    sigma: Tensor,
    timestep: Tensor,
    condition: Condition,
) -> Tensor:
    """E[x0 | x_t] by the formula at the top of this file.

    Args:
        unet: predicts F and the logit of g, 2 x 3 x PATCH^2 channels.
        residual: s, spread of the candidates, pictures in [-1, 1].
        x_t: (B, 3, S, S).
        alpha, sigma: (B,).
        timestep: (B,), what the UNet is told about the noise.
        condition: what `told_to_unet` returned.

    Returns:
        (B, 3, S, S).
    """
    told = condition.tensors
    share = posterior(x_t, alpha, sigma, told["candidates"], told["log_weight"], residual)
    mean = torch.einsum("bk,bkchw->bchw", share, told["candidates"])
    guides = torch.einsum("bk,bkchw->bchw", share, told["guides"])
    a, s = scale(alpha, x_t), scale(sigma, x_t)
    variance = a**2 * residual**2 + s**2
    surprise = x_t - a * mean
    seen = torch.cat([surprise / variance.sqrt(), mean, guides], dim=1)
    output = unet(
        F.pixel_unshuffle(seen, PATCH),
        timestep.to(x_t),
        encoder_hidden_states=told["states"],
        encoder_attention_mask=told["mask"],
        class_labels=told["vector"],
    ).sample
    correction, gate = F.pixel_shuffle(output.to(x_t), PATCH).chunk(2, dim=1)
    linear = gate.sigmoid() * a * HEARD**2 / (a**2 * HEARD**2 + s**2) * surprise
    return mean + linear + residual * s / variance.sqrt() * correction
