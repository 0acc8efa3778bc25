"""What a prompt looks like from a camera, before any noise is seen: the embedded teacher's exact answer at t = 1.

A text encoder reads the prompt. From it a few *slots* are derived: candidate objects with weights, so that a noun with
many shapes keeps them apart instead of blurring them into their mean. Each slot is drawn from the camera in layers:
parts that keep their colour, the shade of parts that are painted in the prompt's colour, and opacity. Composited over
the background, slot k is the picture mu_k. Given a noisy picture, Bayes' rule says which slot it may be::

    p(k | x_t) ~ w_k N(x_t; alpha mu_k, c alpha^2 s^2 + sigma^2),     m(x_t) = sum_k p(k | x_t) mu_k

which is the denoiser of the mixture of N(mu_k, s^2) up to the within-component term (`posterior_mean`). Noise differs
from pixel to pixel, what a slot leaves unexplained does not: c numbers err as one, so its variance counts c times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from sds.teachers.camera_features import CAMERA_FEATURES
from sds.teachers.vocabulary import PAD, Vocabulary

_LAYERS = 5
_CORRELATED = 1 / 128
"""The share of a picture's pixels that err as one: 8 of them at 32 x 32."""


@dataclass(frozen=True)
class TextEncoding:
    """A prompt, read: `states` (B, L, W) one vector a token, `mask` (B, L) bool True at tokens, `pooled` (B, W)."""

    states: Tensor
    mask: Tensor
    pooled: Tensor

    def __getitem__(self, rows: Tensor) -> TextEncoding:
        """The prompts of these rows (N,), in their order."""
        return TextEncoding(self.states[rows], self.mask[rows], self.pooled[rows])


@dataclass(frozen=True)
class Slots:
    """Candidate objects of a prompt.

    Attributes:
        code: (B, K, C) what each candidate looks like from all sides.
        colour: (B, K, 3) in [0, 1], the colour of its painted parts.
        log_weight: (B, K) log probabilities.
    """

    code: Tensor
    colour: Tensor
    log_weight: Tensor

    def __getitem__(self, rows: Tensor) -> Slots:
        """The prompts of these rows (N,), in their order."""
        return Slots(self.code[rows], self.colour[rows], self.log_weight[rows])


@dataclass(frozen=True)
class Layers:
    """A candidate seen by a camera, all in [0, 1] and premultiplied by opacity.

    Attributes:
        fixed: (N, 3, R, R) parts that keep their colour.
        shade: (N, 1, R, R) parts painted in the slot's colour, to be multiplied with it.
        opacity: (N, 1, R, R).
    """

    fixed: Tensor
    shade: Tensor
    opacity: Tensor

    def over(self, background: Tensor, colour: Tensor) -> Tensor:
        """The picture (N, 3, R, R) in [0, 1] with painted parts in `colour` (N, 3) over a plain `background` (N, 3)."""
        painted = self.shade * colour[:, :, None, None]
        return self.fixed + painted + (1 - self.opacity) * background[:, :, None, None]


class _TextEncoder(nn.Module):
    def __init__(self, vocabulary_size: int, length: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary_size, width, padding_idx=PAD)
        self.position = nn.Parameter(torch.zeros(length, width))
        nn.init.normal_(self.token.weight, std=0.5)
        nn.init.normal_(self.position, std=0.1)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, 3 * width, dropout=0.0, activation=F.gelu, batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> TextEncoding:
        mask = tokens != PAD
        states = self.token(tokens) + self.position
        for block in self.blocks:
            states = block(states, src_key_padding_mask=~mask)
        states = self.norm(states)
        present = mask[:, :, None].to(states.dtype)
        pooled = (states * present).sum(1) / present.sum(1)
        return TextEncoding(states, mask, pooled)


class _ViewBlock(nn.Module):
    """A residual MLP block whose hidden activations the camera scales and shifts."""

    def __init__(self, width: int, camera_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.modulation = nn.Linear(camera_width, 2 * width)
        self.enter = nn.Linear(width, width)
        self.leave = nn.Linear(width, width)
        nn.init.zeros_(self.leave.weight)

    def forward(self, hidden: Tensor, camera: Tensor) -> Tensor:
        scale, shift = self.modulation(camera).chunk(2, dim=1)
        inner = self.enter(self.norm(hidden)) * (1 + scale) + shift
        return hidden + self.leave(F.silu(inner))


class ViewPrior(ModelMixin, ConfigMixin):
    """Text encoder, slots and the view decoder.

    Args:
        words: the words it knows.
        length: tokens a prompt, the start token included.
        text_width: width of the text encoder's states.
        text_layers: transformer layers.
        text_heads: attention heads.
        slots: candidates a prompt (K).
        code_width: numbers that describe a candidate (C).
        width: width of the view decoder.
        blocks: residual blocks of the view decoder.
        resolution: side of the layers it draws (R).
        residual: s, the standard deviation (pictures in [-1, 1]) of what the best slot leaves unexplained.
    """

    @register_to_config
    def __init__(
        self,
        words: Sequence[str],
        length: int = 8,
        text_width: int = 192,
        text_layers: int = 2,
        text_heads: int = 4,
        slots: int = 8,
        code_width: int = 256,
        width: int = 768,
        blocks: int = 3,
        resolution: int = 32,
        residual: float = 0.2,
    ) -> None:
        super().__init__()
        self.vocabulary = Vocabulary(words, length)
        self.spread = residual
        self.text = _TextEncoder(len(self.vocabulary), length, text_width, text_layers, text_heads)
        self.slot = nn.Parameter(torch.randn(slots, text_width) * 0.5)
        # Each layer is normalised: without that, what tells one noun from another fades on its way to the code.
        self.to_code = nn.Sequential(
            nn.Linear(2 * text_width, 512),
            nn.LayerNorm(512),
            nn.SiLU(),
            nn.Linear(512, code_width),
            nn.LayerNorm(code_width),
        )
        self.to_colour = nn.Sequential(nn.Linear(2 * text_width, 128), nn.SiLU(), nn.Linear(128, 3))
        self.to_weight = nn.Sequential(nn.Linear(2 * text_width, 128), nn.SiLU(), nn.Linear(128, 1))
        camera_width = 256
        self.camera = nn.Sequential(
            nn.Linear(CAMERA_FEATURES, camera_width),
            nn.LayerNorm(camera_width),
            nn.SiLU(),
            nn.Linear(camera_width, camera_width),
            nn.LayerNorm(camera_width),
        )
        self.enter = nn.Linear(code_width, width)
        self.enter_camera = nn.Linear(camera_width, width)
        self.view_blocks = nn.ModuleList(_ViewBlock(width, camera_width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.draw_layers = nn.Linear(width, _LAYERS * resolution * resolution)
        nn.init.normal_(self.draw_layers.weight, std=0.01)
        nn.init.zeros_(self.draw_layers.bias)

    def read(self, prompts: Sequence[str]) -> TextEncoding:
        """Reads B prompts; words that it does not know are left out."""
        return self.text(self.vocabulary.tokens(prompts).to(self.slot.device))

    def slots_of(self, pooled: Tensor) -> Slots:
        """Pooled text (B, W) -> its candidates."""
        batch, count = len(pooled), len(self.slot)
        joint = torch.cat(
            [pooled[:, None].expand(-1, count, -1), self.slot[None].expand(batch, -1, -1).to(pooled)], dim=2
        )
        return Slots(
            code=self.to_code(joint),
            colour=self.to_colour(joint).float().sigmoid(),
            log_weight=self.to_weight(joint)[..., 0].float().log_softmax(dim=1),
        )

    def draw(self, code: Tensor, camera: Tensor) -> Layers:
        """Draws candidates (N, C) from cameras (N, `CAMERA_FEATURES`)."""
        seen_from = self.camera(camera)
        hidden = self.enter(code) * (1 + self.enter_camera(seen_from))
        for block in self.view_blocks:
            hidden = block(hidden, seen_from)
        side = self.config.resolution
        drawn = self.draw_layers(F.silu(self.norm(hidden))).float().view(-1, _LAYERS, side, side)
        return Layers(drawn[:, 0:3], drawn[:, 3:4], drawn[:, 4:5])

    def candidates(self, slots: Slots, drawn: Tensor, camera: Tensor, background: Tensor, size: int) -> Tensor:
        """The slots' pictures.

        Args:
            slots: of B prompts.
            drawn: (B, K) bool, which slots to draw; the others' pictures are gray.
            camera: (B, `CAMERA_FEATURES`).
            background: (B, 3) in [0, 1].
            size: side of the pictures.

        Returns:
            (B, K, 3, size, size) in [-1, 1].
        """
        prompt = drawn.nonzero()[:, 0]
        layers = self.draw(slots.code[drawn], camera[prompt])
        pictures = layers.over(background[prompt], slots.colour[drawn]).clamp(0, 1) * 2 - 1
        if size != pictures.shape[-1]:
            pictures = F.interpolate(pictures, size=(size, size), mode="bilinear", align_corners=False)
        return pictures.new_zeros(*drawn.shape, 3, size, size).index_put((drawn,), pictures)


def posterior_mean(
    x_t: Tensor, alpha: Tensor, sigma: Tensor, candidates: Tensor, log_weight: Tensor, residual: float
) -> Tensor:
    """The mixture's mean picture given a noisy one: sum_k p(k | x_t) mu_k.

    Args:
        x_t: (B, 3, H, W).
        alpha, sigma: (B,).
        candidates: mu_k, (B, K, 3, H, W).
        log_weight: (B, K).
        residual: s, standard deviation of each component.

    Returns:
        (B, 3, H, W).
    """
    alpha, sigma = alpha.to(x_t.device), sigma.to(x_t.device)  # schedules live on the CPU
    scaled = alpha[:, None, None].to(x_t.dtype)
    correlated = _CORRELATED * x_t.shape[-2] * x_t.shape[-1]
    variance = (alpha**2 * correlated * residual**2 + sigma**2)[:, None].to(x_t.dtype)
    difference = x_t.flatten(1)[:, None] - scaled * candidates.flatten(2)
    log_likelihood = -difference.square().sum(2) / (2 * variance)
    posterior = (log_weight.to(x_t.dtype) + log_likelihood).softmax(dim=1)
    return torch.einsum("bk,bkchw->bchw", posterior, candidates)
