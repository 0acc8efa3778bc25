"""Folders of teachers that see several views, or a picture, as they are published: of classes that nobody imports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from sds.teachers.multi_view import MultiViewUNet
from tests.sds import original_layout
from tests.sds import tiny_pipelines as tiny

MULTI_VIEW: dict[str, Any] = {
    "_class_name": "MultiViewUNetModel",
    "image_size": 8,
    "in_channels": 4,
    "model_channels": 32,
    "out_channels": 4,
    "num_res_blocks": 1,
    "attention_resolutions": [2],
    "channel_mult": [1, 1],
    "num_head_channels": 16,
    "context_dim": 8,
    "camera_dim": 16,
}
"""MVDream's configuration, of two levels."""

SEEN = 6
"""Numbers by which CLIP describes a picture."""


def multi_view(work: Path) -> Path:
    path = work / "mvdream"
    tiny.stable_diffusion(work / "work").save_pretrained(path)
    tiny.edit_json(path / "model_index.json", unet=["mv_unet", "MultiViewUNetModel"])
    torch.manual_seed(0)
    network = tiny.spread(MultiViewUNet.from_config(MULTI_VIEW))
    weights = {
        name.removeprefix("model.diffusion_model."): value.contiguous() * (0.1 if value.dim() > 1 else 1)
        for name, value in original_layout.unet(network.state_dict(), 1, 2).items()
    }
    save_file(weights, path / "unet" / "diffusion_pytorch_model.safetensors")
    (path / "unet" / "config.json").write_text(json.dumps(MULTI_VIEW))
    return path


def eye(seen: int = SEEN, image_size: int = 8) -> CLIPVisionModelWithProjection:
    torch.manual_seed(2)
    config = CLIPVisionConfig(
        hidden_size=8,
        intermediate_size=16,
        projection_dim=seen,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=image_size,
        patch_size=image_size // 2,
    )
    return tiny.spread(CLIPVisionModelWithProjection(config))


def projection(seen: int = SEEN, width: int = 8) -> torch.nn.Linear:
    torch.manual_seed(3)
    return torch.nn.Linear(seen + 4, width)


def picture_conditioned(pipeline: Any, path: Path, seen: int = SEEN, image_size: int = 8) -> Path:
    """From a pipeline whose UNet takes 8 channels; CLIP tells ``seen`` numbers of pictures of ``image_size``."""
    pipeline.save_pretrained(path)
    eye(seen, image_size).save_pretrained(path / "image_encoder")
    (path / "clip_camera_projection").mkdir()
    linear = projection(seen, pipeline.unet.config.cross_attention_dim)
    weights = {f"proj.{name}": value for name, value in linear.state_dict().items()}
    save_file(weights, path / "clip_camera_projection" / "diffusion_pytorch_model.safetensors")
    tiny.edit_json(
        path / "model_index.json",
        image_encoder=["transformers", "CLIPVisionModelWithProjection"],
        clip_camera_projection=["zero123", "CLIPCameraProjection"],
        text_encoder=[None, None],
        tokenizer=[None, None],
    )
    return path
