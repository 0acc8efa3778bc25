"""The embedded teacher as an ordinary diffusers pipeline, to look at what it dreams of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler, DiffusionPipeline, ImagePipelineOutput, UNet2DConditionModel
from torch import Tensor

from sds.teachers.embedded_pipeline import draw
from sds.teachers.layers import Look
from sds.teachers.shape_prior import ShapePrior
from sds.teachers.shape_teacher import ShapeTeacher, plain_lexicon


@dataclass(frozen=True)
class LookingView:
    """Camera angles (B,) in radians, backgrounds (B, 3) in [0, 1], and which look all pictures show."""

    azimuth: Tensor
    elevation: Tensor
    background: Tensor
    look: Look


class ShapePipeline(DiffusionPipeline):
    """Samples pictures: ``ShapePipeline.from_pretrained(folder)("a red chair", azimuth=30).images``.

    It knows things by their own names, colours and materials; `sds.teachers.shape_teacher.load_shape_teacher` also
    reads the folder's words.

    Args:
        shape_prior: imagines the things.
        unet: adds what it does not know.
        scheduler: steps from noise to picture.
    """

    def __init__(self, shape_prior: ShapePrior, unet: UNet2DConditionModel, scheduler: DDIMScheduler) -> None:
        super().__init__()
        self.register_modules(shape_prior=shape_prior, unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str],
        azimuth: float | list[float] = 30.0,
        elevation: float | list[float] = 15.0,
        background: tuple[float, float, float] = (1.0, 1.0, 1.0),
        look: str = "lit",
        guidance_scale: float = 1.0,
        num_inference_steps: int = 25,
        generator: torch.Generator | None = None,
        output_type: str = "pil",
    ) -> ImagePipelineOutput:
        """Draws one picture for each prompt.

        Args:
            prompt: what to draw.
            azimuth: degrees around the object, counter-clockwise seen from above, 0 in front; one, or one a prompt.
            elevation: degrees above the horizon; one, or one a prompt.
            background: colour in [0, 1].
            look: ``"lit"``, ``"albedo"`` or ``"normals"``.
            guidance_scale: ``null + scale * (conditional - null)``; 1 is plain and best for so small a teacher.
            num_inference_steps: DDIM steps.
            generator: source of the noise.
            output_type: ``"pil"``, ``"np"`` or ``"pt"``.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        count = len(prompts)
        teacher = ShapeTeacher(self.shape_prior, self.unet, plain_lexicon(self.shape_prior))
        view = LookingView(
            torch.tensor(azimuth).expand(count) * (math.pi / 180),
            torch.tensor(elevation).expand(count) * (math.pi / 180),
            torch.tensor(background).expand(count, 3),
            Look(look),
        )
        return draw(self, teacher, prompts, view, guidance_scale, num_inference_steps, generator, output_type)
