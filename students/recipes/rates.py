"""How fast a student learns: rates and averages that follow from the size of the network, the batch and the run.

Rates were measured on a small teacher (see `examples/compare_students`). For another one they are scaled by what is
known about Adam::

    rate = measured * sqrt(weights there / weights here) * sqrt(batch here / batch there)

Adam's best rate falls with the width of a network (Yang et al. 2021, muP), and the number of weights grows with its
square; with the batch it grows like a square root (Malladi et al. 2022). From 0.7 million weights to the 860 million
of Stable Diffusion 1.5 that is a factor of 35, which brings 3e-4 and 1e-3 near to the 1e-5 that DMD2 and LCM take.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, exp, log, sqrt

from torch import nn

MEASURED_WEIGHTS, MEASURED_BATCH = 704_000, 32
"""Of the network, and of the trainings, where rates were measured."""

REGRESSION = 1e-3
"""Measured rate of regressions: on paths of the teacher, or on the student's own predictions."""

CONTINUOUS = 5e-4
"""Measured rate of sCM: its targets hold the student's own derivative, which at 1e-3 runs away."""

MATCHING = 3e-4
"""Measured rate where a critic has to follow."""

ADVERSARIAL = 1e-4
"""Measured rate where a discriminator has to follow."""

FLOW = 1e-3
"""Rate of a flow of known density, at which it learns a Gaussian. On digits no rate that was tried arrives."""

ADVERSARIAL_BETAS = (0.0, 0.99)
"""Adam's, of a student that learns from a discriminator: no momentum. What the discriminator said ten steps ago it has
learned better since, and a student that still follows it circles around what is right. With the usual (0.9, 0.999) no
student of UFOGen, LADD or a denoising diffusion GAN arrived at any rate."""

ADVERSARIAL_SMOOTHING = 1 / 10
"""The share of such a run over which weights are averaged: what is left of the circling goes with it."""

LORA_FASTER = 10.0
"""How much faster low-rank corrections learn than all weights, whatever their rank (Schulman 2025, "LoRA Without
Regret"; not measured here)."""


def scaled_rate(measured: float, network: nn.Module, batch_size: int) -> float:
    """The rate for a network and a batch, where ``measured`` was best for those of the measurement."""
    weights = sum(parameter.numel() for parameter in network.parameters())
    return measured * sqrt(MEASURED_WEIGHTS / max(1, weights)) * sqrt(batch_size / MEASURED_BATCH)


def chain_average(steps: int, levels: int, share: float = 1 / 3, slowest: float = 0.95) -> float:
    """The decay of the average from which a student learns that passes images down through ``levels``.

    What is true at the image has to climb through all levels, and at each it waits for the average, 1 / (1 - decay)
    steps. Where the whole climb is to take a ``share`` of the run::

        levels / (1 - decay) = share * steps

    (Exact regressions on 16 levels converge in 16 sweeps without an average, in 73 with 0.5, in 879 with 0.95.) Never
    slower than ``slowest``, that of LCM, and never faster than one half: a student that follows itself falls apart.
    """
    return min(slowest, max(0.5, 1 - levels / max(1.0, share * steps)))


def growing_levels(steps: int, first: int = 2, last: int = 150) -> Callable[[float], int]:
    """Consistency training's number of levels over the run (Song et al. 2023, appendix C).

    ::

        N = ceil(sqrt(progress ((last + 1)^2 - first^2) + first^2)) - 1

    The paper climbs 150 levels in 800,000 steps. Shorter runs climb as many as the root of the number of their steps.
    """
    last = max(first, min(last, round(sqrt(steps))))

    def count(progress: float) -> int:
        return max(first, ceil(sqrt(progress * ((last + 1) ** 2 - first**2) + first**2)) - 1)

    return count


def growing_average(
    steps: int, count: Callable[[float], int], first: int = 2, decay: float = 0.9
) -> Callable[[float], float]:
    """Consistency training's mu(k) = exp(first log decay / N(k)) (Song et al. 2023): slower with more levels.

    In a run of few steps it is `chain_average`, without which nothing would arrive at the highest level.
    """
    return lambda progress: min(exp(first * log(decay) / count(progress)), chain_average(steps, count(progress)))
