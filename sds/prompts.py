"""What to say for which camera: view-dependent prompts, interpolated between directions, and Perp-Neg's negatives.

A teacher that knows views is told the prompt as it is and the camera as numbers. For all others the camera is put into
words ("a corgi, back view"), without which every side of an object tends to become its front (DreamFusion, Poole et al.
2022, section 3.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import torch
from torch import Tensor

from sds.denoiser import Condition, Teacher, View
from sds.guidance import PerpendicularNegative, PromptConditions

BAD_IMAGE = "unrealistic, blurry, low quality, out of focus, ugly, low contrast, dull, dark, low-resolution, gloomy"
"""The negative prompt of NFSD (Katzir et al. 2023, section 4)."""


OVERSATURATED = "oversaturated, smooth, pixelated, cartoon, foggy, hazy, blurry, bad structure, noisy, malformed"
"""How a bridge describes what SDS has made (McAllister et al. 2024, their program for threestudio)."""

NEGATIVES = {"nfsd": BAD_IMAGE, "bridge": f"{{prompt}}, {OVERSATURATED}"}
"""What those of `sds.baselines.METHODS` that need a negative prompt tell as one; {prompt} stands for the prompt."""


class Direction(Enum):
    """A direction from which an object is seen, and the words for it."""

    FRONT = "front view"
    SIDE = "side view"
    BACK = "back view"
    OVERHEAD = "overhead view"


@dataclass(frozen=True)
class Directions:
    """Where one direction ends and the next begins.

    With ``softness`` 0 each camera has one direction. With softness s two neighbours are mixed within s degrees of
    their border; 45 with the borders at 45 and 135 degrees is the linear interpolation from front over side to back
    that Perp-Neg (Armandpour et al. 2023) uses.

    Attributes:
        front_within: cameras up to this many degrees of azimuth from the front see the front.
        back_within: the same for the back.
        overhead_above: cameras above this elevation, in degrees, see the object from overhead.
        softness: half the width of the transitions in degrees.

    Raises:
        ValueError: if the directions overlap or do not exist.
    """

    front_within: float = 45.0
    back_within: float = 45.0
    overhead_above: float = 60.0
    softness: float = 45.0

    def __post_init__(self) -> None:
        if not 0 <= self.softness <= min(self.front_within, self.back_within):
            raise ValueError("the softness of view prompts must lie between 0 and the half-width of front and back")
        if self.front_within + self.back_within + 2 * self.softness > 180:
            raise ValueError(
                "front and back view overlap: front_within + back_within + 2 softness is above 180 degrees"
            )
        if not 0 <= self.overhead_above <= 90:
            raise ValueError(f"overhead_above must lie between 0 and 90 degrees, not {self.overhead_above}")

    def weights(self, view: View) -> Tensor:
        """How much of each `Direction` (in its order) each camera sees: (batch, 4), rows sum to 1."""
        from_front = degrees_from_front(view.azimuth)
        front = share_within(from_front, self.front_within, self.softness)
        back = share_within(180 - from_front, self.back_within, self.softness)
        from_top = 90 - torch.rad2deg(view.elevation).double()
        top_within = 90 - self.overhead_above
        overhead = share_within(from_top, top_within, min(self.softness, top_within))
        around = torch.stack([front, 1 - front - back, back], dim=1)
        return torch.cat([around * (1 - overhead)[:, None], overhead[:, None]], dim=1)


@dataclass(frozen=True)
class PerpNeg:
    """How strongly the view prompts that do not apply are pushed away: weight ``-scale (a exp(-b r) + c)``.

    r runs from 0 to 1 towards the view whose prompt is the negative; for the front as seen from behind, towards the
    side. The numbers are threestudio's: a curve (almost) vanishes where its view is the right one, and the front's two
    curves meet at the side view.

    Attributes:
        front_against_side: (a, b, c) of the front view as a negative between front and side; 0 at the front.
        side_against_front: of the side view there; 0 at the side.
        side_against_back: of the side view between side and back; 0 at the side.
        front_against_back: of the front view between side and back; strongest at the back.
        scale: multiplies all of them.
    """

    front_against_side: tuple[float, float, float] = (4.0, 0.5, -2.426)
    side_against_front: tuple[float, float, float] = (4.0, 0.5, -2.426)
    side_against_back: tuple[float, float, float] = (1.0, 0.5, -0.606)
    front_against_back: tuple[float, float, float] = (1.0, 0.5, 0.967)
    scale: float = 1.0

    def weights(self, view: View) -> tuple[Tensor, Tensor]:
        """The weights of the front and of the side view as negatives, each (batch,), at most about 0."""
        turn = degrees_from_front(view.azimuth) / 90  # 0 front, 1 side, 2 back
        before_side = turn <= 1
        front = torch.where(
            before_side, decay(self.front_against_side, 1 - turn), decay(self.front_against_back, 2 - turn)
        )
        side = torch.where(before_side, decay(self.side_against_front, turn), decay(self.side_against_back, 2 - turn))
        return -self.scale * front, -self.scale * side


@dataclass(frozen=True)
class PromptSet:
    """What a run says to its teacher.

    Attributes:
        prompt: what to make.
        unconditional: the null prompt, or a negative prompt to be told in its place.
        negative: "a bad image" (`BAD_IMAGE`) for methods that need one; None for none.
        directions: how cameras are put into words; None never does it, as for teachers whose prompts are classes.
        by_direction: whole prompts for single directions, in place of "<prompt>, <words of the direction>".
        perp_neg: pushes away from the view prompts that do not apply; None does not.
    """

    prompt: str
    unconditional: str = ""
    negative: str | None = None
    directions: Directions | None = field(default_factory=Directions)
    by_direction: Mapping[Direction, str] = field(default_factory=dict)
    perp_neg: PerpNeg | None = None

    def __post_init__(self) -> None:
        if self.perp_neg is not None and self.directions is None:
            raise ValueError("Perp-Neg works on view prompts: it needs 'directions'")

    def texts(self) -> list[str]:
        """Everything that may be said, for encoding it all before a teacher's text encoders are freed."""
        views = [self.said(direction) for direction in Direction] if self.directions is not None else []
        return [self.prompt, self.unconditional, *views, *([] if self.negative is None else [self.negative])]

    def said(self, direction: Direction) -> str:
        """The prompt for a camera in this direction."""
        return self.by_direction.get(direction, f"{self.prompt}, {direction.value}" if self.prompt else "")


class Critic(Protocol):
    """All that is needed of a `sds.critic.Critic` here."""

    def condition(self, prompts: Sequence[str], view: View | None) -> Condition:
        """What the critic is told."""
        ...


def condition_for(
    teacher: Teacher,
    prompts: PromptSet,
    view: View | None,
    count: int,
    critic: Critic | None = None,
    with_null: bool = True,
) -> PromptConditions:
    """What the denoisers are told about ``count`` images, one for each camera of ``view``.

    Cheap to call at every step: teachers that read text keep what they have encoded.

    Args:
        teacher: who is told.
        prompts: what is to be said.
        view: the cameras; None if there are none, as for a plain image.
        count: how many images.
        critic: told the prompt without words on the view, since it gets the camera as numbers. (Beside a teacher that
            knows views it is told the same as the teacher.)
        with_null: whether anybody will ask what the null prompt means, which nobody does at guidance scale 1; if not,
            what is told for the prompt stands in its place.

    Raises:
        ValueError: if ``view`` does not hold ``count`` cameras.
    """
    if view is not None and len(view.azimuth) != count:
        raise ValueError(f"there are {count} images but {len(view.azimuth)} cameras")

    def told(prompt: str) -> Condition:
        return teacher.condition([prompt] * count, view)

    conditional: Condition | None = None
    perpendicular: Sequence[PerpendicularNegative] = ()
    if view is not None and prompts.directions is not None and not teacher.knows_views:
        weights = prompts.directions.weights(view).cpu()
        conditional = said_for_view(teacher, prompts, view, weights)
        perpendicular = perpendicular_negatives(teacher, prompts, view, weights)
    conditional = told(prompts.prompt) if conditional is None else conditional
    return PromptConditions(
        conditional=conditional,
        unconditional=told(prompts.unconditional) if with_null else conditional,
        negative=None if prompts.negative is None else told(prompts.negative),
        reference=None if critic is None or teacher.knows_views else critic.condition([prompts.prompt] * count, view),
        perpendicular=perpendicular,
    )


def said_for_view(teacher: Teacher, prompts: PromptSet, view: View, weights: Tensor) -> Condition:
    """The view prompts of each camera, mixed by ``weights`` of shape (batch, 4), see `Directions.weights`."""
    conditions, shares = [], []
    for direction, weight in zip(Direction, weights.unbind(1), strict=True):
        if weight.any():
            conditions.append(teacher.condition([prompts.said(direction)] * len(weight), view))
            shares.append(weight)
    mixed, total = conditions[0], shares[0]
    for condition, share in zip(conditions[1:], shares[1:], strict=True):
        total = total + share
        mixed = mixed.lerp(condition, share / total.clamp(min=1e-12))
    return mixed


def perpendicular_negatives(
    teacher: Teacher, prompts: PromptSet, view: View, weights: Tensor
) -> tuple[PerpendicularNegative, ...]:
    """Perp-Neg's negatives for each camera: the front and the side view, less the more it looks from overhead."""
    if prompts.perp_neg is None:
        return ()
    level = 1 - weights[:, -1]
    return tuple(
        PerpendicularNegative(teacher.condition([prompts.said(direction)] * len(level), view), weight.cpu() * level)
        for direction, weight in zip((Direction.FRONT, Direction.SIDE), prompts.perp_neg.weights(view), strict=True)
    )


def degrees_from_front(azimuth: Tensor) -> Tensor:
    """How far cameras are from the front, in degrees from 0 to 180; any number of turns is taken off first."""
    return torch.rad2deg(torch.atan2(azimuth.double().sin(), azimuth.double().cos()).abs())


def share_within(angle: Tensor, border: float, softness: float) -> Tensor:
    """1 for angles inside of ``border``, 0 outside, linear within ``softness`` of it. All in degrees."""
    if softness == 0:
        return (angle <= border).double()
    return ((border + softness - angle) / (2 * softness)).clamp(0, 1)


def decay(curve: tuple[float, float, float], r: Tensor) -> Tensor:
    """``a exp(-b r) + c`` for a curve (a, b, c)."""
    a, b, c = curve
    return a * torch.exp(-b * r) + c
