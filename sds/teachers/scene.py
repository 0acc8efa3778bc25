"""From what was understood to one field in space: which variant of each thing, how it is painted, shaped and placed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from sds.teachers.embedded_words import Thing, Understanding
from sds.teachers.layers import LUMINANCE_SCALE
from sds.teachers.materials import Paint, paint_of
from sds.teachers.shape_prior import CHANNELS, HALF_SIDE, ShapePrior, cell_centres

OBJECT_RADIUS = 0.9
"""What is shown fills this much of the unit sphere, the largest ball that the cameras see whole."""

_STRETCH: dict[str, tuple[float, float, float]] = {
    "tall": (1.0, 1.5, 1.0),
    "short": (1.0, 0.62, 1.0),
    "wide": (1.5, 1.0, 1.0),
    "narrow": (0.66, 1.0, 1.0),
    "thin": (0.7, 1.0, 0.7),
    "thick": (1.35, 1.0, 1.35),
}
_SIZE = {"small": 0.6, "big": 1.6}
_LONG = 1.5
PROPORTIONS = (*_STRETCH, "long", *_SIZE)
"""The sizes and shapes that a scene can be made in."""
_LEAST_RELATIVE_SIZE = 0.42
"""A mug beside a wardrobe is drawn this large, or it could not be seen."""
_GAP = 0.06
_AT_THE_SURFACE = 0.6
"""Cells whose distance is within this, in units of the truncation, are what is seen of a thing."""
_GLEAM = 1.1
"""The most luminance of what is painted; 1 is the paint's own."""


@dataclass(frozen=True)
class Placed:
    """A field and where it stands: a point p of it is at ``scale p + shift`` of the scene.

    Attributes:
        field: (`CHANNELS`, S, S, S).
        scale, shift: (3,).
    """

    field: Tensor
    scale: Tensor
    shift: Tensor

    def occupied(self) -> Tensor:
        """(P, 3) where in the scene the inside of the field is."""
        inside = self.field[0] < 0
        return cell_centres(inside.shape[0], inside.device)[inside.flatten()] * self.scale + self.shift

    def box(self) -> tuple[Tensor, Tensor]:
        """The lowest and the highest corner of what is inside, (3,) each."""
        points = self.occupied()
        if not len(points):
            return self.shift - self.scale, self.shift + self.scale
        return points.min(0).values, points.max(0).values

    def moved(self, by: Tensor) -> Placed:
        """The same, moved."""
        return replace(self, shift=self.shift + by)

    def grown(self, factor: float) -> Placed:
        """The same, larger, seen from the origin of the scene."""
        return replace(self, scale=self.scale * factor, shift=self.shift * factor)


def variants_of(prior: ShapePrior, thing: Thing) -> list[int]:
    """The rows of the prior's codes that may be meant: those of the finer name, or else all of the noun."""
    nouns, fine_names = prior.config["variants"], prior.config["fine_names"]
    rows = [row + 1 for row, noun in enumerate(nouns) if noun == thing.noun]
    finer = [row for row in rows if thing.fine is not None and fine_names[row - 1] == thing.fine]
    return finer or rows


def candidates_of(prior: ShapePrior, understood: Understanding) -> int:
    """How many different scenes may be meant."""
    counts = [len(variants_of(prior, thing)) for thing in understood.things]
    return max(counts, default=1)


def rows_of(prior: ShapePrior, understood: Understanding, number: int) -> list[int]:
    """The code of each thing in the scene of this number; [0], anything at all, where nothing was understood."""
    chosen = []
    for thing in understood.things:
        rows = variants_of(prior, thing)
        chosen.append(rows[number % len(rows)])
    return chosen or [0]


@dataclass(frozen=True)
class Scene:
    """What is imagined of a prompt.

    Attributes:
        field: (`CHANNELS`, S, S, S).
        paint: what the paintable parts are still to be painted with. A thing alone is painted when it is seen, as
            finely as it is seen; where several are together, each has been painted already.
    """

    field: Tensor
    paint: Paint | None = None


def imagined_scene(
    prior: ShapePrior, understood: Understanding, number: int, thing_field: Callable[[int], Tensor]
) -> Scene:
    """The scene of what was understood.

    Args:
        prior: knows the things.
        understood: the prompt.
        number: which of the scenes that may be meant.
        thing_field: what the prior imagines of a row of its codes, see `ShapePrior.field`, on the host: how things are
            placed depends on numbers that are read off them.

    Returns:
        A field of as many cells as the things have.
    """
    rows = rows_of(prior, understood, number)
    device = prior.code.weight.device
    fields = [evenly_painted(thing_field(row)) for row in rows]
    if not understood.things:
        return Scene(fields[0].to(device))
    first = understood.things[0]
    if len(rows) == 1 and first.count == 1 and not _stretch_of(first, fields[0]):
        return Scene(fields[0].to(device), paint_of(first.colour, first.material))
    painted = [painted_field(field, thing) for field, thing in zip(fields, understood.things, strict=True)]
    sizes = [float(prior.config["sizes"][row - 1]) for row in rows]
    things = [_standing(field, thing) for field, thing in zip(painted, understood.things, strict=True)]
    things = _relative_sizes(things, sizes, understood.things)
    groups = [_in_a_row(thing, words.count) for thing, words in zip(things, understood.things, strict=True)]
    return Scene(union(fitted(_related(groups, understood.relation)), fields[0].shape[-1]).to(device))


def evenly_painted(field: Tensor) -> Tensor:
    """The field (`CHANNELS`, S, S, S) with a luminance that is 1 at the middle one of its paintable parts.

    What a prompt names a colour of is to have that colour. What was learned is relative to the mean of a model, which
    for one whose texture holds the gleam of a lamp is brighter than most of it, and for a black one means little. What
    gleams is no brighter than `_GLEAM` afterwards.
    """
    paintable = (field[0].abs() < _AT_THE_SURFACE) & (field[4] > 0.5)
    if not paintable.any():
        return field
    even = field.clone()
    middle = field[5][paintable].median().clamp(min=0.1) * LUMINANCE_SCALE
    even[5] = (field[5] / middle).clamp(max=_GLEAM / LUMINANCE_SCALE)
    return even


def painted_field(field: Tensor, thing: Thing) -> Tensor:
    """The field with its paintable parts in the thing's colour and material, for good."""
    paint = paint_of(thing.colour, thing.material)
    colour, share, luminance = field[1:4], field[4:5], field[5:6]
    done = field.clone()
    done[4] = 0
    if paint is not None:
        points = cell_centres(field.shape[-1], field.device)
        cover = paint.colour_at(points).T.unflatten(1, field.shape[1:])
        covered = (luminance * LUMINANCE_SCALE * cover).clamp(max=1)
        done[1:4] = colour * (1 - share) + covered * share
    return done


def fitted(things: Sequence[Placed]) -> list[Placed]:
    """The scene in the middle of the ball of `OBJECT_RADIUS`, as large as it fits."""
    points = torch.cat([thing.occupied() for thing in things])
    if not len(points):
        return list(things)
    centre = (points.min(0).values + points.max(0).values) / 2
    radius = float((points - centre).norm(dim=1).max())
    return [thing.moved(-centre).grown(OBJECT_RADIUS / max(radius, 1e-6)) for thing in things]


def union(things: Sequence[Placed], side: int) -> Tensor:
    """One field of all: at each point what the nearest thing says, (`CHANNELS`, side, side, side)."""
    points = cell_centres(side, things[0].field.device)
    total = torch.zeros(len(points), CHANNELS)
    total[:, 0] = 1.0
    for thing in things:
        place = (points - thing.shift) / thing.scale / HALF_SIDE
        near = (place.abs() <= 1).all(1)
        read = F.grid_sample(
            thing.field[None],
            place[near][None, None, None],
            mode="bilinear",
            padding_mode="border",
            align_corners=False,
        )[0, :, 0, 0].T
        read[:, 0] = (read[:, 0] * float(thing.scale.min())).clamp(-1, 1)
        saturated = read[:, 0].abs() >= 0.97 * float(thing.scale.min())
        read[saturated, 0] = read[saturated, 0].sign()
        read[:, 6:9] = F.normalize(read[:, 6:9] / thing.scale, dim=1)
        before = total[near]
        total[near] = torch.where((read[:, :1] < before[:, :1]), read, before)
    return total.T.unflatten(1, (side,) * 3).contiguous()


def _stretch_of(thing: Thing, field: Tensor) -> tuple[float, float, float] | None:
    stretch = [1.0, 1.0, 1.0]
    for word in thing.proportions:
        for axis, factor in enumerate(_STRETCH.get(word, (1.0, 1.0, 1.0))):
            stretch[axis] *= factor
        if word == "long":
            low, high = Placed(field, torch.ones(3), torch.zeros(3)).box()
            stretch[0 if high[0] - low[0] >= high[2] - low[2] else 2] *= _LONG
    return None if stretch == [1.0, 1.0, 1.0] else (stretch[0], stretch[1], stretch[2])


def _standing(field: Tensor, thing: Thing) -> Placed:
    """The thing with its proportions, on the floor, in the middle."""
    stretch = _stretch_of(thing, field) or (1.0, 1.0, 1.0)
    placed = Placed(field, torch.tensor(stretch), torch.zeros(3))
    low, high = placed.box()
    return placed.moved(-torch.stack([(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2]))


def _relative_sizes(things: list[Placed], sizes: list[float], words: Sequence[Thing]) -> list[Placed]:
    """The things as large as they are beside one another, within reason."""
    if len(things) == 1:
        return things
    wanted = []
    for size, thing in zip(sizes, words, strict=True):
        factor = 1.0
        for word in thing.proportions:
            factor *= _SIZE.get(word, 1.0)
        wanted.append((size or 0.6) * factor)
    largest = max(wanted)
    grown = []
    for placed, size in zip(things, wanted, strict=True):
        low, high = placed.box()
        grown.append(placed.grown(max(size / largest, _LEAST_RELATIVE_SIZE) / float((high - low).max())))
    return grown


def _in_a_row(thing: Placed, count: int) -> list[Placed]:
    low, high = thing.box()
    width = float(high[0] - low[0])
    pitch = width * (1 + 2 * _GAP)
    return [thing.moved(torch.tensor([pitch * (i - (count - 1) / 2), 0.0, 0.0])) for i in range(count)]


def _box_of(group: Sequence[Placed]) -> tuple[Tensor, Tensor]:
    boxes = [thing.box() for thing in group]
    return torch.stack([low for low, _ in boxes]).min(0).values, torch.stack([high for _, high in boxes]).max(0).values


def _related(groups: list[list[Placed]], relation: str | None) -> list[Placed]:
    """All things of all groups; the first stands to the second as `relation` says, further ones stand beside."""
    placed = list(groups[0])
    for index, group in enumerate(groups[1:]):
        how = relation if index == 0 else "beside"
        placed = _beside(placed, group, how)
    return placed


def _beside(first: list[Placed], second: list[Placed], relation: str | None) -> list[Placed]:
    (low, high), (other_low, other_high) = _box_of(first), _box_of(second)
    gap = _GAP * float(max((high - low).max(), (other_high - other_low).max()))
    shift = torch.zeros(3)
    if relation == "on":
        shift[1] = _top_at_the_middle(second) - low[1]
    elif relation == "under":
        shift[1] = other_low[1] - low[1]
        lift = torch.tensor([0.0, max(0.0, float(high[1] - _underside(second))), 0.0])
        second = [thing.moved(lift) for thing in second] if _underside(second) <= 0.05 else second
        first = _below(first, second)
        low, high = _box_of(first)
    elif relation == "in front of":
        shift[2] = other_high[2] - low[2] + gap
    elif relation == "behind":
        shift[2] = other_low[2] - high[2] - gap
    else:
        shift[0] = other_low[0] - high[0] - gap
    return [thing.moved(shift) for thing in first] + second


def _column(group: Sequence[Placed]) -> Tensor:
    """Heights of what is inside near the middle of a group."""
    points = torch.cat([thing.occupied() for thing in group])
    low, high = points.min(0).values, points.max(0).values
    offset = ((points - (low + high) / 2) / (high - low).clamp(min=1e-6)).abs()
    middle = points[(offset[:, 0] < 0.12) & (offset[:, 2] < 0.12), 1]
    return middle if len(middle) else points[:, 1]


def _top_at_the_middle(group: Sequence[Placed]) -> float:
    """Where something that is put on the group comes to rest: a chair's seat, a table's top, a horse's back."""
    return float(_column(group).quantile(0.97))


def _underside(group: Sequence[Placed]) -> float:
    """How much room there is below the middle of a group that stands on the floor."""
    return float(_column(group).min())


def _below(first: list[Placed], second: list[Placed]) -> list[Placed]:
    """The first group, small enough for the room below the second."""
    low, high = _box_of(first)
    room = _underside(second)
    tall = float(high[1] - low[1])
    return [thing.grown(0.9 * room / tall) for thing in first] if 0.05 < room < tall else first
