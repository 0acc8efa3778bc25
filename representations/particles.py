"""Several representations at once: a distribution of objects, as VSD optimises it (Wang et al. 2023, algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ParticleDraw:
    """What to draw, and who draws it.

    Attributes:
        particle: the number of the particle.
        draw: its own draw, such as cameras.
    """

    particle: int
    draw: Any


@dataclass(frozen=True)
class ParticleRendering:
    """What one of them drew.

    Attributes:
        particle: its number.
        rendering: what it returned: an image, or an object with one.
    """

    particle: int
    rendering: Any

    @property
    def image(self) -> Tensor:
        """(B, 3, H, W) in [0, 1]."""
        image: Tensor = self.rendering if isinstance(self.rendering, Tensor) else self.rendering.image
        return image


class Particles(nn.Module):
    """One particle, chosen anew for each draw, draws the whole batch.

    Beside a critic, which learns the images of all of them, they spread over the teacher's distribution; without one
    (SDS) each falls to a mode by itself.

    Args:
        particles: modules with ``draw(count, generator)`` and ``forward(draw)``.
    """

    def __init__(self, particles: Sequence[nn.Module]) -> None:
        super().__init__()
        if not particles:
            raise ValueError("a distribution needs at least one particle")
        self.particles = nn.ModuleList(particles)

    def __len__(self) -> int:
        return len(self.particles)

    def draw(self, count: int, generator: torch.Generator) -> ParticleDraw:
        """Choose a particle, and what it draws."""
        chosen = int(torch.randint(len(self), (1,), generator=generator))
        particle: Any = self.particles[chosen]
        return ParticleDraw(chosen, particle.draw(count, generator))

    def __getitem__(self, number: int) -> Any:
        """One of them."""
        return self.particles[number]

    def forward(self, draw: ParticleDraw) -> ParticleRendering:
        """The chosen particle's images."""
        return ParticleRendering(draw.particle, self.particles[draw.particle](draw.draw))

    def penalty(self, rendering: ParticleRendering, progress: float) -> Tensor:
        """The chosen particle's own penalty; 0 if it has none."""
        own = getattr(self.particles[rendering.particle], "penalty", None)
        if own is None:
            return rendering.image.new_zeros(())
        penalty: Tensor = own(rendering.rendering, progress)
        return penalty

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Those of all particles."""
        members: list[Any] = list(self.particles)
        return [group for particle in members for group in particle.parameter_groups()]
