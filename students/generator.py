"""A student as a generator of the engine: what it draws is noise and a prompt, as a scene draws a camera."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from sds.denoiser import Condition
from sds.guidance import PromptConditions
from sds.precision import learning_type
from students.flow_map import even_jumps, sample_again
from students.prompts import Prompts
from students.student import Student


@dataclass(frozen=True)
class LatentDraw:
    """What a `FewStepGenerator` draws.

    Attributes:
        noise: standard normal, one tensor (batch, channels, height, width) for each of the student's times.
        conditional: the prompts as the student and its critic are told them.
        null: what is told beside them by those who are guided; asked for when it is first needed.
        jumps: (batch,), how many of the times each image goes through, falling.
    """

    noise: Sequence[Tensor]
    conditional: Condition
    null: Callable[[], Condition]
    jumps: Tensor

    @cached_property
    def conditions(self) -> PromptConditions:
        """What the denoisers are told."""
        return PromptConditions(self.conditional, self.null())


class FewStepGenerator(nn.Module):
    """Draws images from noise by one or a few jumps of a student.

    Of several steps each is trained as often as the others, by a part of each batch, after the student's own earlier
    steps.

    Args:
        student: what is trained.
        shape: (channels, height, width) of x.
        prompts: what is asked for.
        times: of the jumps, falling; the first need not be 1 (Diff-Instruct's initial noise level is a free choice).

    Raises:
        ValueError: for times that do not fall from at most 1 to above 0.
    """

    def __init__(
        self, student: Student, shape: tuple[int, ...], prompts: Prompts, times: Sequence[float] = (1.0,)
    ) -> None:
        super().__init__()
        if not times or list(times) != sorted(set(times), reverse=True) or not 0 < times[-1] <= times[0] <= 1:
            raise ValueError(f"the times of a student's steps must fall, within (0, 1], not {list(times)}")
        self.student, self.shape, self.prompts, self.times = student, shape, prompts, tuple(times)

    def draw(self, count: int, rng: torch.Generator) -> LatentDraw:
        """Noise and prompts for ``count`` images."""
        jumps = even_jumps(count, len(self.times), rng)
        parameter = next(self.student.parameters())
        dtype = learning_type(parameter.dtype)  # the frozen weights of a student of low rank may have fewer digits
        noise = [torch.randn(count, *self.shape, generator=rng).to(parameter.device, dtype) for _ in self.times]
        return LatentDraw(noise, *self.prompts.with_null(count, rng), jumps)

    def forward(self, draw: LatentDraw) -> Tensor:
        """x0 of shape (batch, channels, height, width), in the teacher's x."""
        return sample_again(self.student, draw.noise, self.times, draw.conditional, draw.jumps)

    def first_step(self, noise: Tensor, condition: Condition) -> Tensor:
        """The image of the first jump alone, from given noise (batch, ...)."""
        return sample_again(self.student, [noise], self.times[:1], condition)
