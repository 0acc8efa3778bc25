"""A teacher that reads a prompt, imagines it in space, and denoises what it looks like: lit, unlit, or its normals.

A diffusers folder with four parts. A `sds.teachers.embedded_words.Lexicon` (`words`) says what was understood; a
`ShapePrior` makes fields of the things, which are painted, shaped and placed (`sds.teachers.scene`) and seen from the
camera (`sds.teachers.volume`), once for each of a few candidates; Bayes' rule weighs these given the noisy picture;
and a `UNet2DConditionModel` adds what the candidates do not know. With m the candidates' posterior mean and s their
residual spread,

    x0 = m + g alpha r^2 / (alpha^2 r^2 + sigma^2) (x_t - alpha m) + s sigma / sqrt(alpha^2 s^2 + sigma^2) F

where F and g are the UNet's output. No error of F is ever amplified, at any noise level. The middle term is the linear
estimate of what differs from m by r: where sigma is far below r, x0 is x_t. With r = s it would be all that a Gaussian
N(m, s^2) lets be known, but it would also carry the noise of every step into samples; with a small r that is invisible.
The gate g in [0, 1] closes where the candidates leave nothing open, such as the background: there x_t adds but noise.

The teacher can be asked for three looks of the same thing (`sds.teachers.layers.Look`): lit, albedo and normals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import ModelMixin, UNet2DConditionModel
from torch import Tensor, nn

from sds.denoiser import Condition, View, require_prompts
from sds.schedule import NoiseSchedule, cosine_schedule, scale
from sds.teachers.camera_features import CAMERA_FEATURES, camera_features
from sds.teachers.embedded_words import Lexicon, Understanding
from sds.teachers.embedded_words.lexicon import Known
from sds.teachers.embedded_words.nouns import KnownNoun
from sds.teachers.folder import TeacherFolderError, blaming, open_teacher_folder
from sds.teachers.layers import LOOKS, Look, all_looks, picture
from sds.teachers.materials import COLOURS, MATERIALS
from sds.teachers.scene import PROPORTIONS, candidates_of, rows_of, scene_field
from sds.teachers.shape_prior import ShapePrior
from sds.teachers.volume import DEFAULT_DISTANCE, DEFAULT_FIELD_OF_VIEW, Eyes, render_layers
from sds.teachers.weights import load_network

PATCH = 4
"""Each 4 x 4 block of pixels is one position of the UNet."""
SPREAD = 0.15
"""s, the standard deviation (pictures in [-1, 1]) of what the best candidate leaves unexplained."""
_HEARD = 0.02
"""r, the differences from the best candidate that are believed where there is less noise than this."""
TOKENS = 3
"""Things that the UNet is told of by attention; further ones it sees in the candidate only."""
CANDIDATES = 6
"""Scenes that a prompt may mean at once."""

_ONE_FIELD_SIDE = 96
_MANY_FIELDS_SIDE = 48
_FIELDS_KEPT = 64
_CORRELATED = 1 / 128
"""The share of a picture's pixels that err as one."""
_IMPOSSIBLE = -1e4
"""The log probability of a candidate that is not there: finite, so that conditions can be interpolated."""

_DEFAULT_AZIMUTH = math.radians(30)
_DEFAULT_ELEVATION = math.radians(15)

COMPONENTS: dict[tuple[str, str], type[ModelMixin]] = {
    ("sds.teachers.shape_prior", "ShapePrior"): ShapePrior,
    ("diffusers", "UNet2DConditionModel"): UNet2DConditionModel,
}
"""The classes that the folder of such a teacher may name."""


def load_shape_teacher(folder: Path, device: torch.device | str = "cpu") -> ShapeTeacher:
    """Loads a teacher that `examples/train_teacher` made.

    Args:
        folder: a diffusers folder with `shape_prior`, `unet` and `scheduler`, and its words in `words`; a folder
            without words is understood by the names of its things alone.
        device: where to put the networks.

    Raises:
        sds.teachers.folder.TeacherFolderError: the folder is missing, broken or names other classes.
    """
    opened = open_teacher_folder(folder)
    prior = load_network(opened, "shape_prior", COMPONENTS)
    unet = load_network(opened, "unet", COMPONENTS)
    if not isinstance(prior, ShapePrior) or not isinstance(unet, UNet2DConditionModel):
        raise TeacherFolderError(f"{opened.path}: model_index.json mixes up the classes of shape prior and UNet")
    words = opened.path / "words"
    with blaming(words if words.is_dir() else opened.path, "its words cannot be read"):
        names = prior.config["variants"]
        lexicon = Lexicon.load(words).only(names) if words.is_dir() else plain_lexicon(prior)
    return ShapeTeacher(prior.to(device), unet.to(device), lexicon)


def condition_width(code_width: int) -> int:
    """How many numbers the UNet is told at once: camera, background colour, look, code."""
    return CAMERA_FEATURES + 3 + len(LOOKS) + code_width


def told_to_unet(
    candidates: Tensor,
    log_weight: Tensor,
    tokens: Tensor,
    present: Tensor,
    eyes: Eyes,
    look: Tensor,
    background: Tensor,
) -> Condition:
    """All that depends on prompt and view but not on the noisy picture.

    Args:
        candidates: (B, K, 10, S, S), every look of each candidate, see `sds.teachers.layers.all_looks`.
        log_weight: (B, K).
        tokens: (B, `TOKENS`, C) the codes of the things.
        present: (B, `TOKENS`), 1 where there is one.
        eyes: the cameras.
        look: (B,) int64, which of `LOOKS` is asked for.
        background: (B, 3) in [0, 1].

    Returns:
        A condition with `candidates` (B, K, 3, S, S) in [-1, 1], `guides` (B, K, 10, S, S), `log_weight`, `states`,
        `mask` and `vector` (B, `condition_width(C)`).
    """
    count = candidates.shape[1]
    asked = picture(candidates.flatten(0, 1), look.repeat_interleave(count), background.repeat_interleave(count, 0))
    one_hot = (look[:, None] == torch.arange(len(LOOKS), device=look.device)).to(candidates)
    mean = (tokens * present[:, :, None]).sum(1) / present.sum(1, keepdim=True).clamp(min=1)
    camera = camera_features(eyes.azimuth, eyes.elevation)
    return Condition(
        {
            "candidates": (asked * 2 - 1).unflatten(0, candidates.shape[:2]),
            "guides": candidates * 2 - 1,
            "log_weight": log_weight,
            "states": tokens,
            "mask": present,
            "vector": torch.cat([camera, background * 2 - 1, one_hot, mean], dim=1),
        }
    )


def posterior(
    x_t: Tensor, alpha: Tensor, sigma: Tensor, candidates: Tensor, log_weight: Tensor, residual: float
) -> Tensor:
    """p(k | x_t) ~ w_k N(x_t; alpha mu_k, c alpha^2 s^2 + sigma^2): (B, K).

    Noise differs from pixel to pixel, what a candidate leaves unexplained does not: c numbers err as one, so its
    variance counts c times.

    Args:
        x_t: (B, 3, H, W).
        alpha, sigma: (B,).
        candidates: mu_k, (B, K, 3, H, W).
        log_weight: log w_k, (B, K).
        residual: s.
    """
    alpha, sigma = alpha.to(x_t), sigma.to(x_t)
    correlated = _CORRELATED * x_t.shape[-2] * x_t.shape[-1]
    variance = (alpha**2 * correlated * residual**2 + sigma**2)[:, None]
    difference = x_t.flatten(1)[:, None] - alpha[:, None, None] * candidates.flatten(2)
    return (log_weight.to(x_t) - difference.square().sum(2) / (2 * variance)).softmax(dim=1)


def predict_x0(
    unet: nn.Module,
    residual: float,
    x_t: Tensor,
    alpha: Tensor,
    sigma: Tensor,
    timestep: Tensor,
    condition: Condition,
) -> Tensor:
    """E[x0 | x_t] by the formula at the top of this file.

    Args:
        unet: predicts F and the logit of g, 2 x 3 x PATCH^2 channels.
        residual: s, spread of the candidates, pictures in [-1, 1].
        x_t: (B, 3, S, S).
        alpha, sigma: (B,).
        timestep: (B,), what the UNet is told about the noise.
        condition: what `told_to_unet` returned.

    Returns:
        (B, 3, S, S).
    """
    told = condition.tensors
    share = posterior(x_t, alpha, sigma, told["candidates"], told["log_weight"], residual)
    mean = torch.einsum("bk,bkchw->bchw", share, told["candidates"])
    guides = torch.einsum("bk,bkchw->bchw", share, told["guides"])
    return corrected(unet, mean, [guides], residual, _HEARD, x_t, alpha, sigma, timestep, condition)


def corrected(
    unet: nn.Module,
    mean: Tensor,
    guides: Sequence[Tensor],
    residual: float,
    heard: float,
    x_t: Tensor,
    alpha: Tensor,
    sigma: Tensor,
    timestep: Tensor,
    condition: Condition,
) -> Tensor:
    """x0 by the formula at the top of this file, from what is imagined already.

    Args:
        unet: see `predict_x0`.
        mean: m, (B, 3, S, S).
        guides: what the UNet is shown beside it, (B, C, S, S) each.
        residual, heard: s and r.
        x_t, alpha, sigma, timestep, condition: see `predict_x0`.
    """
    told = condition.tensors
    a, s = scale(alpha, x_t), scale(sigma, x_t)
    variance = a**2 * residual**2 + s**2
    surprise = x_t - a * mean
    seen = torch.cat([surprise / variance.sqrt(), mean, *guides], dim=1)
    output = unet(
        F.pixel_unshuffle(seen, PATCH),
        timestep.to(x_t),
        encoder_hidden_states=told["states"],
        encoder_attention_mask=told["mask"],
        class_labels=told["vector"],
    ).sample
    correction, gate = F.pixel_shuffle(output.to(x_t), PATCH).chunk(2, dim=1)
    linear = gate.sigmoid() * a * heard**2 / (a**2 * heard**2 + s**2) * surprise
    return mean + linear + residual * s / variance.sqrt() * correction


def plain_lexicon(prior: ShapePrior) -> Lexicon:
    """The names of a prior's things, and every colour, material and proportion that can be made of them."""
    finer: dict[str, list[str]] = {}
    for noun, fine in zip(prior.config["variants"], prior.config["fine_names"], strict=True):
        finer.setdefault(noun, []).extend([fine] if fine else [])
    nouns = tuple(KnownNoun(noun, (), tuple(dict.fromkeys(fine))) for noun, fine in finer.items())
    return Lexicon(Known(nouns, tuple(COLOURS), tuple(MATERIALS), PROPORTIONS))


@dataclass
class _Mind:
    """What has been imagined: fields by (prompt, number, side), the oldest forgotten first."""

    fields: dict[tuple[str, int, int], Tensor] = field(default_factory=dict)

    def keep(self, key: tuple[str, int, int], value: Tensor) -> Tensor:
        self.fields[key] = value
        while len(self.fields) > _FIELDS_KEPT:
            del self.fields[next(iter(self.fields))]
        return value


class ShapeTeacher:
    """A frozen `sds.denoiser.NeuralTeacher` made of words, a shape prior and a UNet.

    Args:
        shape_prior: makes fields of things.
        unet: adds what the fields do not know.
        lexicon: reads prompts.
        number: which of the scenes that a prompt may mean is meant; None: any of the first `CANDIDATES`.
    """

    knows_views = True
    knows_looks = True

    def __init__(
        self, shape_prior: ShapePrior, unet: UNet2DConditionModel, lexicon: Lexicon, number: int | None = None
    ) -> None:
        self.shape_prior = shape_prior.eval().requires_grad_(False)
        self.unet = unet.eval().requires_grad_(False)
        self.lexicon = lexicon
        self.number = number
        self.schedule: NoiseSchedule = cosine_schedule()
        side = int(unet.config["sample_size"]) * PATCH
        self.shape = (3, side, side)
        self._mind = _Mind()

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.shape_prior.parameters()).device

    @torch.no_grad()
    def condition(self, prompts: Sequence[str], view: View | None) -> Condition:
        """See `sds.denoiser.Teacher.condition`; without a view: half from the left, slightly from above, over white.

        A view may say more than azimuth, elevation and background: `distance` and `field_of_view`, each (B,), and
        `look`, (B,) indices into `LOOKS` or one `Look` for all; without it everything is lit.

        Raises ValueError for a bare string, or a view of another number of pictures.
        """
        require_prompts(prompts)
        count, device = len(prompts), self.device
        if view is not None and len(view.azimuth) != count:
            raise ValueError(f"there are {count} prompts but {len(view.azimuth)} views: one for each picture")
        if view is None:
            eyes = Eyes.at(torch.full((count,), _DEFAULT_AZIMUTH), torch.full((count,), _DEFAULT_ELEVATION))
            background = torch.ones(count, 3)
        else:
            eyes, background = eyes_of(view), view.background.detach()
        eyes = Eyes(*(value.to(device, torch.float32) for value in vars(eyes).values()))
        background = background.to(device, torch.float32)
        candidates, log_weight = self._candidates(prompts, eyes)
        tokens, present = self._tokens(prompts)
        return told_to_unet(candidates, log_weight, tokens, present, eyes, looks_of(view, count).to(device), background)

    def with_one_object(self, prompt: str, number: int = 0) -> ShapeTeacher:
        """The same teacher with its mind made up: of the objects that a prompt may mean it thinks of one only.

        "A round table" has one leg or four. A score that may mean either asks every view for something else, and thin
        parts fade between the two; a table with one leg is as clear a request as any.

        Args:
            prompt: what will be asked for; it is imagined at once.
            number: another number is another object, over and over among those that there are.
        """
        teacher = ShapeTeacher(self.shape_prior, self.unet, self.lexicon, number)
        teacher._field(prompt, number)
        return teacher

    def understand(self, prompt: str) -> Understanding:
        """What the teacher makes of a prompt."""
        return self.lexicon.understand(prompt)

    def _candidates(self, prompts: Sequence[str], eyes: Eyes) -> tuple[Tensor, Tensor]:
        """Every look of the candidates (B, K, 10, S, S), and their log probabilities (B, K)."""
        side = self.shape[-1]
        count = 1 if self.number is not None else CANDIDATES
        looks = torch.zeros(len(prompts), count, 10, side, side, device=self.device)
        log_weight = torch.full((len(prompts), count), _IMPOSSIBLE, device=self.device)
        for prompt in dict.fromkeys(prompts):
            rows = torch.tensor([i for i, other in enumerate(prompts) if other == prompt], device=self.device)
            seen_by = Eyes(*(value[rows] for value in vars(eyes).values()))
            numbers = [self.number] if self.number is not None else range(min(CANDIDATES, self._possible(prompt)))
            for k, number in enumerate(numbers):
                layers = render_layers(self._field(prompt, number), seen_by, side)
                looks[rows, k] = all_looks(layers, [None] * len(rows), seen_by.azimuth, seen_by.elevation)
                log_weight[rows, k] = -math.log(len(numbers))
        return looks, log_weight

    def _possible(self, prompt: str) -> int:
        return candidates_of(self.shape_prior, self.understand(prompt))

    def _field(self, prompt: str, number: int) -> Tensor:
        """What is imagined, computed once."""
        side = _MANY_FIELDS_SIDE if self.number is None else _ONE_FIELD_SIDE
        key = (prompt, number, side)
        if key not in self._mind.fields:
            self._mind.keep(key, scene_field(self.shape_prior, self.understand(prompt), number, side))
        return self._mind.fields[key]

    def _tokens(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The codes of the things (B, `TOKENS`, C), those of the first candidate, and which there are (B, `TOKENS`)."""
        width = int(self.shape_prior.config["code_width"])
        tokens = torch.zeros(len(prompts), TOKENS, width, device=self.device)
        present = torch.zeros(len(prompts), TOKENS, device=self.device)
        for row, prompt in enumerate(prompts):
            codes = rows_of(self.shape_prior, self.understand(prompt), self.number or 0)[:TOKENS]
            tokens[row, : len(codes)] = self.shape_prior.norm(self.shape_prior.code.weight[codes])
            present[row, : len(codes)] = 1
        return tokens, present

    @property
    def network(self) -> UNet2DConditionModel:
        """The UNet. The shape prior is no part of it: its work is done in `condition`."""
        return self.unet

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """E[x0 | x_t] with another network in the UNet's place. Differentiable."""
        alpha, sigma = self.schedule(t)
        return predict_x0(network, SPREAD, x_t, alpha, sigma, self.schedule.timestep(t), condition)

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """E[x0 | x_t] for x_t of shape (B, 3, S, S) in [-1, 1] and times (B,) in [0, 1]."""
        return self.denoise(self.unet, x_t, t, condition)

    def encode(self, image: Tensor) -> Tensor:
        """An image (B, 3, H, W) in [0, 1] at the teacher's size, in [-1, 1]. Differentiable."""
        if image.shape[-2:] != self.shape[1:]:
            shrinks = min(image.shape[-2:]) > self.shape[-1]
            image = F.interpolate(image, self.shape[1:], mode="bilinear", align_corners=False, antialias=shrinks)
        return image * 2 - 1

    def decode(self, x: Tensor) -> Tensor:
        """x in [-1, 1] as an image in [0, 1]."""
        return (x + 1) / 2


def eyes_of(view: View) -> Eyes:
    """The cameras of a view; where it says no distance and field of view, those that the teacher is used to."""
    azimuth = view.azimuth.detach() * 1.0  # whole radians may come as integers
    distance = getattr(view, "distance", None)
    field_of_view = getattr(view, "field_of_view", None)
    return Eyes(
        azimuth,
        view.elevation.detach(),
        torch.full_like(azimuth, DEFAULT_DISTANCE) if distance is None else distance.detach(),
        torch.full_like(azimuth, DEFAULT_FIELD_OF_VIEW) if field_of_view is None else field_of_view.detach(),
    )


def looks_of(view: View | None, count: int) -> Tensor:
    """Which of `LOOKS` each of ``count`` pictures of a view shows: (count,) int64.

    Raises ValueError for looks that there are not.
    """
    asked = getattr(view, "look", None)
    if asked is None or isinstance(asked, Look):
        return torch.full((count,), LOOKS.index(asked or Look.LIT))
    if asked.shape != (count,) or asked.min() < 0 or asked.max() >= len(LOOKS):
        raise ValueError(f"a view's looks are {count} numbers below {len(LOOKS)}, not {asked.tolist()}")
    return asked.long()
