"""Zero123 (Liu et al. 2023) and Stable Zero123: one picture of an object is known, and every other view is asked for.

The network takes the known picture's latents beside the noisy ones, and a token made of CLIP's view of it and of how
far the camera moved. Folders hold a UNet of twice the channels, an `image_encoder`, and a linear layer that makes the
token (`clip_camera_projection`, or `cc_projection`) under a class of their own, which is never imported.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ModelMixin, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from sds.denoiser import Condition
from sds.teachers.conditioning import PromptError
from sds.teachers.connection import Connection, Site, Told
from sds.teachers.file_kinds import PROJECTION
from sds.teachers.folder import TeacherFolder
from sds.teachers.image_codec import LatentCodec, resized
from sds.teachers.single_file import read_single_file
from sds.teachers.text_encoding import build_encoder
from sds.teachers.text_kinds import EncoderKind
from sds.teachers.weights import DIFFUSERS_WEIGHTS, frozen, read_weights

PROJECTIONS = ("clip_camera_projection", "cc_projection")
"""Names of the linear layer that joins picture and camera."""

VISION_FIELDS = (
    "hidden_size",
    "intermediate_size",
    "projection_dim",
    "num_hidden_layers",
    "num_attention_heads",
    "num_channels",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
)

VISION_MODELS = {
    ("transformers", "CLIPVisionModelWithProjection"): EncoderKind(
        CLIPVisionModelWithProjection, CLIPVisionConfig, VISION_FIELDS, takes_mask=False
    )
}

CLIP_MEAN, CLIP_DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the colours that CLIP was trained on (Radford et al. 2021)."""

CAMERA_VALUES = 4

STABLE = re.compile("stable[-_ ]?zero", re.IGNORECASE)
"""Nothing but its name tells Stable Zero123 from the first."""


def projection_of(folder: TeacherFolder) -> str | None:
    """The component that joins picture and camera; None if the folder is of another kind."""
    return next((name for name in PROJECTIONS if folder.has(name)), None)


@dataclass
class PictureConditioner:
    """Any prompt stands for the picture that was shown, the empty one for none.

    Attributes:
        look: from a picture of shape (1, 3, height, width) in [0, 1] to CLIP's view of it, shape (1, width).
        encode: from the same to latents, not scaled, shape (1, channels, height, width).
        size: (height, width) of the pictures that the network draws, at which both are shown it.
        device: where conditions are.
        shown: what the network is told about the picture: "seen", "latents", "elevation"; None before `show`.
    """

    look: Callable[[Tensor], Tensor]
    encode: Callable[[Tensor], Tensor]
    size: tuple[int, int]
    device: torch.device
    shown: dict[str, Tensor] | None = None
    takes_sentences: bool = field(default=False, init=False)
    vocabulary: None = field(default=None, init=False)
    has_null: bool = field(default=True, init=False)

    @torch.no_grad()
    def show(self, picture: Tensor, elevation: float) -> None:
        """What all views shall belong to.

        Args:
            picture: shape (3, height, width) in [0, 1], the object in the middle on white, seen from the front.
            elevation: from which it was taken, radians above the horizon.
        """
        seen = resized(picture[None].to(self.device), self.size)
        elevations = torch.tensor([[elevation]], device=self.device)
        self.shown = {"seen": self.look(seen), "latents": self.encode(seen), "elevation": elevations}

    def __call__(self, prompts: Sequence[str]) -> Condition:
        """See `sds.teachers.conditioning.Conditioner`. Raises PromptError before a picture was shown."""
        if self.shown is None:
            raise PromptError("this teacher is told a picture, and draws other views of it: generate --image FILE")
        known = torch.tensor([[float(bool(prompt.strip()))] for prompt in prompts], device=self.device)
        rows = {name: value.expand(len(prompts), *value.shape[1:]) for name, value in self.shown.items()}
        return Condition({**rows, "known": known})

    def release(self) -> None:
        """There is nothing to free: the picture may be shown again."""


def connect_picture(network: UNet2DConditionModel, site: Site, codec: Any) -> Connection:
    """The camera's move from the picture's own, and the picture, as the network was trained to be told them."""
    site.require(isinstance(codec, LatentCodec), "a network that is told a picture needs an autoencoder")
    projection, eye = load_projection(site), load_eye(site)
    stable = bool(STABLE.search(site.folder.called))
    width = network.config.cross_attention_dim
    site.require(
        projection.out_features == width and projection.in_features == eye.config.projection_dim + CAMERA_VALUES,
        f"its projection takes {projection.in_features} numbers to {projection.out_features}, not to {width}",
    )

    def call(network: ModelMixin, x_t: Tensor, timestep: Tensor, told: Told) -> Tensor:
        moved = camera_move(told["camera"], told["elevation"][:, 0], stable)
        token = projection(torch.cat([told["seen"], moved.to(x_t.dtype)], dim=-1)) * told["known"]
        picture = told["latents"] * told["known"][:, :, None, None]
        return network(torch.cat([x_t, picture], dim=1), timestep, encoder_hidden_states=token[:, None]).sample

    prompts = PictureConditioner(
        lambda picture: eye(prepared(picture, eye.config.image_size).to(site.dtype)).image_embeds.float(),
        lambda picture: codec.encode(picture) / codec.scale + codec.shift,
        codec.size,
        site.device,
    )
    return Connection(call, prompts, told_camera=True)


def camera_move(camera: Tensor, elevation: Tensor, stable: bool) -> Tensor:
    """How far a camera is from the one that took the picture, as the networks are told it.

    Args:
        camera: shape (batch, 16), see `conditioning.camera_numbers`.
        elevation: of the picture's camera, shape (batch,), radians.
        stable: whether for Stable Zero123, which is told that camera's polar angle in place of a change of distance.

    Returns:
        (change of the polar angle, sine and cosine of the azimuth, last), shape (batch, 4).
    """
    x, y, z = camera.reshape(-1, 4, 4)[:, :3, 3].float().unbind(-1)
    azimuth, elevation = torch.atan2(x, z), elevation.float()
    last = math.pi / 2 - elevation if stable else torch.zeros_like(elevation)
    return torch.stack([elevation - y.clamp(-1, 1).asin(), azimuth.sin(), azimuth.cos(), last], dim=-1)


def prepared(picture: Tensor, size: int) -> Tensor:
    """A picture in [0, 1] as CLIP was shown it when the network was trained: corners on corners, and nothing clamped.

    Not as CLIP's own preprocessing has it. The published training (`FrozenCLIPImageEmbedder`) counts: its network knows
    no other views of CLIP.
    """
    small = F.interpolate(picture, (size, size), mode="bicubic", align_corners=True)
    mean, deviation = (small.new_tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_DEVIATION))
    return (small - mean) / deviation


def load_projection(site: Site) -> nn.Linear:
    """The linear layer of the folder, whatever its class calls it."""
    name = projection_of(site.folder)
    assert name is not None
    weights = in_one_file(site.folder.checkpoint) or read_weights(site.folder, name, DIFFUSERS_WEIGHTS, site.dtype)
    of_kind = {key.rpartition(".")[-1]: value for key, value in weights.items()}
    site.require(len(weights) == 2 and of_kind.keys() == {"weight", "bias"}, f"{name} must be one linear layer")
    layer = nn.Linear(of_kind["weight"].shape[1], of_kind["weight"].shape[0])
    layer.load_state_dict(of_kind, assign=True)
    return frozen(layer.to(site.device, site.dtype))


def in_one_file(checkpoint: Path | None) -> dict[str, Tensor]:
    """The layer of a file that holds a whole Zero123: it belongs to that network, and not to who describes it."""
    tensors = read_single_file(checkpoint) if checkpoint else {}
    return {name: value for name, value in tensors.items() if name.startswith(PROJECTION)}


def load_eye(site: Site) -> Any:
    """CLIP's image encoder."""
    kind = site.folder.choose("image_encoder", VISION_MODELS)
    config = site.folder.read_json("image_encoder", "config.json")
    known = {name: config[name] for name in kind.fields if name in config}
    return frozen(build_encoder(site.folder, "image_encoder", kind, known, site.dtype).to(site.device))
