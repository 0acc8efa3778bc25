"""Losses of one student, each given the same say in what its last layer learns (VQGAN's and CTM's adaptive weights)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sds.processes import is_sharded
from students.methods.targets import Learning
from students.training.batches import Batch
from students.training.loop import LearningTerm

LARGEST_FACTOR = 1e4
"""A loss whose gradient all but vanishes is not blown up any further."""


class Balanced:
    """One loss as it is, the others as loud as it: a term for `students.training.loop`.

    ::

        loss = first + sum of share_i * (|d first / d last| / |d other_i / d last|) * other_i

    with ``last`` the weights of the student's last layer (Esser et al. 2021; Kim et al. 2024, appendix).

    Args:
        first: the loss that sets the measure.
        others: the further losses and their shares.
        last: weights that all of the losses reach; see `last_weights`.

    Raises:
        ValueError: for sharded weights.

    Attributes:
        factors: what the others were multiplied by at the last call.
    """

    def __init__(self, first: LearningTerm, others: Sequence[tuple[LearningTerm, float]], last: Tensor) -> None:
        if is_sharded(last):
            raise ValueError(
                "this method compares the gradients of its losses at one layer, of which no process holds the whole: "
                "train it without sharding"
            )
        self.first, self.others, self.last = first, list(others), last
        self.factors = [0.0] * len(self.others)

    def __call__(self, learning: Learning, batch: Batch) -> Tensor:
        """The balanced sum."""
        total = self.first(learning, batch)
        size = self._reach(total)
        for number, (term, share) in enumerate(self.others):
            loss = term(learning, batch)
            reach = self._reach(loss)
            self.factors[number] = share * min(LARGEST_FACTOR, size / reach) if reach > 0 else 0.0
            total = total + self.factors[number] * loss
        return total

    def _reach(self, loss: Tensor) -> float:
        """The norm of the gradient of ``loss`` on the last weights; 0 where it does not reach them."""
        if not loss.requires_grad:
            return 0.0
        (gradient,) = torch.autograd.grad(loss, [self.last], retain_graph=True, allow_unused=True)
        return 0.0 if gradient is None else float(gradient.norm())

    def state_dict(self) -> dict[str, Any]:
        """Those of the losses."""
        return {"terms": [term.state_dict() for term in (self.first, *(term for term, _ in self.others))]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`. Raises ValueError for a state of other losses."""
        terms = [self.first, *(term for term, _ in self.others)]
        if len(state["terms"]) != len(terms):
            raise ValueError("the checkpoint is of another method: its terms are not those of this run")
        for term, saved in zip(terms, state["terms"], strict=True):
            term.load_state_dict(saved)


def last_weights(network: nn.Module) -> Tensor:
    """The weights of the last convolution or matrix of a network, by the order of its modules.

    Raises ValueError for a network without any.
    """
    layers = [module for module in network.modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    if not layers:
        raise ValueError(f"a {type(network).__name__} has no convolution and no matrix to balance losses at")
    return layers[-1].weight
