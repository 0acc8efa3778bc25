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

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sds.baselines import Baseline, Method, sds
from sds.denoiser import Condition, Denoiser
from sds.guidance import Guidance, PromptConditions, perpendicular_shift
from sds.schedule import NoiseSchedule, scale
from sds.weightings import Weighting, constant_weight


class NonFiniteGradientError(RuntimeError):
    """A score gradient is infinite or not a number: nothing sensible can follow."""


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
        raise TypeError(f"a method is a function such as `sds.baselines.sds`; by its name it is METHODS[{method!r}]")
    _require_one_batch(x, conditions)
    x = x.detach()
    x_t = teacher.schedule.add_noise(x, noise, t)
    baseline = _checked(method(t, progress), t)
    predictions = _predict(teacher, x_t, t, _wanted(conditions, guidance, baseline, t))
    guided = _guided(predictions, conditions, guidance, t)
    predictions["image"] = x
    if _any(baseline.noisy):
        predictions["noisy"] = _as_if_without_noise(teacher.schedule, x_t, t, baseline.noisy)
    if _any(baseline.reference):
        predictions["reference"] = _by_critic(reference, x_t, t, conditions)
    if _any(baseline.source):
        predictions["source"] = guidance(predictions["negative"], predictions["unconditional"], t)
    if _any(baseline.previous):
        if previous is None:
            raise ValueError("this method compares two moments of a path: take the noise of sds.noising.DDIMInversion")
        predictions["previous"] = previous
    gradient = scale(weighting(teacher.schedule, t, x, guided), x) * (_mixture(baseline, predictions, t) - guided)
    _require_finite(gradient, x, t)
    return ScoreGradient(gradient, guided)


def _require_one_batch(x: Tensor, conditions: PromptConditions) -> None:
    for condition in (conditions.conditional, conditions.unconditional):
        if len(condition) != len(x):
            raise ValueError(f"there are {len(x)} images, but what is told is about {len(condition)}")


def _mixture(baseline: Baseline, predictions: Mapping[str, Tensor], t: Tensor) -> Tensor:
    """The sum of the predictions that have a share in the baseline, each times its share."""
    x = predictions["image"]
    shares = {name: share for name, share in vars(baseline).items() if _any(share)}
    parts = (scale(_share(share, t), x) * predictions[name] for name, share in shares.items())
    return sum(parts, start=torch.zeros_like(x))


def surrogate_loss(x: Tensor, gradient: Tensor) -> Tensor:
    """0.5 sum (x - stop(x - gradient))^2 / batch, a scalar whose gradient with respect to ``x`` is gradient / batch.

    An ordinary loss, so that loss scaling, weighting and gradient accumulation act on it as on any other.
    """
    target = (x - gradient).detach()
    return 0.5 * ((x - target) ** 2).sum() / len(x)


def _guided(predictions: Mapping[str, Tensor], conditions: PromptConditions, guidance: Guidance, t: Tensor) -> Tensor:
    """The guided prediction, with what the perpendicular prompts push it away from."""
    conditional = perpendicular_shift(
        predictions["conditional"],
        predictions["unconditional"],
        [predictions[f"perpendicular {i}"] for i in range(len(conditions.perpendicular))],
        [negative.weight for negative in conditions.perpendicular],
    )
    return guidance(conditional, predictions["unconditional"], t)


def _as_if_without_noise(schedule: NoiseSchedule, x_t: Tensor, t: Tensor, share: Tensor | float) -> Tensor:
    """x_t / alpha for the images that have a share of it, zero for the others, whose alpha may be zero."""
    inverse_alpha = torch.where(_share(share, t) != 0, 1 / schedule.alpha(t), 0.0)
    return scale(inverse_alpha, x_t) * x_t


def _by_critic(reference: Denoiser | None, x_t: Tensor, t: Tensor, conditions: PromptConditions) -> Tensor:
    """The critic's prediction. Raises ValueError if there is none."""
    if reference is None:
        raise ValueError("this method compares the teacher with a critic of the generator's own images: give one")
    return reference(x_t, t, conditions.reference or conditions.conditional)


def _require_finite(gradient: Tensor, x: Tensor, t: Tensor) -> None:
    if not bool(torch.isfinite(gradient).all()):
        raise NonFiniteGradientError(
            f"the score gradient is not finite (t from {float(t.min()):.3g} to {float(t.max()):.3g}, "
            f"|x| up to {float(x.abs().max()):.3g}): lower the learning rate, or keep t away from 0 and 1"
        )


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
