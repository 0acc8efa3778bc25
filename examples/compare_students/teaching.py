"""Trains a diffusion teacher of a subject and writes it as an ordinary class-conditional diffusers folder."""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch
from diffusers import DDPMScheduler, UNet2DModel
from subject import Subject
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sds.schedule import Prediction, output_from_x0, schedule_from_diffusers

NULL_SHARE = 0.1
"""Of the training in which the class is hidden."""

EVERY = 250
"""Steps between two lines that say how far it is."""


VELOCITY = DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", rescale_betas_zero_snr=True)
"""Of a teacher that knows what to say of pure noise, too."""

NOISE = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
"""Of a teacher that predicts noise: Stable Diffusion 1.5's."""


def train_teacher(
    subject: Subject,
    out: Path,
    steps: int,
    batch_size: int,
    rate: float = 2e-3,
    average: float = 0.998,
    seed: int = 0,
    scheduler: DDPMScheduler = VELOCITY,
) -> Path:
    """Train a teacher on the pictures that are not held out and write its folder; returns the folder."""
    torch.manual_seed(seed)
    pictures, labels = subject.seen
    schedule, unet = schedule_from_diffusers(scheduler), subject.new_unet()
    prediction = Prediction(scheduler.config.prediction_type)
    averaged = AveragedModel(unet, multi_avg_fn=get_ema_multi_avg_fn(average))
    optimizer = torch.optim.AdamW(unet.parameters(), lr=rate)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    started, losses = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        chosen = torch.randint(len(pictures), (batch_size,))
        x0 = pictures[chosen] * 2 - 1
        told = torch.where(torch.rand(batch_size) < NULL_SHARE, subject.null, labels[chosen])
        t = torch.rand(batch_size, dtype=torch.float64).clamp(min=1e-3)
        x_t = schedule.add_noise(x0, torch.randn_like(x0), t)
        wanted = output_from_x0(prediction, x0, x_t, *schedule(t))
        loss = (unet(x_t, schedule.timestep(t).float(), class_labels=told).sample - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
        averaged.update_parameters(unet)
        losses += float(loss.detach()) / EVERY
        if step % EVERY == 0:
            print(f"{step} of {steps} steps, {time.monotonic() - started:.0f} s, loss {losses:.4f}", flush=True)
            losses = 0.0
    return save_teacher(averaged.module.eval(), scheduler, subject, out)


def save_teacher(unet: UNet2DModel, scheduler: DDPMScheduler, subject: Subject, out: Path) -> Path:
    """Write a folder in the diffusers layout, weights in half precision; returns it."""
    unet.half().save_pretrained(out / "unet", safe_serialization=True)
    scheduler.save_pretrained(out / "scheduler")
    index = {
        "_class_name": "DDPMPipeline",
        "unet": ["diffusers", "UNet2DModel"],
        "scheduler": ["diffusers", "DDPMScheduler"],
        "id2label": {str(number): name for number, name in enumerate(subject.names)},
    }
    (out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return out
