"""How a network's prediction changes along a path: exactly, by forward-mode differentiation.

What sCM, MeanFlow and GENIE learn from is d/dt of a prediction while x_t follows its path. `torch.func.jvp` computes it
beside the prediction itself, for about one further evaluation, with weights and path held fixed. Attention then runs in
its plain form, since fused kernels know no forward derivative.

Where a network cannot be differentiated forwards (custom kernels, gradient checkpointing, several processes that share
its rows) a central difference takes its place; it needs two further evaluations and says so once, by a warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from sds.processes import process_count

STEP = 1e-4
"""Of the difference, in t. A larger one is wrong where a network's embedding of the time turns quickly: 5e-3 was off by
17 to 85 % on the embedded teacher, and this by 0.2 %."""


def with_derivative(function: Callable[[Tensor], Tensor], t: Tensor, step: float = STEP) -> tuple[Tensor, Tensor]:
    """``function(t)`` and its derivative, both of shape (batch, ...).

    Args:
        function: of times, float64 of shape (batch,), to (batch, ...), where each row depends on its own time alone.
        t: in [0, 1].
        step: of the difference that is taken where there is no exact derivative.
    """
    if process_count() == 1:
        try:
            with sdpa_kernel(SDPBackend.MATH), NormalisedInOrder():
                value, slope = torch.func.jvp(function, (t,), (torch.ones_like(t),))  # type: ignore[misc]
            return value, slope
        except (NotImplementedError, RuntimeError) as error:
            if not _knows_no_forward_derivative(error):
                raise
            warnings.warn(
                f"this network knows no forward derivative ({' '.join(str(error).split())[:120]}): a difference of "
                f"{step:g} takes its place",
                stacklevel=2,
            )
    return function(t), difference(function, t, step)


SMALLEST_TIME = 1e-3
"""Below, velocities are differences of nearly equal pictures, divided by nearly nothing."""

Derivative = Callable[[Callable[[Tensor], Tensor], Tensor], tuple[Tensor, Tensor]]
"""(function, t) -> its value and its derivative there: `with_derivative`, or what `over` a width makes."""


def over(width: float) -> Derivative:
    """The value, and how much it changes over ``width`` of t, half of it on each side.

    A network whose embedding of the time turns quickly wiggles along a path, by little, but its derivative is full of
    it. A student that learns from its own derivative with large steps learns these wiggles, and falls apart; over a
    width that is longer than they are it sees where the path leads.
    """

    def derivative(function: Callable[[Tensor], Tensor], t: Tensor) -> tuple[Tensor, Tensor]:
        return function(t), difference(function, t, width / 2, SMALLEST_TIME)

    return derivative


class NormalisedInOrder(TorchFunctionMode):
    """In the block `group_norm` meets tensors in their usual order in memory: of others it knows no forward derivative.

    The attention of diffusers' `UNet2DModel` leaves channels side by side.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """See `TorchFunctionMode`."""
        if func is F.group_norm and args:
            args = (args[0].contiguous(), *args[1:])
        return func(*args, **(kwargs or {}))


def difference(function: Callable[[Tensor], Tensor], t: Tensor, step: float = STEP, lowest: float = 0.0) -> Tensor:
    """The derivative of ``function`` by a central difference, one-sided at ``lowest`` and 1; shape (batch, ...)."""
    below, above = (t - step).clamp(min=lowest).minimum(t), (t + step).clamp(max=1.0)
    high, low = function(above), function(below)
    return (high - low) / (above - below).to(high).reshape(-1, *[1] * (high.dim() - 1))


def _knows_no_forward_derivative(error: Exception) -> bool:
    # The last is what torch's derivative of GroupNorm says of images whose channels lie side by side in memory.
    known = ("forward ad", "forward-mode", "forward mode", "jvp", "setup_context", "view size is not compatible")
    text = str(error).lower()
    return any(words in text for words in known)
