"""A teacher whose candidates are pictures: text- and camera-conditioned diffusion, small enough for a CPU.

Three parts, stored as a diffusers folder. A `ViewPrior` reads the prompt and draws a few candidate pictures for the
camera; Bayes' rule weighs them given the noisy picture; a `UNet2DConditionModel` adds what the candidates do not know.
With m the candidates' posterior mean and s their residual spread, the picture is N(m, s^2) before the UNet speaks, so

    x0 = m + g alpha s^2 / v (x_t - alpha m) + s sigma / sqrt(v) F,      v = alpha^2 s^2 + sigma^2

where F and g are the UNet's output. F has unit variance, and no error of it is ever amplified, at any noise level.
The gate g in [0, 1] closes where the candidates leave nothing open, such as the background: there x_t adds but noise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import ModelMixin, UNet2DConditionModel
from torch import Tensor, nn

from sds.denoiser import Condition, View, require_prompts
from sds.schedule import NoiseSchedule, cosine_schedule
from sds.teachers.camera_features import CAMERA_FEATURES, camera_features
from sds.teachers.embedded_words import Lexicon, Understanding
from sds.teachers.folder import TeacherFolderError, open_teacher_folder
from sds.teachers.shape_denoising import PATCH, corrected
from sds.teachers.view_prior import Slots, TextEncoding, ViewPrior, posterior_mean
from sds.teachers.weights import load_network

_NEGLIGIBLE = 0.01
_LIKELY_ENOUGH = 0.05
"""The smallest probability of a candidate that is worth being made."""

_IMPOSSIBLE = -1e4
"""The log probability of a candidate that was not drawn: finite, so that conditions can be interpolated."""

_DEFAULT_AZIMUTH = math.radians(30)
_DEFAULT_ELEVATION = math.radians(15)


COMPONENTS: dict[tuple[str, str], type[ModelMixin]] = {
    ("sds.teachers.view_prior", "ViewPrior"): ViewPrior,
    ("diffusers", "UNet2DConditionModel"): UNet2DConditionModel,
}
"""The classes that the folder of an embedded teacher may name."""


def load_view_teacher(folder: Path, device: torch.device | str = "cpu") -> EmbeddedTeacher:
    """Loads such a teacher.

    Args:
        folder: a diffusers folder with `view_prior`, `unet` and `scheduler`.
        device: where to put the networks.

    Raises:
        sds.teachers.folder.TeacherFolderError: the folder is missing, broken or names other classes.
    """
    opened = open_teacher_folder(folder)
    prior = load_network(opened, "view_prior", COMPONENTS)
    unet = load_network(opened, "unet", COMPONENTS)
    if not isinstance(prior, ViewPrior) or not isinstance(unet, UNet2DConditionModel):
        raise TeacherFolderError(f"{opened.path}: model_index.json mixes up the classes of view prior and UNet")
    return EmbeddedTeacher(prior.to(device), unet.to(device), lexicon=_words_in(opened.path))


def _words_in(folder: Path) -> Lexicon | None:
    """The words beside a teacher, for the nouns that its classifier knows; None if there are none."""
    if not (folder / "words").is_dir():
        return None
    try:
        lexicon = Lexicon.load(folder / "words")
        listed = folder / "recogniser" / "config.json"
        return lexicon.only(json.loads(listed.read_text(encoding="utf-8"))["names"]) if listed.exists() else lexicon
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TeacherFolderError(f"{folder / 'words'}: {error}") from error


def condition_width(text_width: int) -> int:
    """How many numbers the UNet is told beside the text states: camera, background colour, pooled text."""
    return CAMERA_FEATURES + 3 + text_width


def told_to_unet(
    prior: ViewPrior,
    text: TextEncoding,
    slots: Slots,
    azimuth: Tensor,
    elevation: Tensor,
    background: Tensor,
    size: int,
    negligible: float = 0.0,
) -> Condition:
    """All that depends on prompt and view but not on the noisy picture.

    Args:
        prior: draws the candidates.
        text: the encoded prompts (B).
        slots: the prompts' candidates (B).
        azimuth, elevation: (B,) radians.
        background: (B, 3) in [0, 1].
        size: side of the pictures.
        negligible: candidates of a smaller probability are left out, which saves the time to draw them.

    Returns:
        A condition with `candidates` (B, K, 3, size, size), `log_weight` (B, K), `states` (B, L, W), `mask` (B, L) and
        `vector` (B, `condition_width(W)`).
    """
    camera = camera_features(azimuth, elevation)
    drawn = slots.log_weight.exp() >= negligible
    return Condition(
        {
            "candidates": prior.candidates(slots, drawn, camera, background, size),
            "log_weight": slots.log_weight.masked_fill(~drawn, _IMPOSSIBLE),
            "states": text.states,
            "mask": text.mask.to(camera.dtype),
            "vector": torch.cat([camera, background * 2 - 1, text.pooled.to(camera.dtype)], dim=1),
        }
    )


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
    mean = posterior_mean(x_t, alpha, sigma, told["candidates"], told["log_weight"], residual)
    return corrected(unet, mean, [], residual, residual, x_t, alpha, sigma, timestep, condition)


class EmbeddedTeacher:
    """A frozen `sds.denoiser.NeuralTeacher` made of a view prior and a UNet.

    Args:
        view_prior: the view prior.
        unet: the UNet.
        chosen: for some prompts, which of the view prior's candidates is meant; for all others any of them may be.
        lexicon: reads prompts for it; without one it hears every word that its vocabulary has.
    """

    knows_views = True
    knows_looks = False

    def __init__(
        self,
        view_prior: ViewPrior,
        unet: UNet2DConditionModel,
        chosen: Mapping[str, int] | None = None,
        lexicon: Lexicon | None = None,
    ) -> None:
        self.lexicon = lexicon
        self.chosen = dict(chosen or {})
        self.view_prior = view_prior.eval().requires_grad_(False)
        self.unet = unet.eval().requires_grad_(False)
        self.schedule: NoiseSchedule = cosine_schedule()
        side = int(unet.config["sample_size"]) * PATCH
        self.shape = (3, side, side)
        self._read_prompts: tuple[str, ...] | None = None
        self._readings: tuple[TextEncoding, Slots]

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.view_prior.parameters()).device

    @torch.no_grad()
    def condition(self, prompts: Sequence[str], view: View | None) -> Condition:
        """See `sds.denoiser.Teacher.condition`; without a view: half from the left, slightly from above, over white.

        Raises ValueError for a bare string, or a view of another number of pictures.
        """
        require_prompts(prompts)
        count = len(prompts)
        if view is not None and len(view.azimuth) != count:
            raise ValueError(f"there are {count} prompts but {len(view.azimuth)} views: one for each picture")
        if view is None:
            azimuth = torch.full((count,), _DEFAULT_AZIMUTH)
            elevation = torch.full((count,), _DEFAULT_ELEVATION)
            background = torch.ones(count, 3)
        else:
            azimuth, elevation, background = view.azimuth, view.elevation, view.background
        text, slots = self._read(prompts)
        azimuth, elevation, background = (
            told.detach().to(self.device, torch.float32) for told in (azimuth, elevation, background)
        )
        return told_to_unet(self.view_prior, text, slots, azimuth, elevation, background, self.shape[-1], _NEGLIGIBLE)

    @torch.no_grad()
    def with_one_object(self, prompt: str, number: int = 0) -> EmbeddedTeacher:
        """The same teacher with its mind made up: of the objects that ``prompt`` may mean it thinks of one only.

        "A round table" has one leg or four. A score that may mean either asks every view for something else, and thin
        parts fade between the two; a table with one leg is as clear a request as any.

        Args:
            prompt: whose candidates to choose from.
            number: 0 chooses the likeliest, 1 the next, and so on, over and over among those that are likely enough.
        """
        weight = self.view_prior.slots_of(self.view_prior.read([self._heard(prompt)]).pooled).log_weight[0].exp()
        order = weight.argsort(descending=True)
        likely = max(1, int((weight >= _LIKELY_ENOUGH).sum()))
        chosen = {**self.chosen, prompt: int(order[number % likely])}
        return EmbeddedTeacher(self.view_prior, self.unet, chosen, self.lexicon)

    def understand(self, prompt: str) -> Understanding | None:
        """What the teacher makes of a prompt; None if it has no lexicon."""
        return self.lexicon.understand(prompt) if self.lexicon is not None else None

    def _heard(self, prompt: str) -> str:
        """What the networks are told: the first thing and its colour, in the words that they were trained on."""
        understood = self.understand(prompt)
        if understood is None or not understood.things:
            return prompt
        thing = understood.things[0]
        name = thing.fine or thing.noun
        return name if thing.colour is None or thing.colour in name.split() else f"{thing.colour} {name}"

    def _read(self, prompts: Sequence[str]) -> tuple[TextEncoding, Slots]:
        """Reads each distinct prompt once, and not again while the same ones are asked for."""
        distinct = tuple(dict.fromkeys(prompts))
        if distinct != self._read_prompts:
            text = self.view_prior.read([self._heard(prompt) for prompt in distinct])
            slots = self.view_prior.slots_of(text.pooled)
            for row, prompt in enumerate(distinct):
                if prompt in self.chosen:
                    slots.log_weight[row] = _IMPOSSIBLE
                    slots.log_weight[row, self.chosen[prompt]] = 0.0
            self._read_prompts, self._readings = distinct, (text, slots)
        text, slots = self._readings
        rows = torch.tensor([distinct.index(prompt) for prompt in prompts], device=self.device)
        return text[rows], slots[rows]

    @property
    def network(self) -> UNet2DConditionModel:
        """The UNet. The view prior is no part of it: its work is done in `condition`."""
        return self.unet

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """E[x0 | x_t] with another network in the UNet's place. Differentiable."""
        alpha, sigma = self.schedule(t)
        spread = self.view_prior.spread
        return predict_x0(network, spread, x_t, alpha, sigma, self.schedule.timestep(t), condition)

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

    def unknown_words(self, prompt: str) -> list[tuple[str, list[str]]]:
        """The words of a prompt that the teacher has never seen, each with known words that are spelt alike."""
        return self.view_prior.vocabulary.unknown(prompt)
