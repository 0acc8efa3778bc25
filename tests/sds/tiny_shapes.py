"""Shape teachers of a few thousand parameters, for tests."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

from sds.teachers.shape_denoising import PATCH, condition_width
from sds.teachers.shape_pipeline import ShapePipeline, cosine_scheduler
from sds.teachers.shape_prior import ShapePrior
from sds.teachers.shape_teacher import ShapeTeacher, plain_lexicon
from students.prompts import StoredView

SIZE = 16
CODE = 8


def tiny_prior() -> ShapePrior:
    torch.manual_seed(0)
    return ShapePrior(
        variants=["ball", "ball", "table"],
        fine_names=["", "small ball", ""],
        sizes=[0.3, 0.1, 1.2],
        code_width=CODE,
        channels=(16, 8),
        features=8,
        hidden=16,
        layers=2,
    )


def talking_unet(code_width: int = CODE, size: int = SIZE) -> UNet2DConditionModel:
    """A UNet that adds noise of its own to everything."""
    torch.manual_seed(1)
    return UNet2DConditionModel(
        sample_size=size // PATCH,
        in_channels=16 * PATCH**2,
        out_channels=6 * PATCH**2,
        block_out_channels=(16, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=code_width,
        attention_head_dim=4,
        norm_num_groups=8,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=condition_width(code_width),
        resnet_time_scale_shift="scale_shift",
    )


def tiny_unet(code_width: int = CODE, size: int = SIZE) -> UNet2DConditionModel:
    """A UNet that says nothing yet."""
    unet = talking_unet(code_width, size)
    for parameter in unet.conv_out.parameters():
        torch.nn.init.zeros_(parameter)
    return unet


def tiny_shape_teacher(device: str = "cpu") -> ShapeTeacher:
    prior = tiny_prior()
    return ShapeTeacher(prior.to(device), tiny_unet().to(device), plain_lexicon(prior))


def talking_teacher() -> ShapeTeacher:
    """Knows a ball, a small ball and a table, all of them random shapes, and is never silent."""
    prior = tiny_prior()
    return ShapeTeacher(prior, talking_unet(), plain_lexicon(prior))


def view(count: int, azimuth: float = 0.5, background: float = 1.0) -> StoredView:
    """One camera, slightly from above."""
    return StoredView(torch.full((count,), azimuth), torch.full((count,), 0.3), torch.full((count, 3), background))


def save_talking_teacher(folder: Path) -> Path:
    """The folder of `talking_teacher`."""
    ShapePipeline(tiny_prior(), talking_unet(), cosine_scheduler()).save_pretrained(folder)
    return folder


def save_tiny_shape_teacher(folder: Path) -> Path:
    """Its folder, as `examples/train_teacher/publish.py` writes one, without words."""
    ShapePipeline(tiny_prior(), tiny_unet(), cosine_scheduler()).save_pretrained(folder)
    return folder
