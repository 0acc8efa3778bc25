"""Noise and the image that the teacher makes of it: solved once, kept in one file, used by all methods that need pairs.

The file holds whole trajectories (states at a few times, from noise to image), so that the same cache serves one-pass
distillation, reflow, the regression of DMD, and methods that learn the states in between (DSNO). It also holds what
the teacher says about the first pair; a teacher that says something else is not the one that made the pairs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sds.checkpoint import written_whole
from sds.denoiser import Condition, Teacher, View
from sds.solvers import Solver, ddim, even_times, trajectory
from students.prompts import Prompts, StoredView

RECOGNITION_TIME = 0.6
"""The noise level at which a teacher is asked to prove that it is the one that made the pairs."""

SIGNATURE_TOLERANCE = 5e-3
"""Half precision changes a prediction by less than this share of its largest value."""


class PairsError(ValueError):
    """A file of pairs is damaged, or was made by another teacher."""


@dataclass(frozen=True)
class Pairs:
    """Trajectories of one teacher.

    Attributes:
        states: shape (pairs, times, *shape of x); the first is the noise, the last the image.
        times: the t of each state, float64, falling from 1 to 0.
        prompts: one for each pair.
        view: the views of all pairs, or None.
        signature: the teacher's prediction for the first pair, see `recognise`.
    """

    states: Tensor
    times: Tensor
    prompts: Sequence[str]
    view: StoredView | None
    signature: Tensor

    def __len__(self) -> int:
        return len(self.states)

    @property
    def noise(self) -> Tensor:
        """Where the trajectories begin, shape (pairs, *shape of x)."""
        return self.states[:, 0]

    @property
    def x0(self) -> Tensor:
        """Where they end."""
        return self.states[:, -1]

    def condition(self, teacher: Teacher, chosen: Tensor) -> Condition:
        """What the teacher is told for the pairs ``chosen``, a tensor of indices."""
        view = None if self.view is None else self.view.part(chosen)
        return teacher.condition([self.prompts[i] for i in chosen], view)

    def save(self, path: Path) -> None:
        """Write a safetensors file, whole or not at all."""
        tensors = {"states": self.states, "times": self.times, "signature": self.signature}
        if self.view is not None:
            tensors |= self.view.tensors()
        with written_whole(path) as temporary:
            save_file({name: value.contiguous() for name, value in tensors.items()}, temporary, _metadata(self.prompts))


@torch.no_grad()
def make_pairs(
    prompts: Prompts,
    count: int,
    rng: torch.Generator,
    *,
    steps: int = 50,
    keep: Sequence[int] = (),
    solver: Solver = ddim,
    batch_size: int = 64,
    report: Callable[[int, int], None] | None = None,
) -> Pairs:
    """Solve ``count`` trajectories of ``prompts.teacher`` from pure noise to the image.

    Args:
        prompts: what is drawn, and by whom (a `GuidedTeacher` for guided pairs).
        count: number of pairs.
        rng: of noise, prompts and views.
        steps: of the solver, even in t.
        keep: after which steps the state is kept, beside the noise and the image.
        solver: the rule of a step.
        batch_size: of one call of the teacher.
        report: called with the number of pairs that are there, and how many there will be, after each call.

    Raises:
        ValueError: if there is nothing to do, or ``keep`` names steps that are not between noise and image.
    """
    if count < 1:
        raise ValueError(f"a cache needs one pair or more, not {count}")
    if any(not 0 < step < steps for step in keep):
        raise ValueError(f"the kept steps must lie between 0 and {steps}, not {list(keep)}")
    kept = [0, *sorted(set(keep)), steps]
    states, texts, views = [], [], []
    for start in range(0, count, batch_size):
        size = min(batch_size, count - start)
        asked, view = prompts.draw(size, rng)
        noise = torch.randn(size, *prompts.teacher.shape, generator=rng)
        condition = prompts.teacher.condition(asked, view)
        noise = noise.to(next(iter(condition.tensors.values())).device)
        grid = even_times(torch.ones(size), torch.zeros(size), steps)
        path = list(trajectory(prompts.teacher, noise, grid, condition, solver))
        states.append(torch.stack([path[step] for step in kept], dim=1).cpu())
        texts += asked
        views.append(view)
        if report is not None:
            report(start + size, count)
    times = torch.tensor([1 - step / steps for step in kept], dtype=torch.float64)
    unsigned = Pairs(torch.cat(states), times, texts, _joined(views), torch.empty(0))
    return Pairs(unsigned.states, times, texts, unsigned.view, _prediction(unsigned, prompts.teacher))


def load_pairs(path: Path, teacher: Teacher) -> Pairs:
    """Read what `Pairs.save` wrote. Raises PairsError if it is damaged or another teacher's, OSError if missing."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
            texts = json.loads((file.metadata() or {})["prompts"])
        pairs = Pairs(tensors["states"], tensors["times"], texts, StoredView.among(tensors), tensors["signature"])
    except FileNotFoundError:
        raise
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise PairsError(f"{path} is not a file of pairs, or it is damaged: {error}") from error
    recognise(pairs, teacher)
    return pairs


def recognise(pairs: Pairs, teacher: Teacher) -> None:
    """Raise PairsError unless ``teacher`` says about the first pair what the teacher of the pairs said.

    The prediction is compared and not a name or a checksum, so that neither the place nor the number type of the
    weights matters, while another guidance scale does.
    """
    if pairs.states.shape[2:] != torch.Size(teacher.shape):
        raise PairsError(
            f"the pairs hold x of shape {tuple(pairs.states.shape[2:])}, the teacher denoises {tuple(teacher.shape)}: "
            "they are another teacher's; make new ones"
        )
    said = _prediction(pairs, teacher)
    error = float((said - pairs.signature).abs().max())
    if not error < SIGNATURE_TOLERANCE * max(1.0, float(pairs.signature.abs().max())):
        raise PairsError(
            f"the pairs were made by another teacher or with another guidance scale (its prediction differs by "
            f"{error:.2g}): make new ones, or name the teacher that made them"
        )


@torch.no_grad()
def _prediction(pairs: Pairs, teacher: Teacher) -> Tensor:
    """What the teacher sees in a mixture of image and noise of the first pair, shape of x, on the CPU."""
    condition = pairs.condition(teacher, torch.zeros(1, dtype=torch.long))
    device = next(iter(condition.tensors.values())).device
    t = torch.tensor([RECOGNITION_TIME], dtype=torch.float64)
    x_t = teacher.schedule.add_noise(pairs.x0[:1], pairs.noise[:1], t).to(device)
    return teacher(x_t, t, condition)[0].float().cpu()


def _joined(views: Sequence[View | None]) -> StoredView | None:
    present = [view for view in views if view is not None]
    if not present:
        return None
    return StoredView(
        torch.cat([view.azimuth for view in present]).cpu(),
        torch.cat([view.elevation for view in present]).cpu(),
        torch.cat([view.background for view in present]).cpu(),
    )


def _metadata(prompts: Sequence[str]) -> dict[str, str]:
    return {"prompts": json.dumps(list(prompts))}
