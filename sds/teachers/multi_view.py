"""MVDream (Shi et al. 2024): four views are denoised together, each told its camera, so that no object has two faces.

The network is Stable Diffusion's with two changes: the camera's 16 numbers join the time, and self-attention goes over
the tokens of all views. Folders name it `MultiViewUNetModel` of a module `mv_unet` of their own, which is never
imported: configuration and weights are read into diffusers' UNet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffusers import UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor

from sds.teachers.conditioning import CAMERA_NUMBERS, PromptError
from sds.teachers.connection import Connection, Site, Told

VIEWS = 4

PUBLISHED_NAME = ("mv_unet", "MultiViewUNetModel")
"""(library, class) as published folders name it."""

TO_Z_UP = (2, 0, 1, 3)
"""Rows of a camera-to-world matrix in MVDream's world, where up is +Z and the front of an object looks along +X."""

EARLY_PREFIX = "model.diffusion_model."


class AcrossViews(AttnProcessor2_0):
    """Attention of every token to those of all views of its object."""

    def __call__(self, attn: Attention, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """States of shape (objects * views, tokens, width)."""
        together = hidden_states.reshape(len(hidden_states) // VIEWS, -1, hidden_states.shape[-1])
        return super().__call__(attn, together, *args, **kwargs).reshape(hidden_states.shape)


class MultiViewUNet(UNet2DConditionModel):
    """Diffusers' UNet that reads MVDream's configuration and weights."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any], **kwargs: Any) -> MultiViewUNet:
        """Without weights, from the entries of MVDream's own `config.json`.

        Raises ValueError for one that sees pictures (ImageDream) or is told no camera.
        """
        if config.get("ip_dim"):
            raise ValueError("it is told a picture as well (ImageDream), which is not supported")
        if config.get("camera_dim") != CAMERA_NUMBERS:
            raise ValueError(f"camera_dim must be {CAMERA_NUMBERS}")
        network = super().from_config(in_diffusers_words(config), **kwargs)
        for name, module in network.named_modules():
            if name.endswith(".attn1"):
                module.set_processor(AcrossViews())
        return network

    def with_current_names(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """MVDream's weights under the names that diffusers has for them."""
        early = {
            EARLY_PREFIX + key.replace("camera_embed.", "label_emb.0.", 1): value for key, value in weights.items()
        }
        return convert_ldm_unet_checkpoint(early, dict(self.config))


def in_diffusers_words(config: Mapping[str, Any]) -> dict[str, Any]:
    """MVDream's configuration as that of diffusers' `UNet2DConditionModel`."""
    widths = [config["model_channels"] * factor for factor in config["channel_mult"]]
    attends = [2**level in config["attention_resolutions"] for level in range(len(widths))]
    per_head = config.get("num_head_channels", -1)
    return {
        "sample_size": config["image_size"],
        "in_channels": config["in_channels"],
        "out_channels": config["out_channels"],
        "layers_per_block": config["num_res_blocks"],
        "block_out_channels": widths,
        "down_block_types": ["CrossAttnDownBlock2D" if here else "DownBlock2D" for here in attends],
        "up_block_types": ["CrossAttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attends)],
        "cross_attention_dim": config["context_dim"],
        # by this name diffusers means how many heads there are
        "attention_head_dim": [width // per_head if per_head > 0 else config["num_heads"] for width in widths],
        "transformer_layers_per_block": config.get("transformer_depth", 1),
        "use_linear_projection": True,
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": config["camera_dim"],
    }


def connect_multi_view(network: MultiViewUNet, site: Site) -> Connection:
    """The text is told to every view, and each its camera."""
    encoder = site.encoder("")

    def call(network: Any, x_t: Tensor, timestep: Tensor, told: Told) -> Tensor:
        if len(x_t) % VIEWS:
            raise PromptError(f"this teacher sees {VIEWS} views of an object together, not {len(x_t)} pictures")
        camera = told["camera"].reshape(-1, 4, 4)[:, TO_Z_UP].flatten(1)
        return network(x_t, timestep, encoder_hidden_states=told["text"], class_labels=camera).sample

    prompts = site.text_conditioner(
        lambda prompt: {"text": encoder(prompt).last}, {"text": network.config.cross_attention_dim}
    )
    return Connection(call, prompts, told_camera=True, views_together=VIEWS)
