"""A teacher that reads a prompt, imagines it in space, and denoises what it looks like: lit, unlit, or its normals.

A diffusers folder with four parts. A `sds.teachers.embedded_words.Lexicon` (`words`) says what was understood; a
`ShapePrior` makes fields of the things, which are painted, shaped and placed (`sds.teachers.scene`) and seen from the
camera (`sds.teachers.volume`), once for each of a few candidates; Bayes' rule weighs these given the noisy picture;
and a `UNet2DConditionModel` adds what the candidates do not know
(`sds.teachers.shape_denoising`).

The teacher can be asked for three looks of the same thing (`sds.teachers.layers.Look`): lit, albedo and normals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import ModelMixin, UNet2DConditionModel
from torch import Tensor, nn

from sds.denoiser import Condition, View, require_prompts
from sds.schedule import NoiseSchedule, cosine_schedule
from sds.teachers.embedded_words import Lexicon, Understanding
from sds.teachers.embedded_words.lexicon import Known
from sds.teachers.embedded_words.nouns import KnownNoun
from sds.teachers.folder import TeacherFolderError, blaming, open_teacher_folder
from sds.teachers.layers import LOOKS, Look, all_looks
from sds.teachers.materials import COLOURS, MATERIALS
from sds.teachers.mind import Mind
from sds.teachers.scene import PROPORTIONS
from sds.teachers.shape_denoising import PATCH, SPREAD, TOKENS, predict_x0, told_to_unet
from sds.teachers.shape_prior import ShapePrior
from sds.teachers.volume import DEFAULT_DISTANCE, DEFAULT_FIELD_OF_VIEW, Eyes, render_layers
from sds.teachers.weights import load_network

CANDIDATES = 6
"""Scenes that a prompt may mean at once."""

_ONE_FIELD_SIDE = 96
_MANY_FIELDS_SIDE = 48
_MANY_SCENES_SIDE = 72
"""Cells along the side of a field: of the one scene that is meant, of each of several things, of each of several scenes
of things together, which are smaller there."""
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
        for name in opened.names("words") if words.is_dir() else ():
            opened.file("words", name)  # no link may lead out
        names = prior.config["variants"]
        lexicon = Lexicon.load(words).only(names) if words.is_dir() else plain_lexicon(prior)
    return ShapeTeacher(prior.to(device), unet.to(device), lexicon)


def plain_lexicon(prior: ShapePrior) -> Lexicon:
    """The names of a prior's things, and every colour, material and proportion that can be made of them."""
    finer: dict[str, list[str]] = {}
    for noun, fine in zip(prior.config["variants"], prior.config["fine_names"], strict=True):
        finer.setdefault(noun, []).extend([fine] if fine else [])
    nouns = tuple(KnownNoun(noun, (), tuple(dict.fromkeys(fine))) for noun, fine in finer.items())
    return Lexicon(Known(nouns, tuple(COLOURS), tuple(MATERIALS), PROPORTIONS))


class ShapeTeacher:
    """A frozen `sds.denoiser.NeuralTeacher` made of words, a shape prior and a UNet.

    Args:
        shape_prior: makes fields of things.
        unet: adds what the fields do not know.
        lexicon: reads prompts.
        number: which of the scenes that a prompt may mean is meant; None: any of the first `CANDIDATES`.
    """

    knows_views = True

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
        self._mind = Mind(self.shape_prior, lexicon)

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
        teacher._mind = self._mind
        self._mind.scene(prompt, number, _ONE_FIELD_SIDE)
        return teacher

    def understand(self, prompt: str) -> Understanding:
        """What the teacher makes of a prompt."""
        return self._mind.understand(prompt)

    def _candidates(self, prompts: Sequence[str], eyes: Eyes) -> tuple[Tensor, Tensor]:
        """Every look of the candidates (B, K, 10, S, S), and their log probabilities (B, K)."""
        side = self.shape[-1]
        count = 1 if self.number is not None else CANDIDATES
        looks = torch.zeros(len(prompts), count, 10, side, side, device=self.device)
        log_weight = torch.full((len(prompts), count), _IMPOSSIBLE, device=self.device)
        for prompt in dict.fromkeys(prompts):
            rows = torch.tensor([i for i, other in enumerate(prompts) if other == prompt], device=self.device)
            seen_by = Eyes(*(value[rows] for value in vars(eyes).values()))
            numbers = [self.number] if self.number is not None else range(min(CANDIDATES, self._mind.possible(prompt)))
            cells = self._cells(prompt)
            for k, number in enumerate(numbers):
                scene = self._mind.scene(prompt, number, cells)
                layers = render_layers(scene.field, seen_by, side)
                looks[rows, k] = all_looks(layers, [scene.paint] * len(rows), seen_by.azimuth, seen_by.elevation)
                log_weight[rows, k] = -math.log(len(numbers))
        return looks, log_weight

    def _cells(self, prompt: str) -> int:
        if self.number is not None:
            return _ONE_FIELD_SIDE
        things = self.understand(prompt).things
        return _MANY_SCENES_SIDE if sum(thing.count for thing in things) > 1 else _MANY_FIELDS_SIDE

    def _tokens(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The codes of the things (B, `TOKENS`, C), those of the first candidate, and which there are (B, `TOKENS`)."""
        width = int(self.shape_prior.config["code_width"])
        tokens = torch.zeros(len(prompts), TOKENS, width, device=self.device)
        present = torch.zeros(len(prompts), TOKENS, device=self.device)
        for row, prompt in enumerate(prompts):
            codes = self._mind.rows(prompt, self.number or 0)[:TOKENS]
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
