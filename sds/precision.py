"""Few digits for computing, many for learning: which number type a network runs in, and how its copies are trained.

A frozen teacher may run in half precision. What learns has float32 weights (a step of 1e-4 is lost in eight digits of
mantissa) and computes in the teacher's type under autocast. float16 has few exponents too: its losses are scaled up
before the gradient is taken, and the gradient down again (Micikevicius et al. 2018, "Mixed Precision Training").
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from sds.checkpoint import require_form
from sds.score import NonFiniteGradientError
from sds.sharding import total_norm

INITIAL_SCALE = 2.0**10
"""Of float16 losses; it doubles when all has gone well for long, and halves, for a lost step, when it has not."""

HALVES = (torch.float16, torch.bfloat16)


def type_for(device: torch.device, bears_float16: bool = True) -> torch.dtype:
    """The type in which a frozen network runs: bfloat16 on cards that have it, float32 on the CPU.

    Args:
        device: where it runs.
        bears_float16: whether the network is known to stay finite in float16, the half precision of older cards.
    """
    if device.type != "cuda":
        return torch.float32
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float16 if bears_float16 else torch.float32


def computing_type(network: nn.Module) -> torch.dtype:
    """The type of a network's first weight, which is that of nearly all."""
    return next(network.parameters()).dtype


def learning_type(dtype: torch.dtype) -> torch.dtype:
    """The type of weights that learn beside ones of ``dtype``: never fewer digits than float32."""
    return torch.promote_types(dtype, torch.float32)


def computing_in(dtype: torch.dtype, device: torch.device) -> torch.autocast:
    """The context in which float32 weights compute in half precision; for any other ``dtype`` it changes nothing.

    Without a cache: it would keep the weights in half precision as they were at the beginning, while they learn.
    """
    enabled = dtype in HALVES
    return torch.autocast(device.type, dtype if enabled else None, enabled=enabled, cache_enabled=False)


class Descent:
    """Steps of an optimiser down losses that were computed in a type of few digits.

    Args:
        optimizer: of float32 weights.
        dtype: in which the losses are computed.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, dtype: torch.dtype) -> None:
        self.optimizer = optimizer
        device = optimizer.param_groups[0]["params"][0].device.type
        self.scaler = torch.amp.GradScaler(device, init_scale=INITIAL_SCALE, enabled=dtype is torch.float16)

    def __call__(self, loss: Tensor, what: str, largest_norm: float | None = None) -> float:
        """One step; in float16 it is left out where the scaled gradient overflows, and the scale halved.

        It is left out, too, where the gradient is zero everywhere: nothing was asked (a student waits until its
        discriminator is ready), and Adam would count it. Having seen a hundred gradients of nothing it makes its next
        steps up to ten times as large as its rate.

        Args:
            loss: a scalar.
            what: whose gradient it is, for the error.
            largest_norm: to which the gradient is clipped; None leaves it alone.

        Returns:
            The gradient's norm before clipping.

        Raises:
            NonFiniteGradientError: before anything is changed, if the gradient is infinite or not a number.
        """
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        total = total_norm([parameter.grad for parameter in self._parameters() if parameter.grad is not None])
        norm = float(total)
        if not math.isfinite(norm) and not (self.scaler.is_enabled() and self.scaler.get_scale() > 1):
            raise NonFiniteGradientError(
                f"the gradient of {what} is not finite: lower the learning rate, keep t away from 0 and 1, "
                "or look at the last checkpoint for what went wrong"
            )
        if largest_norm is not None and math.isfinite(norm):
            nn.utils.clip_grads_with_norm_(self._parameters(), largest_norm, total)
        if norm > 0 or math.isnan(norm):
            self.scaler.step(self.optimizer)
        self.scaler.update()
        return norm

    def state_dict(self) -> dict[str, float | int]:
        """The scale and how long it has gone well; empty where nothing is scaled."""
        return self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, float | int]) -> None:
        """Continue from `state_dict`. Raises CheckpointError for one of another kind."""
        require_form(state, self.state_dict(), "the checkpoint's scale of losses")
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state)

    def _parameters(self) -> Iterable[nn.Parameter]:
        return (parameter for group in self.optimizer.param_groups for parameter in group["params"])
