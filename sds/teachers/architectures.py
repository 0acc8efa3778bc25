"""The denoising networks a teacher's folder may hold: what each is told, and how it is called.

A new architecture is one `connect_...` function and one row of `ARCHITECTURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import (
    AuraFlowTransformer2DModel,
    DiTTransformer2DModel,
    FluxTransformer2DModel,
    Lumina2Transformer2DModel,
    ModelMixin,
    PixArtTransformer2DModel,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
    UNet2DModel,
    ZImageTransformer2DModel,
)
from torch import Tensor

from sds.teachers.conditioning import CAMERA_NUMBERS, ClassConditioner, NoConditioner
from sds.teachers.connection import Connection, Site, Told, all_encoders, beside, pooled
from sds.teachers.flow_transformers import (
    connect_aura_flow,
    connect_flux,
    connect_lumina,
    connect_sana,
    connect_z_image,
    packed_channels,
)
from sds.teachers.folder import TeacherFolder
from sds.teachers.multi_view import PUBLISHED_NAME, MultiViewUNet, connect_multi_view


def connect_unet(network: UNet2DModel, site: Site) -> Connection:
    """An unconditional UNet, or one told a class number."""
    config = network.config
    site.require(config.class_embed_type is None, f"class_embed_type '{config.class_embed_type}' is not supported")
    site.require(config.time_embedding_type == "positional", "only positional time embeddings are supported")
    if config.num_class_embeds is None:
        return Connection(call_unconditional, NoConditioner(site.device))
    return Connection(call_with_class, class_conditioner(site, network.class_embedding.num_embeddings))


def connect_dit(network: DiTTransformer2DModel, site: Site) -> Connection:
    """A diffusion transformer told a class number (Peebles & Xie 2023)."""
    embedding = network.transformer_blocks[0].norm1.emb.class_embedder.embedding_table
    return Connection(
        call_with_class, class_conditioner(site, embedding.num_embeddings, network.config.num_embeds_ada_norm)
    )


def call_unconditional(network: ModelMixin, x_t: Tensor, timestep: Tensor, _told: Told) -> Tensor:
    """For networks that are told nothing."""
    return network(x_t, timestep).sample


def call_with_class(network: ModelMixin, x_t: Tensor, timestep: Tensor, told: Told) -> Tensor:
    """For networks told a class number."""
    return network(x_t, timestep, class_labels=told["class"]).sample


def class_conditioner(site: Site, embeddings: int, classes: int | None = None) -> ClassConditioner:
    """Names from ``id2label`` in `model_index.json` or in the network's configuration, several apart by commas.

    The null class is the one named "", or else the one after the last if the network has an embedding for it.
    """
    names = site.folder.index.get("id2label") or site.folder.read_json(site.component, "config.json").get("id2label")
    names = names or {}
    site.require(
        isinstance(names, dict) and all(str(key).isdecimal() for key in names), "id2label must map numbers to names"
    )
    labels = {name.strip().lower(): int(key) for key, value in names.items() for name in str(value).split(",")}
    classes = classes or (max(labels.values()) + 1 if labels else embeddings)
    site.require(classes <= embeddings, f"id2label names {classes} classes, the network knows {embeddings}")
    return ClassConditioner(labels, classes, classes if classes < embeddings else None, site.device)


def connect_text_unet(network: UNet2DConditionModel, site: Site) -> Connection:
    """A UNet with cross-attention: Stable Diffusion, SDXL, DeepFloyd IF's first stage; also one told the camera."""
    config = network.config
    addition, told_camera = config.addition_embed_type, config.class_embed_type == "projection"
    site.require(
        config.class_embed_type in (None, "projection") and config.num_class_embeds is None,
        "class labels beside a prompt are not supported (is this an upscaler?)",
    )
    site.require(addition in (None, "text", "text_time"), f"addition_embed_type '{addition}' is not supported")
    site.require(config.encoder_hid_dim_type in (None, "text_proj"), "image prompts are not supported")
    site.require(config.time_cond_proj_dim is None, "told its guidance, it is a distilled student: name its teacher")
    site.require(
        not told_camera or (config.projection_class_embeddings_input_dim == CAMERA_NUMBERS and addition is None),
        f"a projected class embedding must take the camera's {CAMERA_NUMBERS} numbers",
    )
    width = config.encoder_hid_dim or config.cross_attention_dim
    site.require(isinstance(width, int), "cross_attention_dim must be one number")
    if addition == "text_time":
        return connect_sdxl(network, site, width)
    encoder = site.encoder("", lower_case=True)  # as IF does; CLIP's tokenizer does it by itself
    prompts = site.text_conditioner(lambda prompt: {"text": encoder(prompt).last}, {"text": width})
    return Connection(call_text_unet, prompts, told_camera)


def call_text_unet(network: ModelMixin, x_t: Tensor, timestep: Tensor, told: Told) -> Tensor:
    """For UNets with cross-attention."""
    return network(x_t, timestep, encoder_hidden_states=told["text"], class_labels=told.get("camera")).sample


def connect_sdxl(network: UNet2DConditionModel, site: Site, width: int) -> Connection:
    """SDXL (Podell et al. 2023): two text encoders, a pooled vector, and the image size as a condition."""
    config = network.config
    encoders = all_encoders(site, ("", "_2"))
    pooled_width = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
    site.require(len(encoders) == 2, "SDXL needs text_encoder and text_encoder_2 (its refiner is no teacher)")
    null_is_zero = bool(site.folder.index.get("force_zeros_for_empty_prompt", False))
    height, width_in_pixels = site.image_size
    size_and_crop = [height, width_in_pixels, 0, 0, height, width_in_pixels]

    def encode(prompt: str) -> dict[str, Tensor]:
        encodings = [encoder(prompt) for encoder in encoders]
        told = {"text": beside(encodings), "pooled": pooled(encodings[-1:])}
        return {name: torch.zeros_like(value) for name, value in told.items()} if null_is_zero and not prompt else told

    def call(network: ModelMixin, x_t: Tensor, timestep: Tensor, told: Told) -> Tensor:
        time_ids = torch.tensor(size_and_crop, device=x_t.device, dtype=x_t.dtype).expand(len(x_t), -1)
        added = {"text_embeds": told["pooled"], "time_ids": time_ids}
        return network(x_t, timestep, encoder_hidden_states=told["text"], added_cond_kwargs=added).sample

    return Connection(call, site.text_conditioner(encode, {"text": width, "pooled": pooled_width}))


def connect_sd3(network: SD3Transformer2DModel, site: Site) -> Connection:
    """Stable Diffusion 3 (Esser et al. 2024): two CLIP encoders beside each other, T5 behind them if it is there."""
    config = network.config
    encoders = all_encoders(site, ("", "_2"))
    site.require(len(encoders) == 2, "Stable Diffusion 3 needs text_encoder and text_encoder_2")
    t5 = all_encoders(site, ("_3",), length=256, tell_padding=False)

    def encode(prompt: str) -> dict[str, Tensor]:
        encodings = [encoder(prompt) for encoder in encoders]
        clip = beside(encodings)
        site.require(clip.shape[-1] <= config.joint_attention_dim, "joint_attention_dim is too small for the encoders")
        clip = F.pad(clip, (0, config.joint_attention_dim - clip.shape[-1]))
        # Without T5 the network was trained on zeros in its place.
        long = t5[0](prompt).last if t5 else clip.new_zeros(256, config.joint_attention_dim)
        return {"text": torch.cat([clip, long]), "pooled": pooled(encodings)}

    def call(network: ModelMixin, x_t: Tensor, timestep: Tensor, told: Told) -> Tensor:
        return network(
            x_t, encoder_hidden_states=told["text"], pooled_projections=told["pooled"], timestep=timestep
        ).sample

    widths = {"text": config.joint_attention_dim, "pooled": config.pooled_projection_dim}
    return Connection(call, site.text_conditioner(encode, widths))


def connect_pixart(network: PixArtTransformer2DModel, site: Site) -> Connection:
    """PixArt-alpha and -sigma (Chen et al. 2024): one T5 encoder with its mask, and for alpha the image size."""
    sigma = site.folder.index.get("_class_name") == "PixArtSigmaPipeline"
    encoder = site.encoder("", length=300 if sigma else 120, lower_case=True)
    height, width = site.image_size

    def encode(prompt: str) -> dict[str, Tensor]:
        encoding = encoder(prompt)
        return {"text": encoding.last, "mask": encoding.mask}

    def call(network: ModelMixin, x_t: Tensor, timestep: Tensor, told: Told) -> Tensor:
        size = torch.tensor([[height, width]], device=x_t.device, dtype=x_t.dtype).expand(len(x_t), -1)
        ratio = torch.full((len(x_t), 1), height / width, device=x_t.device, dtype=x_t.dtype)
        return network(
            x_t,
            encoder_hidden_states=told["text"],
            # A mask between two prompts' keeps the tokens of both.
            encoder_attention_mask=(told["mask"] > 0).to(x_t.dtype),
            timestep=timestep,
            added_cond_kwargs={"resolution": size, "aspect_ratio": ratio},
        ).sample

    return Connection(call, site.text_conditioner(encode, {"text": network.config.caption_channels}))


ARCHITECTURES: Mapping[type[ModelMixin], Callable[[Any, Site], Connection]] = {
    UNet2DModel: connect_unet,
    UNet2DConditionModel: connect_text_unet,
    DiTTransformer2DModel: connect_dit,
    PixArtTransformer2DModel: connect_pixart,
    SD3Transformer2DModel: connect_sd3,
    FluxTransformer2DModel: connect_flux,
    SanaTransformer2DModel: connect_sana,
    Lumina2Transformer2DModel: connect_lumina,
    AuraFlowTransformer2DModel: connect_aura_flow,
    ZImageTransformer2DModel: connect_z_image,
    MultiViewUNet: connect_multi_view,
}

LATENT_CHANNELS: Mapping[type[ModelMixin], Callable[[Any], int]] = {FluxTransformer2DModel: packed_channels}
"""How many channels of a picture a network takes, where that is not the ``in_channels`` of its configuration."""

USUAL_SIZE: Mapping[type[ModelMixin], int] = {FluxTransformer2DModel: 64, ZImageTransformer2DModel: 64}
"""Latents along one side where a configuration names no size, since the network was trained at many: 512 pixels."""

BEAR_FLOAT16 = frozenset(
    {
        UNet2DConditionModel,
        MultiViewUNet,
        DiTTransformer2DModel,
        PixArtTransformer2DModel,
        SD3Transformer2DModel,
    }
)
"""The networks that are published and used in float16."""

LEGACY_TRANSFORMERS: Mapping[str, type[ModelMixin]] = {
    "ada_norm_zero": DiTTransformer2DModel,
    "ada_norm_single": PixArtTransformer2DModel,
}
"""What folders written before diffusers 0.29 call `Transformer2DModel`, by its norm_type."""


def denoisers(folder: TeacherFolder, component: str) -> Mapping[tuple[str, str], type[ModelMixin]]:
    """What may stand as ``component`` ("unet" or "transformer") in the folder's `model_index.json`."""
    table = {("diffusers", network_class.__name__): network_class for network_class in ARCHITECTURES}
    table[PUBLISHED_NAME] = table.pop(("diffusers", MultiViewUNet.__name__))
    if folder.index.get(component) == ["diffusers", "Transformer2DModel"]:
        norm = str(folder.read_json(component, "config.json").get("norm_type"))
        if norm in LEGACY_TRANSFORMERS:
            table["diffusers", "Transformer2DModel"] = LEGACY_TRANSFORMERS[norm]
    return table
