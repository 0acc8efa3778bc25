"""The two-pass gradient: memory that does not grow with the image.

A score needs the whole image at once, but the image's gradient, once known, can be carried back strip by strip. So
the first pass draws the image without remembering how; when its gradient arrives, the second pass draws one strip
after another again, this time with gradient (as checkpointing does, but nothing is kept of a strip, not even its
pieces of the image).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

RenderRows = Callable[[slice], tuple[Tensor, ...]]


def render_in_strips(
    render: RenderRows, size: int, rows_at_once: int, parameters: Sequence[nn.Parameter]
) -> tuple[Tensor, ...]:
    """What `render(slice(0, size))` returns, at the price in memory of `rows_at_once` rows and with the same gradient.

    Args:
        render: from rows of the images to tensors (B, C, h, W). Called twice for each strip: it must return the same
            both times, and depend on no other differentiable tensor than
        parameters: what the gradient flows into.
        size: H.
        rows_at_once: how many rows make a strip; with `size` or more there is one pass, remembered as usual.
    """
    if rows_at_once >= size:
        return render(slice(0, size))
    strips = [slice(start, min(start + rows_at_once, size)) for start in range(0, size, rows_at_once)]
    return _InStrips.apply(render, strips, *(parameter for parameter in parameters if parameter.requires_grad))


class _InStrips(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, render: RenderRows, strips: list[slice], *parameters: Tensor) -> tuple[Tensor, ...]:
        images: tuple[Tensor, ...] = ()
        for rows in strips:
            parts = render(rows)
            if not images:
                size = strips[-1].stop
                images = tuple(part.new_empty(*part.shape[:2], size, part.shape[3]) for part in parts)
            for image, part in zip(images, parts, strict=True):
                image[:, :, rows] = part
        ctx.render, ctx.strips = render, strips
        ctx.save_for_backward(*parameters)
        return images

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        parameters = ctx.saved_tensors  # raises if one was changed in place since the first pass
        totals = [torch.zeros_like(parameter) for parameter in parameters]
        for rows in ctx.strips:
            with torch.enable_grad():
                parts = ctx.render(rows)
            upstream = [grad[:, :, rows] for grad in grads]
            for total, gradient in zip(
                totals, torch.autograd.grad(parts, parameters, upstream, allow_unused=True), strict=True
            ):
                if gradient is not None:
                    total += gradient
        return None, None, *totals
