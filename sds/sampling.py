"""What a teacher draws by itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sds.denoiser import Condition, Denoiser, Teacher
from sds.guidance import Guidance, PromptConditions
from sds.schedule import NoiseSchedule
from sds.solvers import even_times, solve


@dataclass(frozen=True)
class Guided:
    """A teacher under guidance, as a denoiser like any other: the condition holds the prompt's rows, then the null's.

    Attributes:
        teacher: who denoises.
        guidance: how strongly the prompt is followed.
    """

    teacher: Teacher
    guidance: Guidance

    @property
    def schedule(self) -> NoiseSchedule:
        """The teacher's noise levels."""
        return self.teacher.schedule

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The guided x0 prediction for x_t of shape (batch, ...), told a condition of 2 batch rows."""
        return self.guided_and_null(x_t, t, condition)[0]

    def guided_and_null(self, x_t: Tensor, t: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """The guided x0 prediction and that for the null prompt, see `sds.solvers.GuidedDenoiser`."""
        conditional, unconditional = self.teacher(torch.cat([x_t, x_t]), torch.cat([t, t]), condition).chunk(2)
        return self.guidance(conditional, unconditional, t), unconditional


@torch.no_grad()
def sample(
    teacher: Teacher,
    conditions: PromptConditions,
    guidance: Guidance,
    rng: torch.Generator,
    steps: int = 20,
    at_once: int | None = None,
) -> Tensor:
    """Pictures by DDIM with guidance, from noise to image.

    Args:
        teacher: who draws.
        conditions: what it is told; one picture for each row.
        guidance: how strongly to follow the prompt.
        rng: of the initial noise.
        steps: evaluations; more are finer.
        at_once: pictures that are drawn together, which takes that much more memory; None for all.

    Returns:
        (batch, 3, height, width) in [0, 1].
    """
    count = len(conditions.conditional)
    noise = torch.randn(count, *teacher.shape, generator=rng).to(conditions.conditional.device)
    # A network that predicts noise says nothing about the image where there is none: begin just below.
    first = torch.full((count,), 1.0 if float(teacher.schedule.alpha(torch.ones(1))) == 0 else 0.999)
    times = even_times(first.double(), torch.zeros(count), steps)
    drawn = []
    for start in range(0, count, at_once or count):
        rows = slice(start, start + (at_once or count))
        denoiser: Denoiser = teacher  # at scale 1 the null prompt changes nothing
        told = conditions.conditional[rows]
        if guidance.scale != 1:
            denoiser = Guided(teacher, guidance)
            told = Condition.concatenate([told, conditions.unconditional[rows]])
        x0 = solve(denoiser, noise[rows], [t[rows] for t in times], told)
        drawn.append(teacher.decode(x0).clamp(0, 1))
    return torch.cat(drawn)
