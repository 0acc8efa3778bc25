"""Where the noise of a score gradient comes from: drawn anew, or found in the image by running DDIM backwards.

Fresh noise is another one at each step, so that each step pulls elsewhere and the result is a mean. Noise that is
found belongs to the image: the teacher's path from it leads back to (nearly) this image, and what is left of the
gradient is what the prompt changes (Lukoianov et al. 2024, "Score Distillation via Reparametrized DDIM"; Liang et al.
2024, "LucidDreamer").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from sds.denoiser import Condition, Denoiser
from sds.guidance import PromptConditions, classifier_free
from sds.schedule import scale
from sds.solvers import ddim_step, even_times


@dataclass(frozen=True)
class Noised:
    """How an image becomes x_t = alpha x + sigma noise.

    Attributes:
        noise: shape (batch, ...).
        previous: the x0 prediction of the last step of the path that was taken to x_t, same shape; None without a path.
    """

    noise: Tensor
    previous: Tensor | None = None


Noising = Callable[[Denoiser, Tensor, Tensor, PromptConditions, torch.Generator], Noised]
"""(teacher, x of shape (batch, ...), t of shape (batch,), what it is told, rng) -> noise."""


@dataclass(frozen=True)
class FreshNoise:
    """Standard normal noise, drawn anew at each step (Poole et al. 2022, and most since)."""

    def __call__(
        self, teacher: Denoiser, x: Tensor, t: Tensor, conditions: PromptConditions, rng: torch.Generator
    ) -> Noised:
        """Drawn on the CPU, so that a seed means the same anywhere."""
        del teacher, t, conditions
        return Noised(torch.randn(x.shape, generator=rng).to(x))


@dataclass(frozen=True)
class DDIMInversion:
    """The noise that DDIM finds in an image: its deterministic path run from the image to t.

    Nothing is drawn, but for the teachers' sake the path begins at a low noise level where the image itself is taken
    for its noisy version, as in both papers' programs.

    Attributes:
        steps: of the path; each is one evaluation for the null prompt, and one for the prompt, unless ``scale`` is 0 or
            1, where one of both is enough.
        scale: of guidance on the way, in the convention of `sds.guidance`. 0 follows the null prompt alone (ISM, and
            the inversion of CFG++); a negative one moves away from the prompt, so that going back moves towards it.
            (threestudio's "inversion_guidance_scale: -7.5" counts from the conditional prediction: it is -6.5 here.)
        interval: the length in t of the last step, LucidDreamer's delta_T; None: like the others.
        begin: the level at which the path begins.
    """

    steps: int = 10
    scale: float = 0.0
    interval: float | None = None
    begin: float = 0.01

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"an inversion takes one step or more, not {self.steps}")
        if not 0 < self.begin < 1:
            raise ValueError(f"an inversion begins between image and noise, not at {self.begin}")
        if self.interval is not None and not 0 < self.interval <= 1:
            raise ValueError(f"the last step of an inversion must be of a length in (0, 1], not {self.interval}")

    @torch.no_grad()
    def __call__(
        self, teacher: Denoiser, x: Tensor, t: Tensor, conditions: PromptConditions, rng: torch.Generator
    ) -> Noised:
        """Each image takes its own path to its own ``t``; one that is below `begin` takes steps of no length."""
        del rng
        begin = t.double().clamp(max=self.begin)
        turn = t.double() if self.interval is None else (t.double() - self.interval).maximum(begin)
        times = even_times(begin, turn, self.steps)
        if self.interval is not None:
            times = [*times, t.double()]
        x_s, x0 = x, x
        for s, r in pairwise(times):
            x0 = self._seen(teacher, x_s, s, conditions)
            x_s = ddim_step(teacher.schedule, x_s, x0, s, r)
        alpha, sigma = (scale(level, x) for level in teacher.schedule(t))
        return Noised((x_s - alpha * x) / sigma, x0)

    def _seen(self, teacher: Denoiser, x_s: Tensor, s: Tensor, conditions: PromptConditions) -> Tensor:
        if self.scale in (0, 1):
            return teacher(x_s, s, conditions.unconditional if self.scale == 0 else conditions.conditional)
        both = Condition.concatenate([conditions.conditional, conditions.unconditional])
        conditional, null = teacher(torch.cat([x_s, x_s]), torch.cat([s, s]), both).chunk(2)
        return classifier_free(conditional, null, self.scale)


NOISINGS = {
    "sdi": DDIMInversion(steps=10, scale=-6.5),
    "ism": DDIMInversion(steps=4, interval=0.08),
}
"""Of the methods in `sds.baselines.METHODS` that take no fresh noise, as their papers have it for Stable Diffusion."""
