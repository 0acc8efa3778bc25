"""What a step asks of a card's memory, counted on torch's meta device: the largest sum of all storages alive at once.

The networks have their full size, and no numbers in them. Attention is counted without its matrix, as cards compute it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, SD3Transformer2DModel, UNet2DConditionModel
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from sds.teachers.image_codec import with_gradient_in_range

GIB = 2**30

SD_1_5: dict[str, Any] = {"sample_size": 64, "cross_attention_dim": 768}
SD_2_1: dict[str, Any] = {
    "sample_size": 96,
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}
SDXL: dict[str, Any] = {
    "sample_size": 128,
    "cross_attention_dim": 2048,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


SD_3_MEDIUM: dict[str, Any] = {
    "sample_size": 128,
    "in_channels": 16,
    "num_layers": 24,
    "num_attention_heads": 24,
    "caption_projection_dim": 1536,
    "pos_embed_max_size": 192,
}


BUDGETS = [(SD_1_5, 3.0), (SD_2_1, 4.3), (SDXL, 9.3), (SD_3_MEDIUM, 8.5)]
"""GiB of a step of the teacher, of which the README's table is made."""


class Memory(TorchDispatchMode):
    """Counts the bytes of storages that are alive; ``peak`` is the most there were at once."""

    def __init__(self) -> None:
        super().__init__()
        self.known: weakref.WeakSet[Any] = weakref.WeakSet()
        self.alive = self.peak = 0

    def note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self.known:
            return
        self.known.add(storage)
        size = storage.nbytes()
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._freed, size)

    def _freed(self, size: int) -> None:
        self.alive -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self.note(leaf)
        return out


def in_half(network: Callable[[], nn.Module]) -> Any:
    with torch.device("meta"):
        return nn.Module.to(network(), torch.bfloat16).eval().requires_grad_(False)


def told_to(config: dict[str, Any]) -> dict[str, Any]:
    """What a network of this configuration is told beside x_t and the time, for two rows."""
    half = partial(torch.zeros, dtype=torch.bfloat16)
    if "num_layers" in config:
        return {"encoder_hidden_states": half(2, 333, 4096), "pooled_projections": half(2, 2048)}
    text = half(2, 77, config["cross_attention_dim"])
    if "addition_embed_type" not in config:
        return {"encoder_hidden_states": text}
    return {
        "encoder_hidden_states": text,
        "added_cond_kwargs": {"text_embeds": half(2, 1280), "time_ids": torch.zeros(2, 6)},
    }


def peak_of_a_step(config: dict[str, Any]) -> float:
    """GiB of a step of one view: the picture is encoded, the teacher asked twice at once, the gradient taken."""
    blocks = 4 * ["DownEncoderBlock2D"], 4 * ["UpDecoderBlock2D"]
    kind = SD3Transformer2DModel if "num_layers" in config else UNet2DConditionModel
    network = in_half(lambda: kind(**config))
    vae = in_half(
        lambda: AutoencoderKL(
            down_block_types=blocks[0],
            up_block_types=blocks[1],
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
            latent_channels=config.get("in_channels", 4),
        )
    )
    vae.enable_gradient_checkpointing(partial(checkpoint, use_reentrant=False, preserve_rng_state=False))
    size = 8 * config["sample_size"]
    with Memory() as memory, torch.device("meta"):
        for tensor in (*network.parameters(), *vae.parameters()):
            memory.note(tensor)
        image = torch.zeros(1, 3, size, size, requires_grad=True)
        x = with_gradient_in_range(lambda half: vae.encode(half).latent_dist.mode(), image, torch.bfloat16)
        with torch.no_grad():
            x_t = torch.cat([x, x]).to(torch.bfloat16)
            network(x_t, timestep=torch.zeros(2), **told_to(config))
        x.backward(torch.zeros_like(x))
    return memory.peak / GIB


@pytest.fixture(autouse=True)
def attention_without_its_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda query, key, value, *_, **__: torch.empty_like(query))


def test_what_is_freed_is_not_counted() -> None:
    with Memory() as memory, torch.device("meta"):
        x = torch.zeros(1000)
        for _ in range(5):
            y = x + 1
            del y
    assert memory.peak == 8000


LEAST = 0.85
"""The share of a budget that is needed: one that is far too large would be as wrong as one that is too small."""


@pytest.mark.parametrize(("config", "budget"), BUDGETS, ids=["sd-1.5", "sd-2.1", "sdxl", "sd-3"])
def test_a_step_fits(config: dict[str, Any], budget: float) -> None:
    assert LEAST * budget < peak_of_a_step(config) < budget
