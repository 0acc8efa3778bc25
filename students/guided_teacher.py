"""A teacher whose every prediction is guided, so that students learn the guided paths."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sds.denoiser import Condition, Teacher, View
from sds.guidance import Guidance
from students.student import GUIDANCE_SCALE
from students.teachers import AroundTeacher, can_be_guided

NULL = "null "
"""Before the names of the null prompt's tensors in a condition of `GuidedTeacher`."""


class GuidedTeacher(AroundTeacher):
    """A teacher whose every prediction is guided, so that whole paths can be: null + scale (conditional - null).

    Its conditions carry the null prompt's tensors and the scale beside the prompt's own, which a student reads as ever.

    Args:
        teacher: what is guided.
        guidance_scale: of conditions that are made; `with_guidance` changes it for each image.
        negative: told in place of the null prompt.
        guidance: all else about guidance; its own scale is not used.
    """

    def __init__(
        self, teacher: Teacher, guidance_scale: float, negative: str = "", guidance: Guidance | None = None
    ) -> None:
        super().__init__(teacher)
        self.guidance_scale, self.negative = guidance_scale, negative
        self.guidance = guidance or Guidance(guidance_scale)

    def condition(self, prompts: Sequence[str], view: View | None) -> Condition:
        """What prompt, null prompt and guidance say, in one condition.

        A teacher without a null prompt is told the prompt in its place: no guidance changes what it says.
        """
        told = self.teacher.condition(prompts, view).tensors
        null = told
        if self.negative or can_be_guided(self.teacher):
            null = self.teacher.condition([self.negative] * len(prompts), view).tensors
        device = next(iter(told.values())).device
        scales = torch.full((len(prompts),), self.guidance_scale, device=device)
        return Condition({**told, **{NULL + name: tensor for name, tensor in null.items()}, GUIDANCE_SCALE: scales})

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The guided prediction, by one call of the teacher. Raises ValueError for a condition of another teacher."""
        if bool((self._scales(condition) == 1).all()):
            return self.teacher(x_t, t, condition)
        return self.guided_and_null(x_t, t, condition)[0]

    def guided_and_null(self, x_t: Tensor, t: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """The guided x0 prediction and that for the null prompt, see `sds.solvers.GuidedDenoiser`."""
        scales = self._scales(condition)
        null = {name.removeprefix(NULL): value for name, value in condition.tensors.items() if name.startswith(NULL)}
        both = Condition.concatenate([Condition({name: condition.tensors[name] for name in null}), Condition(null)])
        conditional, unconditional = self.teacher(torch.cat([x_t, x_t]), torch.cat([t, t]), both).chunk(2)
        return self.guidance(conditional, unconditional, t, scales), unconditional

    def _scales(self, condition: Condition) -> Tensor:
        if GUIDANCE_SCALE not in condition.tensors or not any(name.startswith(NULL) for name in condition.tensors):
            raise ValueError("a guided teacher needs a condition of its own: it must carry the null prompt too")
        return condition.tensors[GUIDANCE_SCALE]


def with_guidance(condition: Condition, scales: Tensor) -> Condition:
    """A condition of `GuidedTeacher` with other guidance scales, shape (batch,)."""
    return Condition({**condition.tensors, GUIDANCE_SCALE: scales.to(condition.tensors[GUIDANCE_SCALE])})
