"""A teacher that is known exactly: a mixture of Gaussians, whose denoiser and noised density have closed forms.

Each prompt names some of the components, so guidance, negative prompts and the null prompt are exact too; and a
generator that draws from a mixture has its exact critic. What an algorithm does with this teacher is what it does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sds.denoiser import Condition, View, require_prompts
from sds.schedule import NoiseSchedule, cosine_schedule, scale


class MixtureTeacher:
    """p(x0 | prompt) = sum_k weight_k(prompt) N(means_k, covariances_k).

    For x_t = alpha x0 + sigma noise each component stays Gaussian with covariance C_k = alpha^2 S_k + sigma^2 I, and::

        E[x0 | x_t] = sum_k r_k (m_k + alpha S_k C_k^-1 (x_t - alpha m_k)),   r_k ~ weight_k N(x_t; alpha m_k, C_k)

    Args:
        means: shape (components, *shape).
        covariances: shape (components,) for multiples of the identity, or (components, d, d) with d = prod(shape).
        prompts: the weights of the components for each prompt, each of shape (components,); they need not add up to
            one. The null prompt "" is added with equal weights where it is missing.
        schedule: the noise levels; cosine by default.

    Everything is computed in float64.
    """

    knows_views = False

    def __init__(
        self,
        means: Tensor,
        covariances: Tensor,
        prompts: Mapping[str, Tensor] | None = None,
        schedule: NoiseSchedule | None = None,
    ) -> None:
        self.schedule = schedule or cosine_schedule()
        self._shape = tuple(means.shape[1:])
        self.means = means.double().flatten(1)
        count, dimension = self.means.shape
        if covariances.dim() == 1:
            covariances = covariances.double().reshape(-1, 1, 1) * torch.eye(dimension, dtype=torch.float64)
        if covariances.shape != (count, dimension, dimension):
            raise ValueError(
                f"{count} components of {dimension} numbers need covariances of shape ({count},) or "
                f"({count}, {dimension}, {dimension}), not {tuple(covariances.shape)}"
            )
        self.variances, self.axes = torch.linalg.eigh(covariances.double())
        if float(self.variances.min()) < -1e-12:
            raise ValueError("a covariance has a negative eigenvalue")
        equal = {"": torch.ones(count, dtype=torch.float64)}
        self.prompts = {prompt: weights.double() for prompt, weights in {**equal, **(prompts or {})}.items()}

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width); made up of leading ones for means with fewer dimensions."""
        channels, height, width = (1, 1, 1, *self._shape)[-3:]
        return channels, height, width

    def condition(self, prompts: Sequence[str], view: View | None = None) -> Condition:
        """The log-weights of the components for each prompt. Raises ValueError for a prompt it does not know."""
        del view
        require_prompts(prompts)
        unknown = sorted(set(prompts) - self.prompts.keys())
        if unknown:
            raise ValueError(f"the mixture knows the prompts {sorted(self.prompts)}, not {unknown}")
        weights = torch.stack([self.prompts[prompt] for prompt in prompts])
        return Condition({"log_weights": (weights / weights.sum(1, keepdim=True)).log()})

    def encode(self, image: Tensor) -> Tensor:
        """[0, 1] to [-1, 1]."""
        return image * 2 - 1

    def decode(self, x: Tensor) -> Tensor:
        """[-1, 1] to [0, 1]."""
        return (x + 1) / 2

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """E[x0 | x_t], exact, in the type of ``x_t``."""
        alpha, sigma = self.schedule(t)
        offset, variance = self._noised(x_t, alpha, sigma)
        responsibility = F.softmax(self._log_joint(offset, variance, condition), dim=1)
        # alpha S C^-1 (x_t - alpha m), in the axes of each component and then back in the axes of the image
        moved = torch.einsum("kij,bkj->bki", self.axes, scale(alpha, offset) * self.variances / variance * offset)
        x0 = torch.einsum("bk,bki->bi", responsibility, self.means + moved)
        return x0.reshape(x_t.shape).to(x_t.dtype)

    def log_density(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """log p_t(x_t | prompt), shape (batch,): its gradient is the score (alpha E[x0 | x_t] - x_t) / sigma^2."""
        offset, variance = self._noised(x_t, *self.schedule(t))
        return torch.logsumexp(self._log_joint(offset, variance, condition), dim=1)

    def sample(self, prompts: Sequence[str], generator: torch.Generator) -> Tensor:
        """One x0 for each prompt, shape (len(prompts), *shape of the means), float64."""
        weights = self.condition(prompts).tensors["log_weights"].exp()
        component = torch.multinomial(weights, 1, generator=generator)[:, 0]
        noise = torch.randn(len(component), self.means.shape[1], dtype=torch.float64, generator=generator)
        spread = self.variances.clamp(min=0).sqrt()[component] * noise
        x0 = self.means[component] + torch.einsum("bij,bj->bi", self.axes[component], spread)
        return x0.reshape(-1, *self._shape)

    def _noised(self, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """x_t - alpha m_k in the axes of each component, and the variance along them: (batch, components, d) both."""
        offset = x_t.double().flatten(1)[:, None] - alpha[:, None, None] * self.means
        variance = alpha[:, None, None] ** 2 * self.variances + sigma[:, None, None] ** 2
        return torch.einsum("kij,bki->bkj", self.axes, offset), variance

    def _log_joint(self, offset: Tensor, variance: Tensor, condition: Condition) -> Tensor:
        """log(weight_k N(x_t; alpha m_k, C_k)), shape (batch, components)."""
        log_normal = -0.5 * (offset**2 / variance + variance.log() + math.log(2 * math.pi)).sum(2)
        return condition.tensors["log_weights"] + log_normal
