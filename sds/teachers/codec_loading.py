"""The border to images that a folder describes: its own autoencoder, a distilled one, or none where x is pixels."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from diffusers import AutoencoderTiny, ModelMixin
from torch.utils.checkpoint import checkpoint

from sds.precision import computing_type
from sds.teachers.architectures import LATENT_CHANNELS, USUAL_SIZE
from sds.teachers.folder import TeacherFolder, TeacherFolderError, checked_json, link_boundary
from sds.teachers.hub import find_component
from sds.teachers.image_codec import LAYOUTS, LatentCodec, PixelCodec
from sds.teachers.picture_conditioned import projection_of
from sds.teachers.weights import load_network

AUTOENCODERS: Mapping[tuple[str, str], type[ModelMixin]] = {("diffusers", kind.__name__): kind for kind in LAYOUTS}

SCALE_OF_EARLY_LATENTS = 0.18215
"""By this `scaling_factor` one knows the autoencoders of Stable Diffusion 1 and 2, which stay finite in float16; SDXL's
(0.13025) and later ones do not."""


def load_codec(
    folder: TeacherFolder, component: str, network: ModelMixin, device: torch.device
) -> PixelCodec | LatentCodec:
    """The border to images: latents if the folder has an autoencoder, pixels otherwise.

    Raises:
        TeacherFolderError: if the network and the autoencoder do not fit each other.
    """
    place, config = folder.path / component, network.config
    size = height_and_width(config.get("sample_size") or USUAL_SIZE.get(type(network)))
    if size is None:
        raise TeacherFolderError(f"{place}: config.json must name the size it was trained at (sample_size)")
    codec: PixelCodec | LatentCodec = PixelCodec(size)
    if folder.has("vae"):
        codec = load_latent_codec(folder, size, device, computing_type(network))
    channels = codec.shape[0]
    taken = LATENT_CHANNELS.get(type(network), lambda config: config.in_channels)(config)
    if projection_of(folder):
        taken //= 2  # the other half are those of a picture that is known
    if taken != channels:
        raise TeacherFolderError(
            f"{place} takes {taken} channels where images have {channels}; "
            "upscalers, inpainting and depth networks are no teachers"
        )
    packed = 1 if projection_of(folder) else config.in_channels // taken
    returned = network_outputs(config) // packed
    if returned not in (channels, 2 * channels):
        raise TeacherFolderError(f"{place} returns {returned} channels where images have {channels}")
    return codec


def load_latent_codec(
    folder: TeacherFolder, latent_size: tuple[int, int], device: torch.device, dtype: torch.dtype
) -> LatentCodec:
    """The autoencoder of a folder, in ``dtype`` if it bears it and in float32 otherwise.

    On a card it keeps nothing for the gradient that it can compute again, and takes one image at a time: it is two
    thirds of the time of a step, and would be most of its memory.
    """
    scaling_factor = folder.read_json("vae", "config.json").get("scaling_factor")
    if dtype is torch.float16 and scaling_factor != SCALE_OF_EARLY_LATENTS:
        dtype = torch.float32
    autoencoder = load_network(folder, "vae", AUTOENCODERS, dtype).to(device)
    if device.type == "cuda":
        if autoencoder._supports_gradient_checkpointing:  # Sana's does not
            autoencoder.enable_gradient_checkpointing(
                partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
            )
        autoencoder.enable_slicing()
    return LatentCodec(autoencoder, latent_size)


def load_tiny_codec(
    name: str, instead_of: PixelCodec | LatentCodec, device: torch.device, dtype: torch.dtype, allow_download: bool
) -> LatentCodec:
    """A distilled autoencoder (TAESD) in place of a teacher's own: a hundredth of its work, and softer pictures.

    Args:
        name: a folder with its configuration and weights, or a repository of the hub.
        instead_of: the teacher's own border to images.
        device, dtype: of the teacher.
        allow_download: whether a repository that is not here may be downloaded.

    Raises:
        TeacherFolderError: if it is none, or its latents are not the teacher's.
    """
    path = find_component(name, allow_download)
    kind = checked_json(path / "config.json").get("_class_name", AutoencoderTiny.__name__)
    if kind != AutoencoderTiny.__name__:
        raise TeacherFolderError(f"{name} holds a {kind}; --tiny-autoencoder takes an {AutoencoderTiny.__name__}")
    lone = TeacherFolder(path.parent, link_boundary(path), {path.name: ["diffusers", AutoencoderTiny.__name__]})
    autoencoder = load_network(lone, path.name, {("diffusers", AutoencoderTiny.__name__): AutoencoderTiny}, dtype)
    codec = LatentCodec(autoencoder.to(device), instead_of.shape[1:])
    if isinstance(instead_of, PixelCodec) or (codec.shape, codec.size) != (instead_of.shape, instead_of.size):
        raise TeacherFolderError(
            f"{name} makes latents of {codec.shape} from pictures of {codec.size}, the teacher takes {instead_of.shape}"
        )
    return codec


def network_outputs(config: Mapping[str, Any]) -> int:
    """How many channels a network of this configuration returns; as many as it takes if it does not say."""
    return config.get("out_channels") or config["in_channels"]


def height_and_width(sample_size: Any) -> tuple[int, int] | None:
    """(height, width) from a configuration's one number, pair, or None."""
    if isinstance(sample_size, int):
        return sample_size, sample_size
    if isinstance(sample_size, list | tuple) and len(sample_size) == 2:
        return int(sample_size[0]), int(sample_size[1])
    return None
