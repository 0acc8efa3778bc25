"""How the predictions for several prompts become one guided prediction.

One convention, everywhere: ``guided = null + guidance_scale * (conditional - null)``. A scale of 1 is the conditional
prediction, 0 the unconditional one. (Ho & Salimans 2022 write w = scale - 1.) A negative prompt in the classic sense
is simply told in place of the null prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sds.denoiser import Condition
from sds.schedule import scale


@dataclass(frozen=True)
class PerpendicularNegative:
    """A prompt to move away from without losing what the main prompt wants (Perp-Neg, Armandpour et al. 2023).

    Attributes:
        condition: the negative prompt, one row for each image.
        weight: shape (batch,); negative numbers move away.
    """

    condition: Condition
    weight: Tensor


@dataclass(frozen=True)
class PromptConditions:
    """All that the denoisers are told about one batch of images.

    Attributes:
        conditional: the prompt.
        unconditional: the null prompt, or a negative prompt in its place.
        negative: "a bad image", the baseline of NFSD and of the annealed CSD; None if no method needs it.
        reference: the prompt as the critic is told it; None means the same as ``conditional``.
        perpendicular: the negatives of Perp-Neg.
    """

    conditional: Condition
    unconditional: Condition
    negative: Condition | None = None
    reference: Condition | None = None
    perpendicular: Sequence[PerpendicularNegative] = field(default=())


EVERYWHERE = (0.0, 1.0)
"""The interval of all times."""


@dataclass(frozen=True)
class Guidance:
    """How strongly to follow the prompt.

    Attributes:
        scale: the guidance scale in the convention above.
        interval: the times at which the prompt is followed more than the prediction itself does; at all others the
            scale is 1 (Kynkaanniemi et al. 2024, equation 6: not at high noise, where guidance costs variety).
        parallel: in [0, 1]: how much is kept of the part of guidance that points along the conditional prediction, see
            `projected` (Sadat et al. 2025's eta; 0 is their APG, 1 leaves guidance as it is).
        longest: the largest root mean square of conditional - null, their r / sqrt(values); None does not shorten it.
        rescale: in [0, 1]: Lin et al.'s guidance rescale, see `rescaled`.
        contrast: in [0, 1]: how much of the contrast that a large scale adds is taken back while the mean brightness
            stays, see `contrast_restored`. For pictures of zero mean the same as ``rescale``.
        limit: largest |value| of a guided image; None leaves it alone (latents have no such bound).
    """

    scale: float
    rescale: float = 0.0
    contrast: float = 0.0
    limit: float | None = None
    interval: tuple[float, float] = EVERYWHERE
    parallel: float = 1.0
    longest: float | None = None

    def __post_init__(self) -> None:
        for name, share in (("rescale", self.rescale), ("contrast", self.contrast), ("parallel", self.parallel)):
            if not 0 <= share <= 1:
                raise ValueError(f"guidance {name} must lie in [0, 1], not {share}")
        if not 0 <= self.interval[0] <= self.interval[1] <= 1:
            raise ValueError(f"the interval of guidance must be two rising times in [0, 1], not {self.interval}")
        if self.longest is not None and not self.longest > 0:
            raise ValueError(f"the longest guidance must be positive, not {self.longest}")

    def __call__(
        self, conditional: Tensor, unconditional: Tensor, t: Tensor | None = None, scales: Tensor | None = None
    ) -> Tensor:
        """The guided x0 prediction.

        Args:
            conditional, unconditional: x0 predictions, shape (batch, ...).
            t: times, shape (batch,); may be left out if guidance is wanted at all of them.
            scales: in place of `scale`, one for each image, shape (batch,).

        Raises ValueError if there is an interval but no ``t``.
        """
        strength = torch.full((len(conditional),), self.scale).double() if scales is None else scales.double()
        if self.interval != EVERYWHERE:
            if t is None:
                raise ValueError("guidance within an interval must be told the times")
            inside = (t >= self.interval[0]) & (t <= self.interval[1])
            strength = torch.where(inside.to(strength.device), strength, 1.0)
        if self.parallel != 1 or self.longest is not None:
            unconditional = projected(conditional, unconditional, self.parallel, self.longest)
        guided = classifier_free(conditional, unconditional, scale(strength, conditional))
        if self.rescale:
            guided = rescaled(guided, conditional, self.rescale)
        if self.contrast:
            guided = contrast_restored(guided, conditional, self.contrast)
        return guided if self.limit is None else guided.clamp(-self.limit, self.limit)


def classifier_free(conditional: Tensor, unconditional: Tensor, guidance_scale: float | Tensor) -> Tensor:
    """null + scale (conditional - null). Holds for x0, eps, v and flow alike, since they are affine in each other."""
    return torch.lerp(unconditional, conditional, guidance_scale)


def projected(conditional: Tensor, unconditional: Tensor, parallel: float, longest: float | None = None) -> Tensor:
    """An unconditional prediction whose distance from the conditional one is that of APG (Sadat et al. 2025, alg. 1).

    With d = conditional - null, shortened to a root mean square of ``longest`` at most, and d_p its part along the
    conditional prediction, what is returned is ``conditional - (d - d_p + parallel d_p)``: plain guidance of it is
    their conditional + (scale - 1) (d - d_p + parallel d_p). The part along the prediction makes pictures more
    saturated, the rest makes them better. (Their momentum belongs to a sampler's path; a score gradient has none.)

    Args:
        conditional, unconditional: x0 predictions, shape (batch, ...).
        parallel: how much of d_p is kept.
        longest: None leaves d as long as it is.
    """
    dims = tuple(range(1, conditional.dim()))
    direction = conditional - unconditional
    if longest is not None:
        length = (direction**2).mean(dims, keepdim=True).sqrt()
        direction = direction * (longest / length.clamp(min=longest))
    along = (direction * conditional).sum(dims, keepdim=True)
    along = along / (conditional**2).sum(dims, keepdim=True).clamp(min=1e-12) * conditional
    return conditional - (direction - (1 - parallel) * along)


def rescaled(guided: Tensor, conditional: Tensor, amount: float) -> Tensor:
    """Guidance rescale (Lin et al. 2024, equations 14 to 16), of two predictions of shape (batch, ...).

    ::

        amount * guided * std(conditional) / std(guided) + (1 - amount) * guided

    The whole prediction shrinks, its mean too. Theirs are the network's outputs, here as everywhere they are x0.
    """
    return guided * torch.lerp(torch.ones_like(guided), _contrast(conditional, guided), amount)


def contrast_restored(guided: Tensor, conditional: Tensor, amount: float) -> Tensor:
    """``guided`` with its contrast brought back towards that of ``conditional``; both of shape (batch, ...).

    Each image keeps its mean; its standard deviation becomes that of ``conditional`` for ``amount`` = 1. This is
    `rescaled` about the mean: pictures in [-1, 1] of something on white have a mean far from 0, and would turn gray.
    """
    mean = guided.mean(tuple(range(1, guided.dim())), keepdim=True)
    return mean + rescaled(guided - mean, conditional, amount)


def _contrast(of: Tensor, beside: Tensor) -> Tensor:
    """std(of) / std(beside) for each image, shape (batch, 1, ..., 1)."""
    dims = tuple(range(1, of.dim()))
    return of.std(dims, keepdim=True) / beside.std(dims, keepdim=True).clamp(min=1e-6)


def perpendicular_shift(
    conditional: Tensor, unconditional: Tensor, negatives: Sequence[Tensor], weights: Sequence[Tensor]
) -> Tensor:
    """``conditional`` moved by the negatives' parts perpendicular to it (Perp-Neg: Armandpour et al. 2023, alg. 1).

    With d = conditional - null and n_i = negative_i - null the result is::

        conditional + sum_i w_i (n_i - d <n_i, d> / <d, d>)

    so that guidance of it is Perp-Neg's null + g (d + sum_i w_i perp_i). What a negative shares with the prompt is
    never taken away.

    Args:
        conditional, unconditional: shape (batch, ...).
        negatives: predictions of that shape for each negative prompt.
        weights: for each of them, shape (batch,).
    """
    dims = tuple(range(1, conditional.dim()))
    direction = conditional - unconditional
    length = (direction**2).sum(dims, keepdim=True).clamp(min=1e-12)
    shifted = conditional
    for negative, weight in zip(negatives, weights, strict=True):
        away = negative - unconditional
        parallel = (away * direction).sum(dims, keepdim=True) / length
        shifted = shifted + scale(weight, away) * (away - parallel * direction)
    return shifted
