"""One run on several processes: each computes the networks for its share of the rows, and nothing else is different.

Every process draws the same batch from the same seed and does the same arithmetic; only the networks, which take all
the time, are evaluated in shares::

    rows of the batch --own share--> network --gathered--> the outputs of all rows, in every process

Backwards it is the same with the directions turned round: each process takes its own share of the incoming gradient,
and the gradients of the network's weights are added up over the processes; of sharded ones (`sds.sharding`) by FSDP2.
So the result is, but for the rounding of sums, that of one process with the whole batch; it does not depend on the
method, and no method knows of it.

PyTorch's DDP is not used: it wants one forward and one backward pass of each network in a step, on a loss that is a
mean over the rows of one process. Here a step calls a student and its critic several times, discriminators and
balances look across the batch, and gradients are asked for in the middle of a step.

Processes are those of ``torch.distributed``; without an initialised process group there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sds.denoiser import Condition


def process_count() -> int:
    """How many processes share the work."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_first_process() -> bool:
    """Whether this is the process that writes files and speaks to the user."""
    return process_count() == 1 or dist.get_rank() == 0


def first_process_says(answer: bool) -> bool:
    """``answer`` of the first process, in all of them: for decisions that depend on files, which may change."""
    if process_count() == 1:
        return answer
    said = [answer]
    dist.broadcast_object_list(said, src=0)
    return said[0]


def in_shares(
    compute: Callable[..., Tensor], x: Tensor, *told: Tensor | Condition, weights: Sequence[nn.Parameter] = ()
) -> Tensor:
    """``compute(x, *told)`` for a function that treats each row alone, its rows shared among the processes.

    Args:
        compute: to a tensor with as many rows as ``x``; differentiated in ``x`` and in ``weights`` only.
        x: shape (batch, ...).
        told: further arguments with as many rows.
        weights: the trained weights that ``compute`` uses; their gradients are added up over the processes.

    Returns:
        The tensor for all rows, in every process.
    """
    return in_shares_each(lambda *rows: [compute(*rows)], x, *told, weights=weights)[0]


def in_shares_each(
    compute: Callable[..., Sequence[Tensor]],
    x: Tensor,
    *told: Tensor | Condition,
    weights: Sequence[nn.Parameter] = (),
) -> Sequence[Tensor]:
    """`in_shares` for a function that returns several tensors."""
    if process_count() == 1:
        return _in_parts(compute, x, told)
    mine = own_rows(len(x))
    own_told = [argument[mine] for argument in told]
    trained = [weight for weight in weights if weight.requires_grad]
    differentiate = torch.is_grad_enabled() and (x.requires_grad or bool(trained))
    if any(is_sharded(weight) for weight in trained):
        # FSDP2 adds up their gradients itself; something that is differentiated must be there for it to be asked at all
        trained = [nn.Parameter(torch.zeros((), device=x.device))]
        return _InShares.apply(lambda own: _in_parts(compute, own, own_told), differentiate, True, x, *trained)
    return _InShares.apply(lambda own: _in_parts(compute, own, own_told), differentiate, False, x, *trained)


_rows_at_once: ContextVar[int] = ContextVar("rows at once", default=0)


@contextmanager
def rows_at_once(count: int) -> Iterator[None]:
    """During the block networks that learn see at most ``count`` rows at a time; 0 lets them see all.

    The gradients of a batch then accumulate over its parts: each part is computed again when its gradient is wanted, so
    that the memory is that of one part, for about a third more time. The result is that of the whole batch.
    """
    token = _rows_at_once.set(count)
    try:
        yield
    finally:
        _rows_at_once.reset(token)


def sees_parts() -> bool:
    """Whether `rows_at_once` bounds how many rows networks see."""
    return _rows_at_once.get() > 0


def _in_parts(
    compute: Callable[..., Sequence[Tensor]], x: Tensor, told: Sequence[Tensor | Condition]
) -> Sequence[Tensor]:
    most = _rows_at_once.get()
    if not 0 < most < len(x):
        return compute(x, *told)
    parts = []
    for rows in torch.arange(len(x)).split(most):
        part = partial(compute, x[rows], *(argument[rows] for argument in told))
        if torch.is_grad_enabled():
            parts.append(checkpoint(part, use_reentrant=False, preserve_rng_state=False))
        else:
            parts.append(part())
    return [torch.cat(outputs) for outputs in zip(*parts, strict=True)]


def is_sharded(tensor: Tensor) -> bool:
    """Whether each process holds a part of a tensor: it is a DTensor, whose module takes most of a second to load."""
    return hasattr(tensor, "full_tensor")


def own_rows(rows: int) -> Tensor:
    """The indices of this process's share of ``rows`` rows: equally many for each; the last rows may be repeated."""
    share = -(-rows // process_count())
    return (torch.arange(share) + share * dist.get_rank()).clamp(max=rows - 1)


def gathered(own: Tensor, rows: int) -> Tensor:
    """The first ``rows`` rows of all processes' tensors, one after another; each holds the same number of rows."""
    parts = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(process_count())]
    dist.all_gather(parts, own.contiguous())
    return torch.cat(parts)[:rows]


class _InShares(torch.autograd.Function):
    """See `in_shares`. The graph of the own share is kept inside, and walked when the outer graph asks for it."""

    @staticmethod
    def forward(
        ctx: Any, compute: Any, differentiate: bool, sharded: bool, x: Tensor, *weights: nn.Parameter
    ) -> tuple[Tensor, ...]:
        own = x.detach()[own_rows(len(x))].requires_grad_(differentiate and x.requires_grad)
        with torch.set_grad_enabled(differentiate):
            outputs = compute(own)
        if differentiate:
            ctx.own, ctx.outputs, ctx.weights, ctx.rows, ctx.sharded = own, outputs, weights, len(x), sharded
        return tuple(gathered(output.detach(), len(x)) for output in outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        own_gradients = [own_share(gradient) for gradient in gradients]
        if ctx.sharded:
            ctx.own.grad = None
            torch.autograd.backward(ctx.outputs, own_gradients, retain_graph=True)
            of_x = gathered(ctx.own.grad, ctx.rows) if ctx.own.requires_grad else None
            return None, None, None, of_x, *(None for _ in ctx.weights)
        sources = [ctx.own, *ctx.weights] if ctx.own.requires_grad else list(ctx.weights)
        # The graph is kept, since the outer one may be walked again: it goes when the outer one does.
        slopes = list(torch.autograd.grad(ctx.outputs, sources, own_gradients, retain_graph=True, allow_unused=True))
        of_x = slopes.pop(0) if ctx.own.requires_grad else None
        # What is not used by one process is not used by any: all have the same graph.
        sums = iter(added_up([slope for slope in slopes if slope is not None]))
        of_weights = [None if slope is None else next(sums) for slope in slopes]
        return None, None, None, None if of_x is None else gathered(of_x, ctx.rows), *of_weights


def own_share(gradient: Tensor) -> Tensor:
    """The rows of a gradient that belong to this process's share; zero for rows that are repeated in it."""
    share = -(-len(gradient) // process_count())
    missing = share * process_count() - len(gradient)
    padded = torch.cat([gradient, gradient.new_zeros(missing, *gradient.shape[1:])])
    return padded[share * dist.get_rank() : share * (dist.get_rank() + 1)]


def added_up(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The sum of each tensor over all processes, by one message for all of them."""
    if not tensors:
        return []
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]
