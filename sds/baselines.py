"""What the methods compare the guided prediction with: the table of `sds.score`, a function a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Baseline:
    """One row of the table of methods: how much of the baseline is which x0 prediction.

    The shares are numbers, or tensors of shape (batch,) where they depend on t. They add up to one.

    Attributes:
        image: the image x itself, which stands for the true noise.
        noisy: x_t / alpha, which stands for no noise at all.
        unconditional: the prediction for the null prompt.
        negative: the prediction for the negative prompt.
        reference: the critic's prediction.
        source: the negative prompt's prediction under the same guidance, where a bridge begins.
        previous: what the path on which the image was noised saw last, see `sds.noising.Noised`.
    """

    image: Tensor | float = 0.0
    noisy: Tensor | float = 0.0
    unconditional: Tensor | float = 0.0
    negative: Tensor | float = 0.0
    reference: Tensor | float = 0.0
    source: Tensor | float = 0.0
    previous: Tensor | float = 0.0


Method = Callable[[Tensor, float], Baseline]
"""(t of shape (batch,), progress of the run in [0, 1]) -> baseline. A new method is a new function like this."""


def sds(t: Tensor, progress: float) -> Baseline:
    """Score distillation sampling: eps_guided - noise (Poole et al. 2022, equation 3)."""
    del t, progress
    return Baseline(image=1.0)


def csd(t: Tensor, progress: float) -> Baseline:
    """Classifier score distillation: only the guidance direction (Yu et al. 2023, equation 7)."""
    del t, progress
    return Baseline(unconditional=1.0)


def annealed_csd(t: Tensor, progress: float) -> Baseline:
    """CSD whose baseline moves from the null to the negative prompt over the run (Yu et al. 2023, section 4.2)."""
    del t
    return Baseline(unconditional=1.0 - progress, negative=progress)


def nfsd(t: Tensor, progress: float) -> Baseline:
    """Noise-free score distillation (Katzir et al. 2023, equations 8 and 9).

    The papers' delta_D + s delta_C is eps_guided - eps_negative for t >= 0.2 and eps_guided alone below, decided for
    each image by its own t. Only the small times hold an image in place (see tests/closed_forms): keep sampling them.
    """
    del progress
    small = (t < NFSD_SMALL_TIME).double()
    return Baseline(negative=1.0 - small, noisy=small)


def vsd(t: Tensor, progress: float) -> Baseline:
    """Variational score distillation: eps_guided - eps_critic (Wang et al. 2023, equation 9)."""
    del t, progress
    return Baseline(reference=1.0)


def ism(t: Tensor, progress: float) -> Baseline:
    """Interval score matching: eps_guided(x_t) - eps_null(x_s), s one step before t on a DDIM path (Liang et al. 2024).

    Their equation 17. The path goes from x_s to x_t as if the null prediction at s were the image, so that as images
    the difference is that prediction minus the guided one. Needs noise by `sds.noising.DDIMInversion`.
    """
    del t, progress
    return Baseline(previous=1.0)


def bridge(t: Tensor, progress: float) -> Baseline:
    """From what there is to what is wanted (McAllister et al. 2024, equation 10): SDS first, then g (eps_y - eps_now).

    The negative prompt describes the present image ("..., oversaturated, smooth, ..."): where its words are as right
    as the prompt's nothing pulls any more, while SDS mistakes its own noise for the present.
    """
    del t
    return Baseline(image=1.0) if progress < BRIDGE_BEGINS else Baseline(source=1.0)


BRIDGE_BEGINS = 0.8
"""When the second stage begins: step 20,000 of 25,000 in the authors' configuration for threestudio."""

NFSD_SMALL_TIME = 0.2
"""The paper's step 200 of 1000: below it the noise prediction is (almost) all domain correction."""

METHODS: dict[str, Method] = {
    "sds": sds,
    "nfsd": nfsd,
    "vsd": vsd,
    "csd": csd,
    "sdi": sds,
    "ism": ism,
    "bridge": bridge,
}
"""The table, by the names the papers gave their methods. SDI is SDS with other noise: `sds.noising.NOISINGS`."""
