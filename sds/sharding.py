"""Networks whose weights are dealt out among the processes of a run, by PyTorch's FSDP2.

A trained network costs sixteen bytes a weight (float32 weights, gradients, Adam's two moments) and four more for each
average. Sharded, each process holds its part of all of these, and the weights of one block are brought together only
while that block computes. Rows of a batch are shared as ever (`sds.processes`); gradients are added up by FSDP2.

What leaves a run (checkpoints, students) holds whole tensors, so it can be read by any number of processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sds.processes import is_sharded, process_count


def shard(network: nn.Module) -> None:
    """Deal out the weights of a network that shall be trained, block by block, in place; alone there is nothing to do.

    A block is what the network keeps in lists, as diffusers' UNets and transformers keep theirs. Whole tensors that are
    loaded into the network afterwards are dealt out too. Raises ValueError for a torch that is too old for it.
    """
    if process_count() == 1:
        return
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    if not hasattr(FSDPModule, "set_force_sum_reduction_for_comms"):
        raise ValueError(f"sharded weights need torch 2.8 or newer, not {torch.__version__}")
    device = next(network.parameters()).device.type
    mesh = init_device_mesh(device, (dist.get_world_size(),))
    blocks = [block for part in network.children() if isinstance(part, nn.ModuleList) for block in part]
    for part in (*(block for block in blocks if any(True for _ in block.parameters())), network):
        fully_shard(part, mesh=mesh, reshard_after_forward=True)
        assert isinstance(part, FSDPModule)
        part.set_gradient_divide_factor(1.0)  # a loss is the mean over the whole batch: shares are added up
        if device == "cpu":
            part.set_force_sum_reduction_for_comms(True)  # gloo knows no other
    network.register_load_state_dict_pre_hook(_deal_out)


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor. Where it is sharded all processes must ask."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def gathered(state: Any) -> Any:
    """Nested dictionaries and lists with every sharded tensor whole, on the CPU. All processes must ask."""
    if isinstance(state, Tensor) and is_sharded(state):
        return whole(state).cpu()
    if isinstance(state, Mapping):
        return {key: gathered(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(gathered(value) for value in state)
    return state


def dealt_out(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor in the shards of ``like``; itself where that is whole, or it is sharded already."""
    if not is_sharded(like) or is_sharded(tensor):
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)


@contextmanager
def exchanged(tensors: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> Iterator[None]:
    """The values of ``others`` in the tensors of the same names during the block; for sharded ones, which
    `torch.func.functional_call` cannot replace."""
    mine = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(others[name])
    try:
        yield
    finally:
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(mine[name])


def total_norm(tensors: list[Tensor]) -> Tensor:
    """The norm of all numbers of some tensors, of which some may be sharded."""
    norms = [
        whole(nn.utils.get_total_norm(some))
        for some in ([t for t in tensors if is_sharded(t)], [t for t in tensors if not is_sharded(t)])
        if some
    ]
    return torch.stack(norms).norm() if len(norms) > 1 else norms[0]


def _deal_out(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, parameter in module.named_parameters():
        if isinstance(state.get(prefix + name), Tensor):
            state[prefix + name] = dealt_out(state[prefix + name], parameter)


def is_split_up(network: nn.Module) -> bool:
    """Whether `shard` has dealt out the weights of a network."""
    return any(is_sharded(parameter) for parameter in network.parameters())
