"""The score gradient: which way a teacher wants an image to change.

Every method pulls the image from a *baseline* towards the teacher's guided prediction. In x0 space, with
x_t = alpha x + sigma noise and nothing differentiated through any network::

    gradient = weight(t) * (baseline - guided),     guided = null + g (conditional - null)

and the methods differ in the baseline alone:

    ==============================  =====================================================================
    SDS  (Poole et al. 2022)        the image itself: its prediction is the one that knows the true noise
    CSD  (Yu et al. 2023)           the unconditional prediction (or, annealed, the negative one)
    NFSD (Katzir et al. 2023)       the prediction for "a bad image"; below t = 0.2, the noisy image itself
    VSD  (Wang et al. 2023), also   the prediction of a critic that knows the generator's own images
    Diff-Instruct and DMD
    SDI  (Lukoianov et al. 2024)    the image itself, with the noise that DDIM finds in it (`sds.noising`)
    ISM  (Liang et al. 2024)        the null prediction one step earlier on that path
    bridge (McAllister et al. 2024) the guided prediction for a prompt that describes what there is now
    ==============================  =====================================================================

The papers write differences of noise predictions. Since eps = (x_t - alpha x0) / sigma,
``eps_guided - eps_baseline = (alpha / sigma) (baseline - guided)``: the same thing up to a weight, but finite at
every noise level. A zero noise prediction (NFSD below 0.2) is the x0 prediction x_t / alpha.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sds.denoiser import Condition, Denoiser
from sds.guidance import Guidance, PromptConditions, perpendicular_shift
from sds.schedule import NoiseSchedule, scale


class NonFiniteGradientError(RuntimeError):
    """A score gradient is infinite or not a number: nothing sensible can follow."""


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

Weighting = Callable[[NoiseSchedule, Tensor, Tensor, Tensor], Tensor]
"""(schedule, t, x, guided) -> weight of shape (batch,) of the x0-space gradient."""


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


def constant_weight(schedule: NoiseSchedule, t: Tensor, x: Tensor, guided: Tensor) -> Tensor:
    """Weight 1 in x0 space: each step moves the image towards the guided prediction by the same share at every t.

    In noise predictions that is sigma / alpha: at t = 0.98 of Stable Diffusion's schedule 13 times the papers' weight.
    """
    del schedule, x, guided
    return torch.ones_like(t)


def sigma_squared_weight(schedule: NoiseSchedule, t: Tensor, x: Tensor, guided: Tensor) -> Tensor:
    """The usual w(t) = sigma^2 of noise predictions: alpha sigma in x0 space.

    It is DreamFusion's (Poole et al. 2022, section 3.1) and threestudio's 1 - alpha_bar. With it the score gradient of
    variance-preserving schedules *is* theirs, w(t) (eps_guided - eps), with the factor 1; both divide by the batch.
    """
    del x, guided
    alpha, sigma = schedule(t)
    return alpha * sigma


def uniform_weight(schedule: NoiseSchedule, t: Tensor, x: Tensor, guided: Tensor) -> Tensor:
    """w(t) = 1 of noise predictions (threestudio's "uniform"): alpha / sigma in x0 space; needs t above 0."""
    del x, guided
    alpha, sigma = schedule(t)
    return alpha / sigma


def min_snr_weight(schedule: NoiseSchedule, t: Tensor, x: Tensor, guided: Tensor) -> Tensor:
    """min(SNR, 5) of errors in x0 space (Hang et al. 2023, equation 8): high noise says little about the image."""
    del x, guided
    return schedule.log_snr(t).exp().clamp(max=MIN_SNR_GAMMA)


def normalized_weight(schedule: NoiseSchedule, t: Tensor, x: Tensor, guided: Tensor) -> Tensor:
    """1 / mean |x - guided| for each image: every image moves equally far (Yin et al. 2024, equation 8)."""
    del schedule, t
    return 1 / (x - guided).abs().flatten(1).mean(1).clamp(min=1e-6).double().cpu()


MIN_SNR_GAMMA = 5.0
"""gamma of Hang et al. 2023, the value that they recommend."""

WEIGHTINGS: dict[str, Weighting] = {
    "constant": constant_weight,
    "sigma-squared": sigma_squared_weight,
    "dreamfusion": sigma_squared_weight,
    "uniform": uniform_weight,
    "min-snr": min_snr_weight,
    "normalized": normalized_weight,
}
"""By the names that papers and programs use; "dreamfusion" is the same as "sigma-squared"."""


@dataclass(frozen=True)
class ScoreGradient:
    """The gradient of one method, and the prediction it pulls towards.

    Attributes:
        gradient: shape (batch, ...), finite; to be fed to `surrogate_loss`.
        guided: the guided x0 prediction, same shape: what the teacher would like to see.
    """

    gradient: Tensor
    guided: Tensor


@torch.no_grad()
def score_gradient(
    teacher: Denoiser,
    x: Tensor,
    noise: Tensor,
    t: Tensor,
    conditions: PromptConditions,
    guidance: Guidance,
    method: Method = sds,
    *,
    weighting: Weighting = constant_weight,
    reference: Denoiser | None = None,
    previous: Tensor | None = None,
    progress: float = 0.0,
) -> ScoreGradient:
    """weight(t) (baseline - guided) for a batch of images: one call of the teacher, none of it differentiated.

    Args:
        teacher: the frozen denoiser.
        x: images (or latents) of the generator, shape (batch, channels, height, width).
        noise: standard normal, or what `sds.noising` finds, same shape.
        t: times in [0, 1], shape (batch,).
        conditions: what the denoisers are told, one row for each image.
        guidance: scale and bounds of the guided prediction.
        method: a row of the table above.
        weighting: the weight of each image.
        reference: the critic, for methods whose baseline holds it.
        previous: what the noise's path saw last, for methods whose baseline holds that.
        progress: in [0, 1], for methods that change during a run.

    Raises:
        ValueError: if the method needs a critic, a negative prompt or a path and there is none, or its shares do not
            add up to one; if images, noise, t and conditions are not of one batch, or the images no floating point
            numbers.
        TypeError: if ``method`` is no function.
        NonFiniteGradientError: if a prediction is infinite or not a number.
    """
    if not callable(method):
        raise TypeError(f"a method is a function such as `sds.score.sds`; by its name it is METHODS[{method!r}]")
    x = x.detach()
    x_t = teacher.schedule.add_noise(x, noise, t)
    baseline = _checked(method(t, progress), t)
    for condition in (conditions.conditional, conditions.unconditional):
        if len(condition) != len(x):
            raise ValueError(f"there are {len(x)} images, but what is told is about {len(condition)}")
    predictions = _predict(teacher, x_t, t, _wanted(conditions, guidance, baseline, t))
    conditional = perpendicular_shift(
        predictions["conditional"],
        predictions["unconditional"],
        [predictions[f"perpendicular {i}"] for i in range(len(conditions.perpendicular))],
        [negative.weight for negative in conditions.perpendicular],
    )
    guided = guidance(conditional, predictions["unconditional"], t)

    predictions["image"] = x
    if _any(baseline.noisy):
        # Where alpha is zero the share is zero too (a method that wants x_t / alpha there has no finite gradient).
        inverse_alpha = torch.where(_share(baseline.noisy, t) != 0, 1 / teacher.schedule.alpha(t), 0.0)
        predictions["noisy"] = scale(inverse_alpha, x) * x_t
    if _any(baseline.reference):
        if reference is None:
            raise ValueError("this method compares the teacher with a critic of the generator's own images: give one")
        predictions["reference"] = reference(x_t, t, conditions.reference or conditions.conditional)
    if _any(baseline.source):
        predictions["source"] = guidance(predictions["negative"], predictions["unconditional"], t)
    if _any(baseline.previous):
        if previous is None:
            raise ValueError("this method compares two moments of a path: take the noise of sds.noising.DDIMInversion")
        predictions["previous"] = previous
    compared = sum(
        (scale(_share(share, t), x) * predictions[name] for name, share in vars(baseline).items() if _any(share)),
        start=torch.zeros_like(x),
    )

    gradient = scale(weighting(teacher.schedule, t, x, guided), x) * (compared - guided)
    if not bool(torch.isfinite(gradient).all()):
        raise NonFiniteGradientError(
            f"the score gradient is not finite (t from {float(t.min()):.3g} to {float(t.max()):.3g}, "
            f"|x| up to {float(x.abs().max()):.3g}): lower the learning rate, or keep t away from 0 and 1"
        )
    return ScoreGradient(gradient, guided)


def surrogate_loss(x: Tensor, gradient: Tensor) -> Tensor:
    """0.5 sum (x - stop(x - gradient))^2 / batch, a scalar whose gradient with respect to ``x`` is gradient / batch.

    An ordinary loss, so that loss scaling, weighting and gradient accumulation act on it as on any other.
    """
    target = (x - gradient).detach()
    return 0.5 * ((x - target) ** 2).sum() / len(x)


def _checked(baseline: Baseline, t: Tensor) -> Baseline:
    """The baseline. Raises ValueError unless its shares add up to one: the gradient would pull even where all agree."""
    total = sum(_share(share, t) for share in vars(baseline).values())
    if not bool(torch.isclose(torch.as_tensor(total), torch.ones(1, dtype=torch.float64), atol=1e-5).all()):
        raise ValueError(f"the shares of a baseline must add up to 1, not to {torch.as_tensor(total).tolist()}")
    return baseline


def _share(share: Tensor | float, t: Tensor) -> Tensor:
    """A share of the baseline as float64 of shape (batch,)."""
    return torch.as_tensor(share, dtype=torch.float64).expand(t.shape)


def _any(share: Tensor | float) -> bool:
    """Whether any image has this share in its baseline."""
    return bool((torch.as_tensor(share) != 0).any())


def _wanted(
    conditions: PromptConditions, guidance: Guidance, baseline: Baseline, t: Tensor
) -> dict[str, tuple[Condition, Tensor]]:
    """Which predictions are wanted for which images: name -> (condition, mask of shape (batch,)).

    A prediction whose coefficient is zero is not computed: at scale 1 the null prompt, below t = 0.2 NFSD's negative.
    """
    everywhere = torch.ones(t.shape, dtype=torch.bool)
    plain = guidance.scale == 1 and not conditions.perpendicular
    null_wanted = (_share(baseline.unconditional, t) != 0) | (not plain)
    rows = {
        "conditional": (conditions.conditional, everywhere),
        "unconditional": (conditions.unconditional, null_wanted),
    }
    negative_wanted = (_share(baseline.negative, t) != 0) | (_share(baseline.source, t) != 0)
    if conditions.negative is not None:
        rows["negative"] = (conditions.negative, negative_wanted)
    elif bool(negative_wanted.any()):
        raise ValueError("this method compares the prompt with a negative prompt: give one")
    for i, perpendicular in enumerate(conditions.perpendicular):
        rows[f"perpendicular {i}"] = (perpendicular.condition, everywhere)
    return rows


def _predict(teacher: Denoiser, x_t: Tensor, t: Tensor, rows: dict[str, tuple[Condition, Tensor]]) -> dict[str, Tensor]:
    """All wanted x0 predictions by one call of the teacher; zero where they are not wanted."""
    wanted = {name: mask.nonzero()[:, 0] for name, (_, mask) in rows.items() if bool(mask.any())}
    joined = Condition.concatenate([rows[name][0][index.to(x_t.device)] for name, index in wanted.items()])
    which = torch.cat(list(wanted.values()))
    x0 = teacher(x_t[which.to(x_t.device)], t[which], joined)
    predictions = {name: torch.zeros_like(x_t) for name in (*rows, "unconditional", "negative")}
    for name, part in zip(wanted, x0.split([len(index) for index in wanted.values()]), strict=True):
        predictions[name][wanted[name].to(x_t.device)] = part
    return predictions
