"""Embedded teachers of a few thousand parameters, for tests."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from sds.teachers.view_prior import ViewPrior
from sds.teachers.view_teacher import PATCH, EmbeddedTeacher, condition_width

WORDS = ("blue", "chair", "horse", "red")


@dataclass(frozen=True)
class PlainView:
    azimuth: Tensor
    elevation: Tensor
    background: Tensor


def tiny_prior(resolution: int = 8, slots: int = 3) -> ViewPrior:
    torch.manual_seed(0)
    return ViewPrior(
        words=WORDS, length=5, text_width=16, text_layers=1, text_heads=2, slots=slots, code_width=8, width=16,
        blocks=1, resolution=resolution,
    ).eval()  # fmt: skip


def tiny_unet(size: int = 16) -> UNet2DConditionModel:
    torch.manual_seed(1)
    return UNet2DConditionModel(
        sample_size=size // PATCH,
        in_channels=6 * PATCH**2,
        out_channels=6 * PATCH**2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=condition_width(16),
    )


def tiny_teacher(size: int = 16) -> EmbeddedTeacher:
    return EmbeddedTeacher(tiny_prior(), tiny_unet(size))


def view(count: int, azimuth: float = 0.5, background: float = 1.0) -> PlainView:
    return PlainView(torch.full((count,), azimuth), torch.full((count,), 0.3), torch.full((count, 3), background))
