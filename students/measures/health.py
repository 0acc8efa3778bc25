"""Signs by which one sees in time that a student's training goes wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from sds.denoiser import Denoiser
from sds.engine import ScoreDistillation, Step, image_of
from sds.guidance import PromptConditions
from sds.ramps import DREAMFUSION_TIMES
from students.methods.adversarial import Adversary
from students.training.loop import Distillation, DistillationStep


@torch.no_grad()
def critic_lag(
    teacher: Denoiser, critic: Denoiser, x: Tensor, conditions: PromptConditions, rng: torch.Generator
) -> float:
    """How much of what the critic does not know about the student's images points to the teacher; in [-1, 1].

    ::

        lag = E <x - C, D - C> / sqrt(E |x - C|^2  E |D - C|^2)       C the critic's, D the teacher's prediction at x_t

    A critic that knows the student's images has C = E[x | x_t], so the lag is zero. It is positive where the student
    has moved on towards the teacher and the critic does not know it yet: then steps overshoot and drive the student
    round its goal instead of to it. Take more critic steps, or a smaller learning rate of the student.

    Args:
        teacher, critic: denoisers of one schedule.
        x: fresh images of the student, (batch, ...); the more, the less noisy.
        conditions: what they are told.
        rng: of noise and times.
    """
    t = DREAMFUSION_TIMES.sample(len(x), 0.0, rng)
    x_t = teacher.schedule.add_noise(x, torch.randn(x.shape, generator=rng).to(x), t)
    seen_by_critic = critic(x_t, t, conditions.reference or conditions.conditional)
    unknown, way = x - seen_by_critic, teacher(x_t, t, conditions.conditional) - seen_by_critic
    return float((unknown * way).mean() / (unknown.square().mean() * way.square().mean()).sqrt().clamp(min=1e-12))


@torch.no_grad()
def fresh_images(run: ScoreDistillation) -> tuple[Tensor, PromptConditions, torch.Generator]:
    """Images that neither the student nor its critic has learned from, what they show, and the rng they came from.

    They do not disturb the run: its own rng is left alone.
    """
    rng = torch.Generator().manual_seed(run.done)
    draw = run.generator.draw(run.settings.batch_size, rng)
    return run.teacher.encode(image_of(run.generator(draw))), run.told(draw), rng


ROUGH, LOUD = 0.75, 1.5
"""What makes noise of an image: the mean square of neighbours' differences beside that of strangers (white noise has 1,
pictures 0.01 to 0.4), and a root mean square beyond that of any picture in [-1, 1] or of latents."""


class GoneToNoiseError(RuntimeError):
    """A student draws noise and nothing else: further steps will not bring it back."""


class NoiseWatch:
    """Looks at a student's images from time to time, and raises the alarm when they stay noise.

    Args:
        patience: so many looks in a row must have seen noise: a student may begin with some.
    """

    def __init__(self, patience: int = 5) -> None:
        self.patience, self.seen = patience, 0

    def look(self, x: Tensor) -> None:
        """Look at images x (batch, channels, height, width). Raises GoneToNoiseError once they have stayed noise."""
        self.seen = self.seen + 1 if is_noise(x) else 0
        if self.seen >= self.patience:
            raise GoneToNoiseError(
                f"the student draws nothing but noise (root mean square {float(x.square().mean().sqrt()):.2g}): lower "
                "--learning-rate, or take another method; the last checkpoint is kept"
            )


def is_noise(x: Tensor) -> bool:
    """Whether images (batch, channels, height, width) are loud noise, or not even finite."""
    if not bool(torch.isfinite(x).all()):
        return True
    x = x.detach().float()
    variance = x.var(dim=(2, 3), keepdim=True).mean()
    across = torch.cat([x.diff(dim=2).square().flatten(1), x.diff(dim=3).square().flatten(1)], dim=1).mean()
    return bool(across > ROUGH * 2 * variance) and bool(x.square().mean().sqrt() > LOUD)


def score_signals(run: ScoreDistillation, step: Step) -> dict[str, float]:
    """The numbers of a step of `sds.engine` with a student: names as in the log.

    ``critic_lag`` is that of `critic_lag`; ``adversary_share`` is the size of the discriminator's gradient on the
    images beside that of the score: near one they are balanced, far above the student only fools the discriminator.
    """
    signals = {"score_gradient": step.gradient_size}
    if run.critic is not None and step.critic_loss is not None:
        x, conditions, rng = fresh_images(run)
        signals["critic_loss"] = step.critic_loss
        signals["critic_lag"] = critic_lag(run.teacher, run.critic, x, conditions, rng)
    for term in run.terms:
        if isinstance(term, Adversary):
            signals["adversary_accuracy"] = term.accuracy
            signals["adversary_share"] = term.gradient_size / max(step.gradient_size, 1e-12)
    return signals


def regression_signals(run: Distillation, step: DistillationStep) -> dict[str, float]:
    """The numbers of a step of `students.training.loop`."""
    losses = {f"loss_{i}" if i else "loss": loss for i, loss in enumerate(step.losses)}
    signals = {"stage": float(step.stage), **losses, "gradient_norm": step.gradient_norm}
    for term in run.stage.terms:
        if isinstance(adversary := getattr(term, "adversary", None), Adversary):
            signals["adversary_accuracy"] = adversary.accuracy
    return signals
