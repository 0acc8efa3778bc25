"""Stable Diffusion's weights under the names of its first publication: what single files hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Named = dict[str, Tensor]

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}

ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "class_embedding.linear_1": "camera_embed.0",
    "class_embedding.linear_2": "camera_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def replaced(key: str, names: Mapping[str, str]) -> str:
    for new, old in names.items():
        key = re.sub(rf"(^|\.){re.escape(new)}\.", lambda found, old=old: f"{found[1]}{old}.", key)
    return key


def unet(weights: Mapping[str, Tensor], layers: int, levels: int) -> Named:
    """A UNet of `tests.sds.tiny_pipelines.text_unet`, with ``layers`` resnets in each of its ``levels``."""

    def name(key: str) -> str:
        for new, old in ENDS.items():
            if key.startswith(new + "."):
                return key.replace(new, old, 1)
        if found := re.match(r"(down|up)_blocks\.(\d)\.(resnets|attentions)\.(\d)\.", key):
            side, level, kind, layer = found[1], int(found[2]), found[3], int(found[4])
            inside = 0 if kind == "resnets" else 1
            number = (1 + level * (layers + 1) if side == "down" else level * (layers + 1)) + layer
            head = f"{'input' if side == 'down' else 'output'}_blocks.{number}.{inside}."
        elif found := re.match(r"down_blocks\.(\d)\.downsamplers\.0\.conv\.", key):
            head = f"input_blocks.{(int(found[1]) + 1) * (layers + 1)}.0.op."
        elif found := re.match(r"up_blocks\.(\d)\.upsamplers\.0\.conv\.", key):
            last = int(found[1]) * (layers + 1) + layers
            attends = any(other.startswith(f"up_blocks.{found[1]}.attentions") for other in weights)
            head = f"output_blocks.{last}.{2 if attends else 1}.conv."
        else:
            found = re.match(r"mid_block\.(resnets|attentions)\.(\d)\.", key)
            assert found is not None
            kind = found[1]
            head = f"middle_block.{int(found[2]) * 2 if kind == 'resnets' else 1}."
        rest = key[found.end() :]
        return head + (replaced(rest, RESNET) if "resnets" in found[0] else rest)

    assert levels == 2
    return {f"model.diffusion_model.{name(key)}": value for key, value in weights.items()}


def vae(weights: Mapping[str, Tensor], levels: int) -> Named:
    """An autoencoder; attention of one pixel each as convolutions."""

    def name(key: str) -> str:
        key = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        key = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", key)
        key = re.sub(r"up_blocks\.(\d)\.resnets\.", lambda found: f"up.{levels - 1 - int(found[1])}.block.", key)
        key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", key)
        key = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda found: f"up.{levels - 1 - int(found[1])}.upsample", key)
        key = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", key)
        key = key.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
        return replaced(key, {"to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"})

    def value(key: str, found: Tensor) -> Tensor:
        projects = re.search(r"attentions\.0\.to_.*weight", key)
        return found[:, :, None, None] if projects else found

    return {f"first_stage_model.{name(key)}": value(key, found) for key, found in weights.items()}


def clip(weights: Mapping[str, Tensor], head: str = "cond_stage_model.") -> Named:
    """A CLIP text encoder."""
    bare = {key.removeprefix("text_model."): value for key, value in weights.items()}
    return {f"{head}transformer.text_model.{key}": value.contiguous() for key, value in bare.items()}


OPEN_CLIP = {
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding": "token_embedding",
    "final_layer_norm": "ln_final",
    "encoder.layers": "transformer.resblocks",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "fc1": "c_fc",
    "fc2": "c_proj",
    "self_attn": "attn",
}


def open_clip(weights: Mapping[str, Tensor], head: str) -> Named:
    """A CLIP text encoder with a projection as OpenCLIP has it: queries, keys and values in one matrix."""
    found: dict[str, Tensor] = {}
    for key, value in weights.items():
        name = key.removeprefix("text_model.")
        for new, old in OPEN_CLIP.items():
            name = name.replace(new, old)
        if name == "text_projection.weight":
            found["text_projection"] = value.T.contiguous()
        elif part := re.fullmatch(r"(.*attn\.)q_proj\.(weight|bias)", name):
            others = [weights[key.replace("q_proj", f"{which}_proj")] for which in "qkv"]
            found[f"{part[1]}in_proj_{part[2]}"] = torch.cat(others)
        elif "k_proj" not in name and "v_proj" not in name:
            found[name] = value.contiguous()
    return {head + name: value for name, value in found.items()}


def stable_diffusion_xl(pipeline: Any) -> Named:
    """All weights of a pipeline of `tests.sds.tiny_pipelines.stable_diffusion_xl`."""
    return {
        **unet(pipeline.unet.state_dict(), 1, 2),
        **vae(pipeline.vae.state_dict(), 2),
        **clip(pipeline.text_encoder.state_dict(), "conditioner.embedders.0."),
        **open_clip(pipeline.text_encoder_2.state_dict(), "conditioner.embedders.1.model."),
    }


def stable_diffusion(pipeline: Any) -> Named:
    """All weights of a pipeline of `tests.sds.tiny_pipelines.stable_diffusion`."""
    return {
        **unet(pipeline.unet.state_dict(), 1, 2),
        **vae(pipeline.vae.state_dict(), 2),
        **clip(pipeline.text_encoder.state_dict()),
    }
