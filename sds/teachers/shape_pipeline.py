"""The embedded teacher as an ordinary diffusers pipeline, to look at what it dreams of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler, DiffusionPipeline, ImagePipelineOutput, UNet2DConditionModel
from torch import Tensor

from sds.denoiser import Condition
from sds.schedule import cosine_schedule
from sds.teachers.layers import Look
from sds.teachers.shape_prior import ShapePrior
from sds.teachers.shape_teacher import ShapeTeacher, plain_lexicon

_STEPS = 1000


@dataclass(frozen=True)
class LookingView:
    """Camera angles (B,) in radians, backgrounds (B, 3) in [0, 1], and which look all pictures show."""

    azimuth: Tensor
    elevation: Tensor
    background: Tensor
    look: Look


def cosine_scheduler() -> DDIMScheduler:
    """The diffusers scheduler whose table is exactly `sds.schedule.cosine_schedule`; its last step is pure noise."""
    kept = cosine_schedule(_STEPS).alpha(torch.linspace(0, 1, _STEPS, dtype=torch.float64)) ** 2
    betas = 1 - kept / torch.cat([torch.ones(1, dtype=torch.float64), kept[:-1]])
    return DDIMScheduler(
        num_train_timesteps=_STEPS,
        trained_betas=betas.tolist(),
        prediction_type="sample",
        clip_sample=True,
        timestep_spacing="trailing",
    )


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
        condition = teacher.condition(prompts, view)
        if guidance_scale != 1:
            condition = Condition.concatenate([condition, teacher.condition([""] * count, view)])
        self.scheduler.set_timesteps(num_inference_steps)
        last = self.scheduler.config.num_train_timesteps - 1
        x = torch.randn((count, *teacher.shape), generator=generator).to(condition.device)
        for timestep in self.progress_bar(self.scheduler.timesteps):
            t = torch.full((len(condition),), float(timestep) / last, dtype=torch.float64)
            x0 = teacher(x if guidance_scale == 1 else torch.cat([x, x]), t, condition)
            if guidance_scale != 1:
                conditional, null = x0.chunk(2)
                x0 = null + guidance_scale * (conditional - null)
            x = self.scheduler.step(x0, timestep, x, generator=generator).prev_sample
        images = teacher.decode(x).clamp(0, 1)
        if output_type == "pt":
            return ImagePipelineOutput(images=images)
        array = images.permute(0, 2, 3, 1).cpu().numpy()
        return ImagePipelineOutput(images=array if output_type == "np" else self.numpy_to_pil(array))
