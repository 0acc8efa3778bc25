"""What a student is asked to draw while it learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sds.denoiser import Condition, Teacher, View

Asked = tuple[list[str], View | None]
"""Prompts, and the view of each."""

ViewSource = Callable[[int, torch.Generator], View]
"""(count, rng) -> that many views, for teachers that know them."""


@dataclass(frozen=True)
class Prompts:
    """Prompts to choose from, all equally often.

    Attributes:
        teacher: who understands them.
        texts: at least one.
        views: from where to look; None if the teacher knows no views.
        negative: told in place of the null prompt.
        together: (count, rng) -> prompts and views that belong together, in place of any of ``texts`` from any of
            ``views``: where real pictures are compared with a student's, both must be asked for alike.

    Raises:
        ValueError: if there is no prompt, or a teacher that knows views is given none.
    """

    teacher: Teacher
    texts: Sequence[str]
    views: ViewSource | None = None
    negative: str = ""
    together: Callable[[int, torch.Generator], Asked] | None = None

    def __post_init__(self) -> None:
        if not self.texts:
            raise ValueError("a student needs at least one prompt to learn")
        if self.teacher.knows_views and self.views is None:
            raise ValueError("this teacher draws objects from a camera: say from which views the student shall learn")

    def draw(self, count: int, rng: torch.Generator) -> Asked:
        """``count`` prompts and views."""
        if self.together is not None:
            return self.together(count, rng)
        chosen = torch.randint(len(self.texts), (count,), generator=rng)
        return [self.texts[i] for i in chosen], self.views(count, rng) if self.views else None

    def condition(self, count: int, rng: torch.Generator) -> Condition:
        """The teacher's condition for ``count`` prompts."""
        return self.teacher.condition(*self.draw(count, rng))

    def with_null(self, count: int, rng: torch.Generator) -> tuple[Condition, Callable[[], Condition]]:
        """Conditions for ``count`` prompts, and how to get those of the null prompt beside them.

        The latter are the former where there is no null prompt. Telling a teacher something may cost as much as asking
        it, and not all who learn from a draw are guided.
        """
        texts, view = self.draw(count, rng)
        conditional = self.teacher.condition(texts, view)
        if not self.negative and not getattr(self.teacher, "has_null", True):
            return conditional, lambda: conditional
        return conditional, lambda: self.teacher.condition([self.negative] * count, view)


@dataclass(frozen=True)
class StoredView:
    """A `View` that is nothing but numbers: see `sds.denoiser.View` for shapes."""

    azimuth: Tensor
    elevation: Tensor
    background: Tensor

    def part(self, chosen: Tensor) -> StoredView:
        """The views at the indices ``chosen``."""
        return StoredView(self.azimuth[chosen], self.elevation[chosen], self.background[chosen])

    def tensors(self) -> dict[str, Tensor]:
        """Its numbers under names for a file that holds other tensors, too."""
        return {f"view.{name}": value for name, value in vars(self).items()}

    @staticmethod
    def among(tensors: Mapping[str, Tensor]) -> StoredView | None:
        """The view that `tensors` put into a file; None if there is none. Raises TypeError if it is not whole."""
        found = {name.removeprefix("view."): value for name, value in tensors.items() if name.startswith("view.")}
        return StoredView(**found) if found else None
