"""How good a student is, and how varied: distances between sets of images, by their features.

All functions take features, (images, width), of any network; numbers from different networks, or from different numbers
of images, say nothing about one another. Fidelity and diversity are kept apart (precision and recall), because methods
trade the one for the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FEWEST_IMAGES = 8
"""With fewer images none of these numbers means anything."""


@dataclass(frozen=True)
class Comparison:
    """A student's images beside reference images.

    Attributes:
        frechet: see `frechet_distance`; 0 is best.
        kernel: see `kernel_distance`; 0 is best, and it may come out below by chance.
        precision: share of the student's images that could be reference images.
        recall: share of the reference images that the student could have drawn.
    """

    frechet: float
    kernel: float
    precision: float
    recall: float


def compare(reference: Tensor, drawn: Tensor) -> Comparison:
    """Compare features of two sets of images. Raises ValueError for sets that are too small or do not fit."""
    for name, features in (("reference images", reference), ("images of the student", drawn)):
        if features.dim() != 2 or len(features) < FEWEST_IMAGES:
            raise ValueError(
                f"features of the {name} must have shape (images, width) with at least {FEWEST_IMAGES} images, "
                f"not {tuple(features.shape)}"
            )
    if reference.shape[1] != drawn.shape[1]:
        raise ValueError(f"features of different networks: {reference.shape[1]} and {drawn.shape[1]} numbers an image")
    return Comparison(
        frechet_distance(reference, drawn),
        kernel_distance(reference, drawn),
        covered_share(drawn, reference),
        covered_share(reference, drawn),
    )


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """The squared Wasserstein-2 distance of two fitted Gaussians (Heusel et al. 2017).

    ::

        |mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2))           A, B the covariances

    With Inception features and 50,000 images this is the FID; with others it is not comparable with published ones.
    """
    a, b = a.double(), b.double()
    root_a = _square_root(torch.cov(a.T))
    of_b = torch.cov(b.T)
    # A B and A^(1/2) B A^(1/2) have the same eigenvalues, and the second is symmetric.
    cross = torch.linalg.eigvalsh(root_a @ of_b @ root_a).clamp(min=0).sqrt().sum()
    shift = (a.mean(0) - b.mean(0)).square().sum()
    return float(shift + (root_a @ root_a).trace() + of_b.trace() - 2 * cross)


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x y / width + 1)^3 (KID, Binkowski et al. 2018)."""
    a, b = a.double(), b.double()

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: Tensor) -> Tensor:
        values = kernel(x, x)
        return (values.sum() - values.trace()) / (len(x) * (len(x) - 1))

    return float(within(a) + within(b) - 2 * kernel(a, b).mean())


def covered_share(images: Tensor, by: Tensor, neighbours: int = 3) -> float:
    """The share of ``images`` inside the manifold of ``by``: within reach of one's third neighbour of its own kind.

    Precision of the student's images by the reference's, recall the other way round (Kynkaanniemi et al. 2019).
    """
    return float(_within_reach(by, images, neighbours).any(0).double().mean())


def density(reference: Tensor, drawn: Tensor, neighbours: int = 5) -> float:
    """How many reference images' neighbourhoods hold a drawn image, over ``neighbours`` (Naeem et al. 2020, eq. 4).

    Like precision, but one odd reference image with a wide neighbourhood cannot vouch for everything; about 1 for
    images of the reference's own distribution, and more where drawn images crowd in its midst.
    """
    return float(_within_reach(reference, drawn, neighbours).double().sum(0).mean() / neighbours)


def coverage(reference: Tensor, drawn: Tensor, neighbours: int = 5) -> float:
    """The share of reference images with a drawn image in their neighbourhood (Naeem et al. 2020, equation 5).

    Like recall, but measured by neighbourhoods of real images: those of scattered failures are wide and cover much.
    """
    return float(_within_reach(reference, drawn, neighbours).any(1).double().mean())


def distinctness(features: Tensor) -> float:
    """Mean distance between images of one prompt and different seeds; 0 for a student that ignores its noise.

    To be read beside the teacher's: a student that has kept all of its variety has the same.
    """
    if len(features) < 2:
        raise ValueError("two images or more are needed to see whether they differ")
    return float(torch.pdist(features.double()).mean())


def _within_reach(reference: Tensor, images: Tensor, neighbours: int) -> Tensor:
    """Bool (references, images): whether an image is as near to a reference as its ``neighbours``-th neighbour is."""
    reference = reference.double()
    nearest = torch.cdist(reference, reference).kthvalue(neighbours + 1, dim=1).values  # the first is the image itself
    return torch.cdist(reference, images.double()) <= nearest[:, None]


def _square_root(matrix: Tensor) -> Tensor:
    """The symmetric square root of a symmetric matrix without negative eigenvalues (but for rounding)."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def kernel_spread(a: Tensor, b: Tensor, rng: torch.Generator, parts: int = 20, share: float = 0.5) -> float:
    """The standard deviation of `kernel_distance` over parts of both sets, without which a KID says little.

    Args:
        a, b: features, (images, width).
        rng: of the parts.
        parts: how many are drawn, without replacement within each.
        share: of the images in each.
    """

    def part(features: Tensor) -> Tensor:
        return features[torch.randperm(len(features), generator=rng)[: max(2, int(share * len(features)))]]

    return float(torch.tensor([kernel_distance(part(a), part(b)) for _ in range(parts)]).std())


def nearest_neighbours(drawn: Tensor, among: Tensor) -> Tensor:
    """The distance from each of ``drawn`` to the nearest of ``among``, both (images, width); shape (images,).

    Taken among images that were trained on and among as many that were not, it shows copies: by chance alone the two
    are alike. (Numbers of images must be equal: among more of them the nearest is nearer.)
    """
    return torch.cdist(drawn.double(), among.double()).min(1).values
