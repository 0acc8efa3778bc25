"""Projection and compositing of 3D Gaussians against gsplat's own torch reference (`pip install gsplat`)."""

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from representations.cameras import turntable
from representations.gaussians.projection import covariances, opencv_views, project
from representations.gaussians.splatting import splat

SIZE, COUNT = 40, 50


@pytest.fixture
def reference(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """gsplat's file of torch functions by itself: the package around it looks for CUDA, and nerfacc's sums too."""
    package = importlib.util.find_spec("gsplat")
    if package is None or not package.submodule_search_locations:
        pytest.skip("gsplat is not installed")
    spec = importlib.util.spec_from_file_location(
        "gsplat_torch", Path(package.submodule_search_locations[0]) / "cuda" / "_torch_impl.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    nerfacc = ModuleType("nerfacc")
    nerfacc.render_weight_from_alpha, nerfacc.accumulate_along_rays = weights_of, summed
    monkeypatch.setitem(sys.modules, "nerfacc", nerfacc)
    return module


def weights_of(alphas: Tensor, ray_indices: Tensor, n_rays: int) -> tuple[Tensor, Tensor]:
    """nerfacc's: alpha times the light that those before in the same ray let through."""
    light, weights, through = [1.0] * n_rays, [], []
    for alpha, ray in zip(alphas.tolist(), ray_indices.tolist(), strict=True):
        weights.append(alpha * light[ray])
        through.append(light[ray])
        light[ray] *= 1 - alpha
    return torch.tensor(weights).to(alphas), torch.tensor(through).to(alphas)


def summed(weights: Tensor, values: Tensor | None, ray_indices: Tensor, n_rays: int) -> Tensor:
    part = weights[:, None] if values is None else weights[:, None] * values
    return torch.zeros(n_rays, part.shape[1], dtype=part.dtype).index_add_(0, ray_indices, part)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_scenes_look_as_in_gsplat(reference: ModuleType, seed: int):
    rng = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    means, quaternions, scales = 0.5 * randn(COUNT, 3), randn(COUNT, 4), (0.5 * randn(COUNT, 3) - 2.5).exp()
    colours, opacities = randn(COUNT, 3).sigmoid(), 0.8 * randn(COUNT).sigmoid()
    views, focals = (part.double() for part in opencv_views(turntable(3, math.radians(25), SIZE)))
    covariance = covariances(quaternions, scales)
    torch.testing.assert_close(covariance, reference._quat_scale_to_covar_preci(quaternions, scales)[0])
    for view, focal in zip(views, focals, strict=True):
        middle = torch.tensor(SIZE / 2).double()
        K = torch.stack([focal, middle * 0, middle, middle * 0, focal, middle, middle * 0, middle * 0, middle / middle])
        radii, centres, depths, conics, _ = reference._fully_fused_projection(
            means, covariance, view[None], K.reshape(1, 3, 3), SIZE, SIZE
        )
        ours = project(means, covariance, view, focal, SIZE)
        torch.testing.assert_close(ours.centres, centres[0])
        torch.testing.assert_close(ours.conics, conics[0])
        torch.testing.assert_close(ours.depths, depths[0])
        assert torch.equal(ours.radii, radii[0])
        image, light = splat(ours, colours, opacities, SIZE)

        gaussians, pixels = [], []
        for pixel in range(SIZE * SIZE):  # what gsplat's kernel lists: all that are visible, nearest first
            at = torch.tensor([pixel % SIZE + 0.5, pixel // SIZE + 0.5]).double() - centres[0]
            falloff = (conics[0][:, 0] * at[:, 0] ** 2 + conics[0][:, 2] * at[:, 1] ** 2) / 2
            alpha = opacities * torch.exp(-falloff - conics[0][:, 1] * at[:, 0] * at[:, 1])
            seen = ((alpha >= 1 / 255) & (radii[0, :, 0] > 0)).nonzero()[:, 0]
            seen = seen[depths[0][seen].argsort()]
            gaussians.append(seen)
            pixels.append(torch.full_like(seen, pixel))
        theirs, opacity = reference.accumulate(
            centres,
            conics,
            opacities[None],
            colours[None],
            torch.cat(gaussians),
            torch.cat(pixels),
            torch.zeros_like(torch.cat(pixels)),
            SIZE,
            SIZE,
        )
        torch.testing.assert_close(image, theirs[0], rtol=1e-5, atol=2e-4)  # a pixel is finished at 1e-4 of its light
        torch.testing.assert_close(1 - light, opacity[0, ..., 0], rtol=1e-5, atol=2e-4)
