"""Steps along the probability flow ODE: the path on which noise becomes an image without any chance.

With kappa = alpha / sigma the ODE of every schedule is one line (Song et al. 2021; DDIM's appendix; in the variables
of Karras et al. 2022 it is dx = (x - D) / sigma dsigma)::

    d(x / sigma) = D(x, t) dkappa                D = E[x0 | x_t]

so a step is ``x_s = (sigma_s / sigma_t) x_t + (alpha_s - alpha_t sigma_s / sigma_t) D`` for the mean of D on the way.
It is finite from pure noise (kappa = 0) to the clean image (sigma = 0).

Times are float64 of shape (batch,): each image takes its own step, from ``t`` down to ``s``. To sample with a whole
scheduler use those of diffusers; these are for targets, where a step is part of a formula.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from sds.denoiser import Condition, Denoiser
from sds.schedule import DegenerateNoiseLevelError, NoiseSchedule, scale


@runtime_checkable
class GuidedDenoiser(Protocol):
    """A denoiser that follows a prompt more than it would by itself, such as `sds.sampling.Guided`."""

    def guided_and_null(self, x_t: Tensor, t: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """The guided x0 prediction and that for the null prompt, both of the shape of ``x_t``."""
        ...


Solver = Callable[[Denoiser, Tensor, Tensor, Tensor, Condition], Tensor]
"""(denoiser, x_t, t, s, condition) -> x_s."""


def ddim_step(schedule: NoiseSchedule, x_t: Tensor, x0: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """From ``t`` to ``s`` as if ``x0`` were the clean image all the way (Song et al. 2021, equation 12 with eta = 0).

    A step of no length returns ``x_t``: this is the boundary condition of every flow map that is written by it.

    Args:
        schedule: the noise levels.
        x_t, x0: shape (batch, ...).
        t, s: shape (batch,).

    Raises:
        DegenerateNoiseLevelError: for a step that starts without noise, of which a path cannot know the direction.
    """
    kept, gained = _ddim_coefficients(schedule, t, s)
    return scale(kept, x_t) * x_t + scale(gained, x_t) * x0


def ddim_target(schedule: NoiseSchedule, x_t: Tensor, x_s: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """The inverse of `ddim_step`: the clean image x0 whose step from ``x_t`` arrives at ``x_s``.

    What a student must predict at ``t`` to reach in one step what took the teacher many (Salimans & Ho 2022,
    appendix G; Berthelot et al. 2023, equation 8).

    Raises DegenerateNoiseLevelError for a step of no length, which every x0 would satisfy.
    """
    kept, gained = _ddim_coefficients(schedule, t, s)
    if float(gained.min()) <= 0:
        raise DegenerateNoiseLevelError("every image is a target of a step of no length: choose s below t")
    return (x_s - scale(kept, x_t) * x_t) / scale(gained, x_t)


def ancestral_step(schedule: NoiseSchedule, x_t: Tensor, x0: Tensor, noise: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """A sample of q(x_s | x_t, x0), what lies between a noisy and the clean image (Ho et al. 2020, equation 7).

    With a = alpha_t / alpha_s and b^2 = sigma_t^2 - a^2 sigma_s^2, the noise added from s to t, it is the Gaussian::

        mean (a sigma_s^2 x_t + alpha_s b^2 x0) / sigma_t^2,     variance sigma_s^2 b^2 / sigma_t^2

    Args:
        schedule: the noise levels.
        x_t, x0: shape (batch, ...).
        noise: standard normal, same shape.
        t, s: shape (batch,), s <= t, and some noise at t.
    """
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
    a = alpha_t / alpha_s.clamp(min=torch.finfo(torch.float64).tiny)
    between = (sigma_t**2 - (a * sigma_s) ** 2).clamp(min=0)
    of_x_t, of_x0 = a * sigma_s**2 / sigma_t**2, alpha_s * between / sigma_t**2
    spread = sigma_s * between.sqrt() / sigma_t
    return scale(of_x_t, x_t) * x_t + scale(of_x0, x_t) * x0 + scale(spread, x_t) * noise


def _ddim_coefficients(schedule: NoiseSchedule, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """The shares of x_t and of x0 in x_s, each of shape (batch,)."""
    (alpha_t, sigma_t), (alpha_s, sigma_s) = schedule(t), schedule(s)
    if bool(((sigma_t == 0) & (sigma_s > 0)).any()):
        raise DegenerateNoiseLevelError("a clean image has no noise from which to go on to a noisier one: keep s <= t")
    kept = torch.where(sigma_s == sigma_t, 1.0, sigma_s / sigma_t)
    return kept, alpha_s - kept * alpha_t


def ddim(denoiser: Denoiser, x_t: Tensor, t: Tensor, s: Tensor, condition: Condition) -> Tensor:
    """The first-order step: one evaluation, at its beginning."""
    return ddim_step(denoiser.schedule, x_t, denoiser(x_t, t, condition), t, s)


def cfg_plus_plus(denoiser: Denoiser, x_t: Tensor, t: Tensor, s: Tensor, condition: Condition) -> Tensor:
    """A DDIM step to the guided image, but with the noise that the null prompt sees (CFG++, Chung et al. 2024, alg. 2).

    ::

        x_s = alpha_s guided + sigma_s (x_t - alpha_t null) / sigma_t

    which is the null prompt's own DDIM step plus alpha_s (guided - null). Their scale lies in [0, 1]. It is ordinary
    guidance whose scale is divided by 1 - (alpha_t / sigma_t) / (alpha_s / sigma_s): the shorter the step, the more.

    A denoiser that is no `GuidedDenoiser` takes a DDIM step: it has one prediction only.
    """
    if not isinstance(denoiser, GuidedDenoiser):
        return ddim(denoiser, x_t, t, s, condition)
    guided, null = denoiser.guided_and_null(x_t, t, condition)
    alpha_s = scale(denoiser.schedule.alpha(s), x_t)
    return ddim_step(denoiser.schedule, x_t, null, t, s) + alpha_s * (guided - null)


def heun(denoiser: Denoiser, x_t: Tensor, t: Tensor, s: Tensor, condition: Condition) -> Tensor:
    """The second-order step: a DDIM step, and once more with what the denoiser says at its end.

    The clean image is taken to move in a straight line over the angle atan2(sigma, alpha), which is finite at both
    ends; Heun's rule of Karras et al. 2022 (algorithm 1) takes straight lines over sigma / alpha, which is not.
    Like theirs, a step that ends without noise is a DDIM step.
    """
    at_t = denoiser(x_t, t, condition)
    at_s = denoiser(ddim_step(denoiser.schedule, x_t, at_t, t, s), s, condition)
    share = scale(_share_of_the_end(denoiser.schedule, t, s), x_t)
    return ddim_step(denoiser.schedule, x_t, torch.lerp(at_t, at_s, share), t, s)


def _share_of_the_end(schedule: NoiseSchedule, t: Tensor, s: Tensor) -> Tensor:
    """How much the end of a step counts in the mean over kappa of something linear in the angle phi; shape (batch,).

    With kappa = cot phi and length d = phi_t - phi_s, integration by parts gives::

        int_{phi_s}^{phi_t} (phi_t - phi) / d  dphi / sin^2 phi  =  kappa_s - log(sin phi_t / sin phi_s) / d

    to be divided by kappa_s - kappa_t. It is one half for a short step.
    """
    phi_t, phi_s = (torch.atan2(sigma, alpha) for alpha, sigma in (schedule(t), schedule(s)))
    length = phi_t - phi_s
    kappa_t, kappa_s = phi_t.tan().reciprocal(), phi_s.tan().reciprocal()
    share = (kappa_s - (phi_t.sin() / phi_s.sin()).log() / length) / (kappa_s - kappa_t)
    return torch.where((phi_s > 0) & (length > 0), share, 0.0)


def trajectory(
    denoiser: Denoiser, x: Tensor, times: Iterable[Tensor], condition: Condition, solver: Solver = ddim
) -> Iterator[Tensor]:
    """The states of a path at each of ``times``, the first of which is ``x`` itself.

    Args:
        denoiser: whose path it is.
        x: where it starts, shape (batch, ...).
        times: falling, each of shape (batch,).
        condition: what the denoiser is told.
        solver: the rule of a step.
    """
    steps = iter(times)
    t = next(steps)
    yield x
    for s in steps:
        x = solver(denoiser, x, t, s, condition)
        t = s
        yield x


def solve(
    denoiser: Denoiser, x: Tensor, times: Iterable[Tensor], condition: Condition, solver: Solver = ddim
) -> Tensor:
    """Where the path from ``x`` ends: the last state of its `trajectory`."""
    for state in trajectory(denoiser, x, times, condition, solver):
        x = state
    return x


def even_times(t: Tensor, s: Tensor, steps: int) -> Sequence[Tensor]:
    """``steps`` + 1 times that lead each image from ``t`` to ``s`` in equal parts. Raises ValueError below one step."""
    if steps < 1:
        raise ValueError(f"a path needs one step or more, not {steps}")
    return [torch.lerp(t.double(), s.double(), i / steps) for i in range(steps + 1)]
