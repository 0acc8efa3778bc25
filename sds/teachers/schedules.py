"""The noise levels that a folder's scheduler describes, and what its network predicts."""

from __future__ import annotations

from collections.abc import Mapping

from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    HeunDiscreteScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)

from sds.schedule import NoiseSchedule, Prediction, flow_schedule, schedule_from_diffusers, tabulated_schedule
from sds.teachers.folder import TeacherFolder, TeacherFolderError, blaming
from sds.teachers.weights import public_values

SCHEDULERS: Mapping[tuple[str, str], type[SchedulerMixin]] = {
    ("diffusers", scheduler.__name__): scheduler
    for scheduler in (
        DDIMScheduler,
        DDPMScheduler,
        DEISMultistepScheduler,
        DPMSolverMultistepScheduler,
        DPMSolverSinglestepScheduler,
        EulerAncestralDiscreteScheduler,
        EulerDiscreteScheduler,
        FlowMatchEulerDiscreteScheduler,
        FlowMatchHeunDiscreteScheduler,
        HeunDiscreteScheduler,
        LMSDiscreteScheduler,
        PNDMScheduler,
        UniPCMultistepScheduler,
    )
}
"""Only the noise levels and the prediction type are read from a scheduler; which sampler it is does not matter."""

STUDENT = (
    "this is a distilled student (LCM, TCD), which was trained at a few noise levels and with its guidance built in: "
    "it has no score to give; name the model that it was distilled from"
)

UNSCORABLE_SCHEDULERS = {
    **dict.fromkeys(("LCMScheduler", "TCDScheduler", "FlowMatchLCMScheduler"), STUDENT),
    **dict.fromkeys(
        ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"),
        "its network is told and returns images scaled in EDM's way, which is not supported",
    ),
}

FAINTEST_IMAGE = 5e-3
"""The alpha at which a noise prediction still says something about the image. Schedules that end below it (DeepFloyd
IF's, those with a zero terminal SNR) begin here: their last few levels are noise to the eye, and paths may begin at any
level where this is so. DDPM's linear schedule ends at 0.0063 and is left alone."""

PATCH = 4
"""Latents that are one token of the transformers whose noise levels depend on how many tokens there are."""


def load_schedule(folder: TeacherFolder, tokens: int = 1024) -> tuple[NoiseSchedule, Prediction]:
    """The noise levels and the prediction type that the folder's scheduler describes, for pictures of so many tokens.

    Noise levels at which a noise prediction would have to be divided by almost nothing are left out: t = 1 is the
    highest usable level (`FAINTEST_IMAGE`).

    Raises:
        TeacherFolderError: if it is missing, broken or of a kind that is not supported.
    """
    scheduler_class = folder.choose("scheduler", SCHEDULERS, UNSCORABLE_SCHEDULERS)
    config = public_values(folder.read_json("scheduler", "scheduler_config.json"))
    place = folder.path / "scheduler"
    if config.get("use_flow_sigmas") and config.get("prediction_type") != Prediction.FLOW.value:
        raise TeacherFolderError(f"{place}: use_flow_sigmas goes with prediction_type flow_prediction only")
    if config.get("timestep_type") == "continuous":
        raise TeacherFolderError(f"{place}: continuous timesteps (timestep_type) are not supported")
    with blaming(place, "scheduler_config.json makes no noise schedule"):
        scheduler = scheduler_class.from_config(config)
        if config.get("use_flow_sigmas"):
            levels = int(scheduler.config.num_train_timesteps)
            return flow_schedule(float(scheduler.config.flow_shift), levels), Prediction.FLOW
        flow = not hasattr(scheduler, "alphas_cumprod")
        prediction = Prediction.FLOW if flow else Prediction(scheduler.config.prediction_type)
        if prediction is Prediction.EPSILON:
            table = scheduler.alphas_cumprod
            return tabulated_schedule(table[table.sqrt() >= FAINTEST_IMAGE]), prediction
        return schedule_from_diffusers(scheduler, tokens), prediction
