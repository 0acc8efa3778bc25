"""Targets that the student helps to make: a short way by somebody else, the rest by the student's own jump.

    x_t --(somebody: t -> u)--> x_u --(the student: u -> s)--> x_s,       x0 = ddim_target(x_t, x_s)

    ===========================  ====================  =======================  ============================
    method                       somebody              end s                    student
    ===========================  ====================  =======================  ============================
    `consistency`   CD           one teacher step      0                        average
    at random guidance  LCM      one guided step       0                        average
    `consistency_training` CT    the data: same noise  0                        average (iCT: itself)
    `tract`         TRACT        one teacher step      end of t's segment       average
    `trajectory_consistency` CTM  several steps        any                      average
    `shortcut`                   the student itself    t - 2d                   itself
    `boot`          BOOT         the student: 1 -> t   then the teacher: t -> s itself
    `mean_flow.mean_flow`        the limit u -> t      any                      itself, differentiated
    ===========================  ====================  =======================  ============================

A jump of no length changes nothing, so each chain ends in the teacher's own step where its segment ends: that is the
boundary condition from which all else is learned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from sds.denoiser import Denoiser
from sds.schedule import NoiseSchedule
from sds.solvers import Solver, ddim, ddim_step, even_times, heun, solve
from students.flow_map import flow
from students.methods.levels import Levels, LevelsOverRun, Shares, neighbours
from students.methods.targets import Learning, Objective, Target, leading_to, truncated_snr
from students.training.batches import Batch


def consistency(teacher: Denoiser, levels: Levels, solver: Solver = heun) -> Objective:
    """Consistency distillation (Song et al. 2023, algorithm 2): two neighbours on a path lead to one image.

    ::

        x_u = one step of the teacher;   x_0 = the average's jump u -> 0

    Its fixed point is the teacher's solver over all levels. With a `GuidedTeacher`, the first-order step, few levels
    and `at_random_guidance` it is LCM (Luo et al. 2023), whose distance is a pseudo-Huber one.
    """

    def objective(learning: Learning, batch: Batch) -> Target:
        t, u, _ = neighbours(levels, len(batch), learning.rng)
        x_t = teacher.schedule.add_noise(batch.x0, batch.noise, t)
        x_u = solver(teacher, x_t, t, u, batch.condition)
        s = torch.zeros_like(t)
        x_s = flow(learning.average, x_u, u, s, batch.condition)
        return leading_to(teacher.schedule, x_s, x_t, t, s, batch.condition, torch.ones_like(t))

    return objective


def inverse_gap(schedule: NoiseSchedule, t: Tensor, u: Tensor) -> Tensor:
    """1 / (sigma / alpha at t - that at u): iCT's weight, which is large for small noise. Shape (batch,)."""
    deviation_t, deviation_u = (sigma / alpha for alpha, sigma in (schedule(t), schedule(u)))
    return 1 / (deviation_t - deviation_u)


def equal_weight(schedule: NoiseSchedule, t: Tensor, u: Tensor) -> Tensor:
    """1: that of consistency training and distillation. Shape (batch,)."""
    del schedule, u
    return torch.ones_like(t)


def consistency_training(
    schedule: NoiseSchedule,
    levels: LevelsOverRun,
    weight: Callable[[NoiseSchedule, Tensor, Tensor], Tensor] = equal_weight,
    shares: Shares | None = None,
) -> Objective:
    """Consistency training (Song et al. 2023, algorithm 3): no teacher, the data and one noise make both neighbours.

    ::

        x_u = alpha_u x0 + sigma_u noise;   x_0 = the average's jump u -> 0

    For any number of levels its population optimum is that of consistency distillation by DDIM: more levels, less
    error, more variance. `inverse_gap`, `lognormal_shares`, the pseudo-Huber distance, an undelayed average and
    doubling numbers of levels are iCT's (Song & Dhariwal 2024).

    Args:
        schedule: the noise levels.
        levels: from the progress of the stage to levels below 1 (at pure noise sigma / alpha is infinite).
        weight: of an image, from the schedule, t and u.
        shares: of the levels.
    """

    def objective(learning: Learning, batch: Batch) -> Target:
        t, u, _ = neighbours(levels(learning.progress), len(batch), learning.rng, shares)
        x_t, x_u = (schedule.add_noise(batch.x0, batch.noise, time) for time in (t, u))
        s = torch.zeros_like(t)
        x_s = flow(learning.average, x_u, u, s, batch.condition)
        return leading_to(schedule, x_s, x_t, t, s, batch.condition, weight(schedule, t, u))

    return objective


def tract(teacher: Denoiser, levels: Levels, segments: int, solver: Solver = ddim) -> Objective:
    """Transitive closure (Berthelot et al. 2023): like consistency, but each segment of levels has its own end.

    ::

        x_u = one step of the teacher;   x_s = average's jump u -> s, the end of t's segment;   x0 = ddim_target(x_s)

    The student then takes ``segments`` steps; the fixed point is the teacher's path over each segment. In the next
    stage it is the teacher and there are fewer segments, at last one. Raises ValueError if the segments are not equal.
    """
    count = len(levels) - 1
    if segments < 1 or count % segments:
        raise ValueError(f"{count} levels cannot be cut into {segments} equal segments")
    table, length = torch.tensor(levels, dtype=torch.float64), count // segments

    def objective(learning: Learning, batch: Batch) -> Target:
        t, u, index = neighbours(levels, len(batch), learning.rng)
        s = table[(index - 1) // length * length]
        x_t = teacher.schedule.add_noise(batch.x0, batch.noise, t)
        x_u = solver(teacher, x_t, t, u, batch.condition)
        x_s = flow(learning.average, x_u, u, s, batch.condition)
        weight = truncated_snr(teacher.schedule, t)
        return leading_to(teacher.schedule, x_s, x_t, t, s, batch.condition, weight)

    return objective


def trajectory_consistency(
    teacher: Denoiser, levels: Levels, most_steps: int = 8, solver: Solver = heun, to_image: float = 0.0
) -> Objective:
    """Consistency trajectory models (Kim et al. 2024, equation 10): from any t to any s, by way of any u between.

    ::

        x_u = up to ``most_steps`` steps of the teacher;   x_s = average's jump u -> s
        compared after a further jump s -> 0 of the average, so that all s are measured in images

    Needs a student that is told the end. The paper adds `targets.denoising` and an adversarial term.

    Args:
        teacher: whose paths they are.
        levels: where they begin and end.
        most_steps: of the teacher at once.
        solver: of its steps.
        to_image: share of the jumps that end at the image, beside those that do so by chance: of the paper's, which are
            even, one in so many as there are levels.
    """
    table = torch.tensor(levels, dtype=torch.float64)

    def objective(learning: Learning, batch: Batch) -> Target:
        count, rng = len(batch), learning.rng
        t_index = torch.randint(1, len(table), (count,), generator=rng)
        s_index = (torch.rand(count, generator=rng) * t_index).long()
        if to_image:
            s_index[torch.rand(count, generator=rng) < to_image] = 0
        most = (t_index - s_index).clamp(max=most_steps)
        u_index = t_index - 1 - (torch.rand(count, generator=rng) * most).long()
        t, u, s = table[t_index], table[u_index], table[s_index]

        x_t = teacher.schedule.add_noise(batch.x0, batch.noise, t)
        taken = int((t_index - u_index).max())
        x_u = solve(teacher, x_t, even_times(t, u, taken), batch.condition, solver)
        x_s = flow(learning.average, x_u, u, s, batch.condition)

        def as_image(predicted: Tensor) -> Tensor:
            at_s = ddim_step(teacher.schedule, x_t, predicted, t, s)
            return flow(learning.average, at_s, s, torch.zeros_like(s), batch.condition)

        target = leading_to(teacher.schedule, x_s, x_t, t, s, batch.condition, torch.ones_like(t))
        return replace(target, compared=as_image)

    return objective


def shortcut(schedule: NoiseSchedule, halvings: int) -> Objective:
    """Shortcut models (Frans et al. 2024, equation 5): one jump equals two jumps of half its length.

    ::

        d = 2^-k, k = 1 ... ``halvings``;   t a multiple of 2 d;   x_s = two jumps of the average: t -> t - d -> t - 2d

    The shortest d counts as no length at all: its jumps are what `targets.denoising`, which is needed beside this,
    teaches. Needs a student that is told the end, and a slow average (0.98 or more): it feeds on itself, and with a
    fast one it runs away.
    """

    def objective(learning: Learning, batch: Batch) -> Target:
        k = torch.randint(1, halvings + 1, (len(batch),), generator=learning.rng)
        jumps = 2.0 ** (k.double() - 1)  # how many jumps of length 2 d there are
        index = (torch.rand(len(batch), generator=learning.rng).double() * jumps).floor() + 1
        t, u, s = index / jumps, (index - 0.5) / jumps, (index - 1) / jumps
        x_t = schedule.add_noise(batch.x0, batch.noise, t)

        def half_jump(x: Tensor, start: Tensor, end: Tensor) -> Tensor:
            told = torch.where(k == halvings, start, end)
            return ddim_step(schedule, x, learning.average(x, start, told, batch.condition), start, end)

        x_s = half_jump(half_jump(x_t, t, u), u, s)
        return leading_to(schedule, x_s, x_t, t, s, batch.condition, torch.ones_like(t))

    return objective


def boot(teacher: Denoiser, levels: Levels, solver: Solver = ddim) -> Objective:
    """BOOT (Gu et al. 2023, equation 10): data-free, from the noise to ever later states of its path.

    ::

        y = student(noise, 1 -> t);  x_t = alpha_t y + sigma_t noise;  x_s = one step of the teacher;
        x0 = ddim_target(noise, x_s, 1 -> s) = y + share (D(x_t) - y),   weight 1 / share^2,
        share = 1 - (sigma_s alpha_t) / (alpha_s sigma_t)

    Needs a student that is told the end. At t = 1 x0 is the teacher's own prediction, with weight 1: the paper's
    boundary term is the first of the levels here. (Where alpha(1) > 0 the share of that step is below 1, but the noise
    has no y yet whose error it could carry on.)
    """

    def objective(learning: Learning, batch: Batch) -> Target:
        t, s, _ = neighbours(levels, len(batch), learning.rng)
        start = torch.ones_like(t)
        x_t = flow(learning.student, batch.noise, start, t, batch.condition)
        x_s = solver(teacher, x_t, t, s, batch.condition)
        (alpha_t, sigma_t), (alpha_s, sigma_s) = teacher.schedule(t), teacher.schedule(s)
        share = torch.where(t == start, 1.0, 1 - sigma_s * alpha_t / (alpha_s * sigma_t))
        return leading_to(teacher.schedule, x_s, batch.noise, start, s, batch.condition, share**-2)

    return objective
