"""The loop that everything runs through: draw, score, backward.

A generator is anything with two members: ``draw(count, rng)`` chooses what to draw (cameras, latent noise, nothing)
and calling it with the draw returns the image, differentiable in its parameters. The engine cannot tell a radiance
field from a one-step student.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from sds.baselines import Method, sds
from sds.checkpoint import CheckpointError, require_form, restore_module, restore_optimizer
from sds.critic import Critic
from sds.denoiser import Condition, Teacher, views_together
from sds.guidance import Guidance, PromptConditions
from sds.noising import FreshNoise, Noising
from sds.precision import Descent
from sds.ramps import DREAMFUSION_TIMES, Ramp, Times
from sds.score import score_gradient, surrogate_loss
from sds.weightings import Weighting, constant_weight


class Generator(Protocol):
    """Draws images from parameters. Any ``nn.Module`` with these two members will do."""

    def draw(self, count: int, rng: torch.Generator) -> Any:
        """Choose ``count`` things to draw: cameras, latent noise, or just the count."""
        ...

    def __call__(self, draw: Any) -> Any:
        """Images (count, 3, height, width) in [0, 1], or an object with such an ``image``."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that training changes."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Continue from a `state_dict`."""
        ...


class Term(Protocol):
    """A loss beside the score that draws or learns by itself: a discriminator, a regression on stored pairs."""

    def __call__(self, draw: Any, x: Tensor, progress: float, rng: torch.Generator) -> Tensor:
        """A scalar to add to the loss, for the images ``x`` of a ``draw``, in the teacher's x; may train itself."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that a call changes; empty if there is nothing."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Continue from a `state_dict`."""
        ...


@dataclass(frozen=True)
class Settings:
    """What a run does, apart from who draws and who judges.

    Attributes:
        steps: number of steps of the generator.
        batch_size: images for each step.
        method: the row of `sds.score`'s table.
        guidance: how strongly to follow the prompt.
        weighting: the weight of each image.
        times: the noise levels that are visited.
        noising: where the noise comes from.
        learning_rate: a factor on the optimiser's own learning rates over the run.
        critic_steps: updates of the critic for each step of the generator.
        critic_draws: whether the critic learns from images that are drawn for it alone, before the generator's step, as
            Diff-Instruct and DMD have it: cheap where a draw is one evaluation. Otherwise it learns, after the
            generator's step, from the images of that step (VSD). In neither case does the generator meet a critic that
            has just trained on the very images that are compared.
        seed: of everything random.
    """

    steps: int
    batch_size: int = 4
    method: Method = sds
    guidance: Guidance = field(default_factory=lambda: Guidance(4.0))
    weighting: Weighting = constant_weight
    times: Times = DREAMFUSION_TIMES
    noising: Noising = field(default_factory=FreshNoise)
    learning_rate: Ramp = field(default_factory=lambda: Ramp(1.0, 1.0))
    critic_steps: int = 1
    critic_draws: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Step:
    """What happened in one step; images are detached.

    Attributes:
        draw: what was drawn.
        rendering: what the generator returned.
        guided: what the teacher would like to see instead, in the teacher's x, shape (batch, ...).
        gradient_size: root mean square of the score gradient.
        distance: root mean square of what there is minus ``guided``.
        learning_rate: the factor on the optimiser's own learning rates.
        critic_loss: of the last critic update, or None.
    """

    draw: Any
    rendering: Any
    guided: Tensor
    gradient_size: float
    distance: float
    learning_rate: float
    critic_loss: float | None


class ScoreDistillation:
    """Trains a generator by a teacher's score.

    Args:
        generator: what is trained.
        teacher: what judges; never differentiated.
        told: from a draw to what the denoisers are told, see `sds.prompts`.
        critic_told: from a draw to what the critic is told of it where ``critic_draws``; by default a part of ``told``,
            the rest of which nobody asks for there.
        optimizer: of the generator's parameters.
        settings: everything else.
        critic: for methods that compare with the generator's own distribution.
        penalty: (rendering, progress in [0, 1]) -> a scalar to add to the loss.
        terms: further losses that have a state of their own.
        computed_in: the type in which the generator computes, if it is a network that runs in half precision.
    """

    def __init__(
        self,
        generator: Generator,
        teacher: Teacher,
        told: Callable[[Any], PromptConditions],
        optimizer: torch.optim.Optimizer,
        settings: Settings,
        *,
        critic: Critic | None = None,
        critic_told: Callable[[Any], Condition] | None = None,
        penalty: Callable[[Any, float], Tensor] | None = None,
        terms: Sequence[Term] = (),
        computed_in: torch.dtype = torch.float32,
    ) -> None:
        self.generator, self.teacher, self.told = generator, teacher, told
        self.optimizer, self.settings = optimizer, settings
        self.critic, self.penalty, self.terms = critic, penalty, terms
        self.critic_told = critic_told or (lambda draw: _as_the_critic_is_told(told(draw)))
        self.descent = Descent(optimizer, computed_in)
        self.rng = torch.Generator().manual_seed(settings.seed)
        self.done = 0
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])

    @property
    def progress(self) -> float:
        """The share of the run that is done, in [0, 1]."""
        return self.done / max(1, self.settings.steps)

    def step(self) -> Step:
        """One step of the generator, and those of the critic.

        Raises NonFiniteGradientError before anything is changed if a gradient is infinite or not a number.
        """
        settings = self.settings
        critic_loss = self._update_critic_on_draws() if settings.critic_draws else None
        draw = self.generator.draw(settings.batch_size, self.rng)
        rendering = self.generator(draw)
        x = self.teacher.encode(image_of(rendering))
        conditions = self.told(draw)

        t = settings.times.sample(len(x), self.progress, self.rng, views_together(self.teacher))
        noised = settings.noising(self.teacher, x.detach(), t, conditions, self.rng)
        score = score_gradient(
            self.teacher,
            x,
            noised.noise,
            t,
            conditions,
            settings.guidance,
            settings.method,
            weighting=settings.weighting,
            reference=self.critic,
            previous=noised.previous,
            progress=self.progress,
        )
        loss = surrogate_loss(x, score.gradient)
        if self.penalty is not None:
            loss = loss + self.penalty(rendering, self.progress)
        for term in self.terms:
            loss = loss + term(draw, x, self.progress, self.rng)
        learning_rate = settings.learning_rate(self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * learning_rate
        self.descent(loss, f"the generator's parameters at step {self.done}")
        if not settings.critic_draws:
            critic_loss = self._update_critic(x, conditions)
        self.done += 1
        size = root_mean_square(score.gradient)
        distance = root_mean_square(x.detach() - score.guided)
        return Step(draw, rendering, score.guided, size, distance, learning_rate, critic_loss)

    def state_dict(self) -> dict[str, Any]:
        """Everything that `step` changes: continuing from it equals never having stopped."""
        return {
            "generator": self.generator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scale": self.descent.state_dict(),
            "critic": self.critic.state_dict() if self.critic else None,
            "terms": [term.state_dict() for term in self.terms],
            "rng": self.rng.get_state(),
            "done": self.done,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`.

        Raises CheckpointError if it belongs to another run or method; the generator is the last thing that changes.
        """
        own = self.state_dict()
        if not own.keys() <= state.keys():
            raise CheckpointError(f"the checkpoint lacks {', '.join(sorted(own.keys() - state.keys()))}")
        if not isinstance(state["terms"], list) or len(state["terms"]) != len(self.terms):
            raise CheckpointError("the checkpoint is of another method: its terms are not those of this run")
        if (state["critic"] is None) != (self.critic is None):
            raise CheckpointError("the checkpoint is of another method: its critic is not that of this run")
        require_form(state["rng"], own["rng"], "the checkpoint's random numbers")
        require_form(state["done"], own["done"], "the checkpoint's count of steps")
        if not 0 <= state["done"] <= self.settings.steps:
            raise CheckpointError(f"the checkpoint is of step {state['done']}, this run has {self.settings.steps}")
        restore_optimizer(self.optimizer, state["optimizer"])
        self.descent.load_state_dict(state["scale"])
        if self.critic is not None:
            self.critic.load_state_dict(state["critic"])
        for term, saved in zip(self.terms, state["terms"], strict=True):
            term.load_state_dict(saved)
        restore_module(self.generator, state["generator"], "the checkpoint's generator")
        self.rng.set_state(state["rng"])
        self.done = state["done"]

    def _update_critic(self, x: Tensor, conditions: PromptConditions) -> float | None:
        """The critic learns from the images ``x`` of this step; the last loss, None without a critic."""
        if self.critic is None:
            return None
        told = _as_the_critic_is_told(conditions)
        loss = None
        for _ in range(self.settings.critic_steps):
            loss = self.critic.update(x, told, self.rng)
        return loss

    @torch.no_grad()
    def _drawn_for_critic(self) -> tuple[Tensor, Condition]:
        draw = self.generator.draw(self.settings.batch_size, self.rng)
        return self.teacher.encode(image_of(self.generator(draw))), self.critic_told(draw)

    def _update_critic_on_draws(self) -> float | None:
        """The critic learns from fresh images, new ones for each of its updates; the last loss, None without one."""
        if self.critic is None:
            return None
        loss = None
        for _ in range(self.settings.critic_steps):
            loss = self.critic.update(*self._drawn_for_critic(), self.rng)
        return loss


def _as_the_critic_is_told(conditions: PromptConditions) -> Condition:
    return conditions.reference or conditions.conditional


def image_of(rendering: Any) -> Tensor:
    """The image of whatever a generator returned: itself, or its ``image``."""
    return rendering if isinstance(rendering, Tensor) else rendering.image


def root_mean_square(tensor: Tensor) -> float:
    """The root of the mean square of all elements."""
    return float(tensor.square().mean().sqrt())
