"""Noise schedules, and the only place where the four prediction types are converted into one another.

A schedule says how much image and how much noise there is at time ``t``::

    x_t = alpha(t) * x0 + sigma(t) * noise        t in [0, 1], noise at t = 1

Time and coefficients are float64 tensors of shape (batch,) and live on the CPU: they are few, and an angle that is
close to a right angle needs the digits. `scale` brings them to an image's device, type and shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch
from torch import Tensor

LEVELS = 1000
"""Noise levels that a schedule is tabulated at where a table is needed; networks are usually told 0 to 999."""

SMALLEST_ALPHA = 1e-3
"""Below this share of image, dividing by alpha turns rounding errors of a noise prediction into an image."""


class DegenerateNoiseLevelError(ValueError):
    """An image was asked of a noise prediction at a time where there is (almost) no image left."""


class Prediction(Enum):
    """What a network returns. The values are the names that diffusers' scheduler configurations use."""

    EPSILON = "epsilon"
    X0 = "sample"
    V = "v_prediction"
    FLOW = "flow_prediction"


@dataclass(frozen=True)
class NoiseSchedule:
    """How much image and noise there is at each time.

    Attributes:
        coefficients: maps t, float64 of shape (batch,) in [0, 1], to (alpha, sigma), each float64 of shape (batch,).
        told: maps the same t to what the network is told, usually a number between 0 and 1000.
    """

    coefficients: Callable[[Tensor], tuple[Tensor, Tensor]]
    told: Callable[[Tensor], Tensor]

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(alpha, sigma) at times ``t`` of shape (batch,). Raises ValueError for a time outside [0, 1]."""
        return self.coefficients(checked_time(t))

    def alpha(self, t: Tensor) -> Tensor:
        """The share of image at ``t``, shape (batch,)."""
        return self(t)[0]

    def sigma(self, t: Tensor) -> Tensor:
        """The share of noise at ``t``, shape (batch,)."""
        return self(t)[1]

    def log_snr(self, t: Tensor) -> Tensor:
        """log(alpha^2 / sigma^2), shape (batch,); infinite where one of them is zero."""
        alpha, sigma = self(t)
        return 2 * (alpha.log() - sigma.log())

    def timestep(self, t: Tensor) -> Tensor:
        """What the network is told at ``t``: float64 of shape (batch,)."""
        return self.told(checked_time(t))

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t = alpha(t) x0 + sigma(t) noise, for x0 and noise of shape (batch, ...).

        Raises ValueError if they are no floating point numbers (alpha would be rounded to 0) or of different shapes, or
        if there is not one t for each image: nothing is broadcast.
        """
        require_batch(x0, noise, t)
        alpha, sigma = self(t)
        return scale(alpha, x0) * x0 + scale(sigma, x0) * noise


def checked_time(t: Tensor) -> Tensor:
    """``t`` as float64 on the CPU. Raises ValueError if it is not of shape (batch,) or leaves [0, 1]."""
    t = t.to("cpu", torch.float64)  # not detached: `students.methods.derivatives` differentiates by it
    if t.dim() != 1:
        raise ValueError(f"time must have shape (batch,), one number for each image, not {tuple(t.shape)}")
    if not bool(((t >= 0) & (t <= 1)).all()):
        raise ValueError(f"time must lie in [0, 1], noise at t = 1, but runs from {t.min():.4g} to {t.max():.4g}")
    return t


def require_batch(x0: Tensor, noise: Tensor, t: Tensor) -> None:
    """Raises ValueError unless images and noise are floating point, of one shape (batch, ...), and t of (batch,)."""
    for name, tensor in (("images", x0), ("noise", noise)):
        if not tensor.is_floating_point():
            raise ValueError(f"{name} must be floating point in the teacher's range ([-1, 1]), not {tensor.dtype}")
    if noise.shape != x0.shape:
        raise ValueError(f"noise must have the shape of the images, {tuple(x0.shape)}, not {tuple(noise.shape)}")
    if t.shape != x0.shape[:1]:
        raise ValueError(f"time must have one number for each of the {len(x0)} images, not the shape {tuple(t.shape)}")


def time_at(schedule: NoiseSchedule, deviation: Tensor) -> Tensor:
    """The t at which sigma / alpha is ``deviation``, which may be infinite; shape (batch,)."""
    return time_at_angle(schedule, deviation.atan())


def time_at_angle(schedule: NoiseSchedule, wanted: Tensor) -> Tensor:
    """The t at which atan2(sigma, alpha) is ``wanted``, shape (batch,); 0 or 1 beyond the schedule's own angles.

    By regula falsi (its Illinois variant), since the angle of most schedules is almost linear in t. A last step of
    Newton's makes the derivative by ``wanted`` right: it is 1 / (d angle / dt), whatever the iteration did.
    """

    def excess(t: Tensor) -> Tensor:
        alpha, sigma = schedule(t)
        return torch.atan2(sigma, alpha) - wanted

    low, high = torch.zeros_like(wanted), torch.ones_like(wanted)
    below, above = excess(low), excess(high)
    inside = (below <= 1e-12) & (above >= -1e-12)
    beyond = torch.where(above < 0, torch.ones_like(wanted), torch.zeros_like(wanted))
    for _ in range(60):
        t = torch.where(above > below, low - below * (high - low) / (above - below), low).clamp(0, 1)
        at_t = excess(t)
        if bool((at_t.abs().minimum((high - low).abs()) < 1e-14).all()):
            break
        right = at_t * above > 0  # the root lies between low and t; an end that stays counts half
        below, above = torch.where(right, below / 2, at_t), torch.where(right, at_t, above / 2)
        low, high = torch.where(right, low, t), torch.where(right, t, high)
    before, after = (t - NEWTON).clamp(min=0.0), (t + NEWTON).clamp(max=1.0)
    slope = (excess(after) - excess(before)) / (after - before)
    return torch.where(inside, (t - excess(t) / slope).clamp(0, 1), beyond)


NEWTON = 1e-6
"""Over which `time_at_angle` takes the slope of the angle."""


def scale(coefficient: Tensor, x: Tensor) -> Tensor:
    """A coefficient of shape (batch,) as (batch, 1, ..., 1) on the device and in the type of ``x``."""
    return coefficient.to(x.device, x.dtype).reshape(-1, *[1] * (x.dim() - 1))


def cosine_schedule(num_train_timesteps: int = 1000) -> NoiseSchedule:
    """alpha = cos(pi t / 2), sigma = sin(pi t / 2): pure noise at t = 1 (Nichol & Dhariwal 2021, no offset)."""

    def coefficients(t: Tensor) -> tuple[Tensor, Tensor]:
        # sin(pi (1 - t) / 2) is exactly zero at t = 1, where cos(pi t / 2) is only about 6e-17.
        return torch.sin((1 - t) * (math.pi / 2)), torch.sin(t * (math.pi / 2))

    return NoiseSchedule(coefficients, lambda t: t * (num_train_timesteps - 1))


def flow_schedule(shift: float = 1.0, num_train_timesteps: int = 1000) -> NoiseSchedule:
    """Straight paths from image to noise: alpha = 1 - s, sigma = s with s = shift t / (1 + (shift - 1) t).

    ``shift`` > 1 spends more of the time at high noise, as large images need (Esser et al. 2024, equation 23).
    Raises ValueError if it is not positive.
    """
    if shift <= 0:
        raise ValueError(f"shift must be positive, not {shift}")

    def sigma(t: Tensor) -> Tensor:
        return shift * t / (1 + (shift - 1) * t)

    return NoiseSchedule(lambda t: (1 - sigma(t), sigma(t)), lambda t: sigma(t) * num_train_timesteps)


def tabulated_schedule(alphas_cumprod: Tensor) -> NoiseSchedule:
    """The schedule of a network trained at discrete steps: t = 0 is its first step and t = 1 its last.

    Between two steps the angle atan2(sigma, alpha) is interpolated, so that alpha^2 + sigma^2 = 1 everywhere and a
    last step of pure noise (alpha = 0) does no harm, where interpolating the log-SNR would give infinities.

    Args:
        alphas_cumprod: alpha^2 at each step, shape (steps,), falling, between 0 and 1.

    Raises:
        ValueError: if the table is not such a sequence.
    """
    table = alphas_cumprod.detach().to("cpu", torch.float64)
    if table.dim() != 1 or len(table) < 2:
        raise ValueError(f"alphas_cumprod must be a sequence of two numbers or more, not of shape {tuple(table.shape)}")
    if not bool(((table >= 0) & (table <= 1)).all()) or not bool((table.diff() <= 0).all()):
        raise ValueError("alphas_cumprod must fall from at most 1 to at least 0")
    angle = torch.atan2((1 - table).sqrt(), table.sqrt())
    last = len(table) - 1

    def coefficients(t: Tensor) -> tuple[Tensor, Tensor]:
        step = t * last
        below = step.floor().clamp(max=last - 1).long()
        at_t = torch.lerp(angle[below], angle[below + 1], step - below)
        return torch.sin(math.pi / 2 - at_t), torch.sin(at_t)

    return NoiseSchedule(coefficients, lambda t: t * last)


def schedule_from_diffusers(scheduler: Any, tokens: int | None = None) -> NoiseSchedule:
    """The continuous schedule behind a diffusers scheduler: flow matching, or a table of ``alphas_cumprod``.

    A scheduler that shifts its noise levels with the size of the picture needs to know its ``tokens``.

    Raises ValueError for a scheduler that is neither.
    """
    table = getattr(scheduler, "alphas_cumprod", None)
    if table is not None:
        return tabulated_schedule(table)
    if "FlowMatch" in type(scheduler).__name__:
        shift = float(scheduler.config.shift)
        if scheduler.config.get("use_dynamic_shifting", False):
            if tokens is None:
                raise ValueError(
                    "the scheduler shifts its noise levels with the image size (use_dynamic_shifting); say how many "
                    "tokens an image has, or set it to false in scheduler_config.json and choose a fixed 'shift'"
                )
            shift = shift_for(scheduler.config, tokens)
        return flow_schedule(shift, int(scheduler.config.num_train_timesteps))
    raise ValueError(f"{type(scheduler).__name__} has no alphas_cumprod and does no flow matching: use a DDPM-like one")


def shift_for(config: Any, tokens: int) -> float:
    """By how much a diffusers flow-matching scheduler shifts its noise levels for images of so many tokens.

    Linear in the number of tokens between the two sizes that its configuration names, or exponential in that.
    """
    low, high = float(config.base_shift), float(config.max_shift)
    fewest, most = int(config.base_image_seq_len), int(config.max_image_seq_len)
    mu = low + (high - low) * (tokens - fewest) / (most - fewest)
    return math.exp(mu) if config.get("time_shift_type", "exponential") == "exponential" else mu


def require_prediction(prediction: Prediction) -> None:
    """Raises ValueError for anything else, which would be taken for the last of the four."""
    if not isinstance(prediction, Prediction):
        known = ", ".join(f"Prediction.{kind.name}" for kind in Prediction)
        raise ValueError(f"a prediction is one of {known}, not {prediction!r}")


def x0_from(prediction: Prediction, output: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The clean image that a network's output stands for.

    With x_t = a x0 + s eps the four predictions are::

        eps              x0 = (x_t - s eps) / a
        x0               x0 = x0
        v    = a eps - s x0     x0 = (a x_t - s v) / (a^2 + s^2)       (Salimans & Ho 2022, appendix D)
        flow = eps - x0         x0 = (x_t - s flow) / (a + s)          (Lipman et al. 2023)

    The divisors of the last two are 1 for variance-preserving and for straight paths; written out they hold for all.

    Args:
        prediction: what ``output`` is.
        output, x_t: shape (batch, ...).
        alpha, sigma: shape (batch,).

    Raises:
        ValueError: if ``prediction`` is something else, such as a name ("epsilon" is ``Prediction("epsilon")``).
        DegenerateNoiseLevelError: for a noise prediction where alpha is near zero.
    """
    require_prediction(prediction)
    a, s = scale(alpha, x_t), scale(sigma, x_t)
    if prediction is Prediction.EPSILON:
        if float(alpha.min()) < SMALLEST_ALPHA:
            raise DegenerateNoiseLevelError(
                f"a noise prediction says nothing about the image at alpha = {float(alpha.min()):.2g}; "
                "keep t below this noise level, or use a teacher that predicts v, x0 or flow"
            )
        return (x_t - s * output) / a
    if prediction is Prediction.X0:
        return output
    if prediction is Prediction.V:
        return (a * x_t - s * output) / (a**2 + s**2)
    return (x_t - s * output) / (a + s)


def output_from_x0(prediction: Prediction, x0: Tensor, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The inverse of `x0_from`: what a network of this prediction type would return for the clean image ``x0``.

    Raises DegenerateNoiseLevelError for eps, v and flow where there is no noise to speak of (sigma near zero), and
    ValueError if ``prediction`` is something else.
    """
    require_prediction(prediction)
    if prediction is Prediction.X0:
        return x0
    if float(sigma.min()) < SMALLEST_ALPHA:
        raise DegenerateNoiseLevelError(
            f"there is no noise to recover at sigma = {float(sigma.min()):.2g}: keep t above it, or predict x0"
        )
    a, s = scale(alpha, x_t), scale(sigma, x_t)
    noise = (x_t - a * x0) / s
    if prediction is Prediction.EPSILON:
        return noise
    if prediction is Prediction.V:
        return a * noise - s * x0
    return noise - x0
