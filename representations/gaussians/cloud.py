"""An object as 3D Gaussians, seen by cameras: `forward(cameras) -> Rendering`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from representations.cameras import Cameras, CameraSampler
from representations.gaussians.projection import covariances, opencv_views, project, rotations
from representations.gaussians.splatting import splat
from representations.geometry.mesh import Mesh
from representations.rendering import Rendering
from representations.solid import Solid

MOVED_EVERY = 25
"""Steps between two looks for Gaussians that nobody sees, which are put where more are needed."""

UNSEEN = 0.05
"""A Gaussian of less opacity is moved."""

MOST_COPIES = 16
"""Into at most so many one Gaussian is divided at a time."""


class GaussianCloud(nn.Module):
    """A fixed number of Gaussians.

    The number never changes, so that a run needs no more memory in the end than at first and a checkpoint fits: those
    that have become transparent are moved onto opaque ones, which are divided among the copies so that the picture
    stays (Kheradmand et al. 2024, "3D Gaussian Splatting as Markov Chain Monte Carlo", equation 9).

    Args:
        count: how many.
        sampler: how `draw` places cameras.

    Attributes:
        means: (N, 3).
        log_scales: (N, 3) logarithms of the standard deviations along the own axes.
        quaternions: (N, 4) orientations, w first, of any length.
        opacity_logits: (N,).
        colour_logits: (N, 3): one colour from all sides.
    """

    def __init__(self, count: int, sampler: CameraSampler | None = None) -> None:
        super().__init__()
        if count < 1:
            raise ValueError(f"a cloud has one Gaussian or more, not {count}")
        self.sampler = sampler or CameraSampler()
        self.means = nn.Parameter(torch.zeros(count, 3))
        self.log_scales = nn.Parameter(torch.full((count, 3), math.log(0.05)))
        self.quaternions = nn.Parameter(torch.tensor([1.0, 0, 0, 0]).repeat(count, 1))
        self.opacity_logits = nn.Parameter(torch.zeros(count))
        self.colour_logits = nn.Parameter(torch.zeros(count, 3))

    def __len__(self) -> int:
        return len(self.means)

    def draw(self, count: int, generator: torch.Generator) -> Cameras:
        """Cameras to be trained on."""
        return self.sampler(count, generator)

    def forward(self, cameras: Cameras) -> Rendering:
        """What cameras see, on the cloud's device; differentiable."""
        cameras = cameras.to(self.means.device)
        covariance = covariances(self.quaternions, self.log_scales.exp())
        colours, opacities = self.colour_logits.sigmoid(), self.opacity_logits.sigmoid()
        views, focals = opencv_views(cameras)
        images, lights = [], []
        for view, focal, background in zip(views, focals, cameras.background, strict=True):
            projected = project(self.means, covariance, view, focal, cameras.size)
            image, light = splat(projected, colours, opacities, cameras.size)
            images.append(image + light[..., None] * background)
            lights.append(light)
        image, opacity = torch.stack(images).permute(0, 3, 1, 2), 1 - torch.stack(lights)[:, None]
        return Rendering(image.clamp(0, 1), opacity, torch.zeros_like(opacity), None)

    def penalty(self, rendering: Rendering, progress: float) -> Tensor:
        """A scalar that keeps Gaussians small and decided, as the authors of the moves above have it."""
        del rendering, progress
        return 0.01 * self.opacity_logits.sigmoid().mean() + 0.01 * self.log_scales.exp().mean()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters with learning rates that suit them, for any torch optimiser."""
        return [
            {"params": [self.means], "lr": 0.002},
            {"params": [self.log_scales], "lr": 0.01},
            {"params": [self.quaternions], "lr": 0.005},
            {"params": [self.opacity_logits], "lr": 0.05},
            {"params": [self.colour_logits], "lr": 0.02},
        ]

    def opacity(self, cameras: Cameras) -> Tensor:
        """(B, H, W) in [0, 1]: how much of the light each pixel's ray is stopped."""
        with torch.no_grad():
            return self(cameras).opacity[:, 0]

    @torch.no_grad()
    def begin_with(self, solid: Solid) -> None:
        """Become the surface of another representation: flat Gaussians evenly over it, in its colours.

        Raises representations.geometry.isosurface.EmptySurfaceError if it has none.
        """
        mesh = solid.surface()
        points, normals = points_on(mesh, len(self), np.random.default_rng(0))
        like = self.means
        seen = solid.seen_color(points.to(like), normals.to(like)).clamp(0.02, 0.98)
        # Each stands for an equal part of the surface; neighbours overlap at about one deviation.
        spread = math.sqrt(float(mesh.areas.sum()) / len(self)) * 0.6
        self.means.copy_(points)
        self.log_scales.copy_(torch.tensor([spread, spread, 0.3 * spread]).log())
        self.quaternions.copy_(turned_to(normals))
        self.opacity_logits.fill_(math.log(0.9 / 0.1))
        self.colour_logits.copy_(seen.logit())

    @torch.no_grad()
    def move_unseen(self, step: int, optimizer: torch.optim.Optimizer) -> int:
        """To be called before every step: now and then, moves what nobody sees; returns how many.

        What is drawn depends on the step alone, so that a run that is resumed moves the same.
        """
        if step == 0 or step % MOVED_EVERY:
            return 0
        opacity = self.opacity_logits.sigmoid().cpu()
        unseen = (opacity < UNSEEN).nonzero()[:, 0]
        seen = (opacity >= UNSEEN).nonzero()[:, 0]
        if not len(unseen) or not len(seen):
            return 0
        rng = torch.Generator().manual_seed(step)
        chosen = seen[torch.multinomial(opacity[seen], len(unseen), replacement=True, generator=rng)]
        copies = 1 + torch.bincount(chosen, minlength=len(self)).clamp(max=MOST_COPIES - 1)
        divided, shrink = divided_among(opacity, copies)
        many = (copies > 1).to(self.means.device)
        self.opacity_logits[many] = divided.clamp(0.005, 0.995).logit().to(self.means)[many]
        self.log_scales[many] += shrink.log().to(self.means)[many, None]
        spread = torch.randn(len(unseen), 3, generator=rng).to(self.means) * self.log_scales[chosen].exp()
        offset = torch.einsum("nij,nj->ni", rotations(self.quaternions[chosen]), spread)
        for parameter in self.parameters():
            parameter[unseen] = parameter[chosen]
        self.means[unseen] += 0.5 * offset
        forget(optimizer, list(self.parameters()), torch.cat([unseen, chosen]))
        return len(unseen)


def points_on(mesh: Mesh, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """``count`` random points (count, 3) on a surface, evenly by area, and the unit normals of their faces."""
    areas = mesh.areas
    faces = rng.choice(len(areas), size=count, p=areas / areas.sum())
    u, v = np.sqrt(rng.random((count, 1))), rng.random((count, 1))
    a, b, c = (mesh.vertices[mesh.faces[faces, corner]] for corner in range(3))
    points = (1 - u) * a + u * (1 - v) * b + u * v * c
    normals = mesh.face_normals[faces] / np.maximum(2 * areas[faces, None], 1e-12)
    return torch.from_numpy(points).float(), torch.from_numpy(normals).float()


def turned_to(directions: Tensor) -> Tensor:
    """(N, 4) quaternions that turn +Z to unit ``directions`` (N, 3) the shortest way."""
    x, y, z = directions.unbind(-1)
    turned = torch.stack([1 + z, -y, x, torch.zeros_like(z)], dim=-1)
    opposite = torch.tensor([0.0, 1.0, 0.0, 0.0]).to(directions)
    length = turned.norm(dim=-1, keepdim=True)
    return torch.where(length < 1e-4, opposite, turned / length.clamp(min=1e-4))


def divided_among(opacity: Tensor, copies: Tensor) -> tuple[Tensor, Tensor]:
    """Opacity of each of n copies in one place, and the factor of their size, so that together they look as before.

    Kheradmand et al. 2024, equation 9: ``o' = 1 - (1 - o)^(1 / n)`` and::

        scale' / scale = o / sum_{i = 1..n} sum_{k = 0..i - 1} binomial(i - 1, k) (-1)^k o'^(k + 1) / sqrt(k + 1)

    Args:
        opacity: (N,) in [0, 1).
        copies: (N,) whole numbers from 1 to `MOST_COPIES`.
    """
    opacity = opacity.double()
    each = 1 - (1 - opacity) ** (1 / copies.double())
    total = torch.zeros_like(opacity)
    for i in range(1, int(copies.max()) + 1):
        terms = [math.comb(i - 1, k) * (-1) ** k / math.sqrt(k + 1) * each ** (k + 1) for k in range(i)]
        total = total + torch.where(copies >= i, torch.stack(terms).sum(0), 0.0)
    return each, opacity / total.clamp(min=1e-12)


def forget(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], rows: Tensor) -> None:
    """What an optimiser remembers about some rows of its parameters becomes 0: they are other Gaussians now."""
    for parameter in parameters:
        for value in optimizer.state.get(parameter, {}).values():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                value[rows.to(value.device)] = 0
