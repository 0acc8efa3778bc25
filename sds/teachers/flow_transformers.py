"""Transformers trained by flow matching: Flux, Sana, Lumina 2, AuraFlow, Z-Image. How each is told prompt and time."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any

import torch
from diffusers import (
    AuraFlowTransformer2DModel,
    FluxTransformer2DModel,
    Lumina2Transformer2DModel,
    ModelMixin,
    SanaTransformer2DModel,
    ZImageTransformer2DModel,
)
from torch import Tensor

from sds.teachers.connection import Connection, Site, Told

TIMESTEPS = 1000
"""The told time of pure noise, by which those divide it that are told a time between 0 and 1."""

UNGUIDED = 1.0
"""What a network that was distilled with its guidance (Flux.1 dev) is told: 1 stands for none. What it then predicts is
a score like any other's, and guidance from outside is by two predictions as usual."""


def packed_channels(config: Any) -> int:
    """The channels of a picture of which Flux takes patches of 2 x 2 as one token."""
    return config.in_channels // 4


def connect_flux(network: FluxTransformer2DModel, site: Site) -> Connection:
    """Flux.1 (Black Forest Labs 2024): CLIP's pooled vector, T5's states, patches with their places."""
    config = network.config
    site.require(config.patch_size == 1 and config.in_channels % 4 == 0, "patches are expected to be packed outside")
    clip = site.encoder("")
    t5 = site.encoder("_2", length=512, tell_padding=False)

    def encode(prompt: str) -> dict[str, Tensor]:
        vector = clip(prompt).pooled
        site.require(vector is not None, "a text encoder has no pooled output, which this network needs")
        assert vector is not None
        return {"text": t5(prompt).last, "pooled": vector}

    def call(network: ModelMixin, x_t: Tensor, timestep: Tensor, told: Told) -> Tensor:
        height, width = x_t.shape[-2:]
        output = network(
            patches(x_t),
            timestep=(timestep / TIMESTEPS).to(x_t.dtype),
            guidance=torch.full_like(timestep, UNGUIDED) if config.guidance_embeds else None,
            encoder_hidden_states=told["text"],
            pooled_projections=told["pooled"],
            txt_ids=x_t.new_zeros(told["text"].shape[1], 3),
            img_ids=places(height // 2, width // 2).to(x_t),
        ).sample
        return from_patches(output, height, width)

    widths = {"text": config.joint_attention_dim, "pooled": config.pooled_projection_dim}
    return Connection(call, site.text_conditioner(encode, widths))


def patches(x: Tensor) -> Tensor:
    """(batch, channels, height, width) as (batch, height / 2 * width / 2, 4 * channels)."""
    batch, channels, height, width = x.shape
    squares = x.reshape(batch, channels, height // 2, 2, width // 2, 2)
    return squares.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, 4 * channels)


def from_patches(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `patches`."""
    squares = tokens.reshape(len(tokens), height // 2, width // 2, -1, 2, 2)
    return squares.permute(0, 3, 1, 4, 2, 5).reshape(len(tokens), -1, height, width)


@lru_cache(maxsize=4)
def places(rows: int, columns: int) -> Tensor:
    """(0, row, column) of every patch, shape (rows * columns, 3)."""
    grid = torch.meshgrid(torch.arange(1), torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([axis.reshape(-1).float() for axis in grid], dim=-1)


def connect_sana(network: SanaTransformer2DModel, site: Site) -> Connection:
    """Sana (Xie et al. 2024): a language model reads the prompt behind an instruction on how to picture it."""
    config = network.config
    site.require(not config.guidance_embeds, "told its guidance, it is a student of Sana (Sprint): name Sana itself")
    encoder = site.encoder("", length=300, lower_case=True, padding_side="right")
    told_first = instruction_of_sana()

    def encode(prompt: str) -> dict[str, Tensor]:
        if prompt.strip():
            encoding = encoder(prompt, told_first, room=len(encoder.tokenizer.encode(told_first)) - 2)
        else:
            encoding = encoder(prompt)
        # The prompt's own tokens and the first of all, which language models rest their attention on.
        chosen = torch.tensor([0, *range(1 - encoder.length, 0)], device=encoding.last.device)
        return {"text": encoding.last[chosen], "mask": encoding.mask[chosen]}

    def call(network: ModelMixin, x_t: Tensor, timestep: Tensor, told: Told) -> Tensor:
        return network(
            x_t,
            encoder_hidden_states=told["text"],
            encoder_attention_mask=(told["mask"] > 0).to(x_t.dtype),
            timestep=timestep * config.timestep_scale,
        ).sample

    return Connection(call, site.text_conditioner(encode, {"text": config.caption_channels}))


@lru_cache(maxsize=1)
def instruction_of_sana() -> str:
    """The words that stood before every prompt in Sana's training, as diffusers' pipeline has them."""
    from diffusers import SanaPipeline  # late: it loads much that nobody else needs

    return "\n".join(inspect.signature(SanaPipeline.__call__).parameters["complex_human_instruction"].default)


def connect_lumina(network: Lumina2Transformer2DModel, site: Site) -> Connection:
    """Lumina-Image 2.0 (Qin et al. 2025): a language model behind a system prompt; time runs from noise to image."""
    encoder = site.encoder("", length=256, padding_side="right")

    def encode(prompt: str) -> dict[str, Tensor]:
        encoding = encoder(prompt, SYSTEM_PROMPT_OF_LUMINA if prompt.strip() else "")
        return {"text": encoding.penultimate, "mask": encoding.mask}

    def call(network: ModelMixin, x_t: Tensor, timestep: Tensor, told: Told) -> Tensor:
        output = network(
            x_t,
            timestep=(1 - timestep / TIMESTEPS).to(x_t.dtype),
            encoder_hidden_states=told["text"],
            encoder_attention_mask=(told["mask"] > 0).int(),
        ).sample
        return -output

    return Connection(call, site.text_conditioner(encode, {"text": network.config.cap_feat_dim}))


SYSTEM_PROMPT_OF_LUMINA = (
    "You are an assistant designed to generate superior images with the superior degree of image-text alignment based "
    "on textual prompts or user prompts. <Prompt Start> "
)
"""Stood before every prompt in its training."""


def connect_aura_flow(network: AuraFlowTransformer2DModel, site: Site) -> Connection:
    """AuraFlow (fal 2024): one T5 encoder, whose states of padding are zero."""
    encoder = site.encoder("", length=256)

    def encode(prompt: str) -> dict[str, Tensor]:
        encoding = encoder(prompt)
        return {"text": encoding.last * encoding.mask[:, None]}

    def call(network: ModelMixin, x_t: Tensor, timestep: Tensor, told: Told) -> Tensor:
        time = (timestep / TIMESTEPS).to(x_t.dtype)
        return network(x_t, encoder_hidden_states=told["text"], timestep=time).sample

    return Connection(call, site.text_conditioner(encode, {"text": network.config.joint_attention_dim}))


def connect_z_image(network: ZImageTransformer2DModel, site: Site) -> Connection:
    """Z-Image (Tongyi 2025): a language model reads the prompt as a user's message; time runs from noise to image."""
    encoder = site.encoder("", length=512)

    def encode(prompt: str) -> dict[str, Tensor]:
        encoding = encoder(prompt, USERS_TURN, ASSISTANTS_TURN)
        return {"text": encoding.penultimate, "mask": encoding.mask}

    def call(network: ModelMixin, x_t: Tensor, timestep: Tensor, told: Told) -> Tensor:
        read = [text[mask > 0] for text, mask in zip(told["text"], told["mask"], strict=True)]
        pictures = list(x_t[:, :, None].unbind())  # one frame each
        outputs = network(pictures, (1 - timestep / TIMESTEPS).to(x_t.dtype), read).sample
        return -torch.stack(list(outputs))[:, :, 0]

    return Connection(call, site.text_conditioner(encode, {"text": network.config.cap_feat_dim}))


USERS_TURN, ASSISTANTS_TURN = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
"""Around a message to Qwen. Written here: a tokenizer's own template is a program from a stranger."""
