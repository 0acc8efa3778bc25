"""The exponential moving average of a student's weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sds.denoiser import Condition
from sds.schedule import NoiseSchedule
from sds.sharding import dealt_out, exchanged, is_split_up
from students.student import Student


class AverageStudent:
    """The exponential moving average of a student's weights, as a flow map of its own.

    It borrows the module of the student and holds only tensors, which are never trained; gradients pass through it to
    x_t alone.

    Args:
        student: the module that is trained.
        decay: mu of theta_average <- mu theta_average + (1 - mu) theta. Zero is the student itself, undifferentiated.
    """

    def __init__(self, student: Student, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"the decay of an average of weights must lie in [0, 1), not {decay}")
        self.student, self.decay = student, decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in student.state_dict().items()}

    @property
    def schedule(self) -> NoiseSchedule:
        """The student's noise levels."""
        return self.student.schedule

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the student's present weights; what is not a floating-point number is copied."""
        for name, tensor in self.student.state_dict().items():
            if tensor.is_floating_point():
                self.tensors[name].lerp_(tensor, 1 - self.decay)
            else:
                self.tensors[name].copy_(tensor)

    def __call__(self, x_t: Tensor, t: Tensor, s: Tensor, condition: Condition) -> Tensor:
        """What the student would predict with the averaged weights.

        Raises ValueError where a sharded one shall be differentiated: its weights are exchanged for the moment only.
        """
        if is_split_up(self.student.network):
            if x_t.requires_grad and torch.is_grad_enabled():
                raise ValueError("this method differentiates an average of weights, which cannot be sharded")
            with exchanged(dict(self.student.state_dict()), self.tensors), torch.no_grad():
                return self.student(x_t, t, s, condition)
        return torch.func.functional_call(self.student, self.tensors, (x_t, t, s, condition))

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights."""
        return dict(self.tensors)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        for name, tensor in self.tensors.items():
            tensor.copy_(dealt_out(state[name], tensor))
