"""A teacher in one `.safetensors` file, as its first publisher laid it out, read by diffusers' own `from_single_file`.

Such a file holds weights and nothing else: the configurations, the tokenizer and the noise levels come from a folder in
the diffusers layout for the same kind of model, whose own weights are not needed. The readers are shown the file's
tensors and a copy of one checked configuration, and no path that leads anywhere else.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import ModelMixin
from diffusers.loaders.single_file_utils import (
    DIFFUSERS_DEFAULT_PIPELINE_PATHS,
    create_diffusers_clip_model_from_ldm,
    create_diffusers_t5_model_from_checkpoint,
    infer_diffusers_model_type,
    is_clip_model_in_single_file,
    is_t5_in_single_file,
)
from diffusers.utils import logging as diffusers_logging
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel, T5EncoderModel

from sds.teachers.folder import TeacherFolder, TeacherFolderError, advice, blaming
from sds.teachers.hub import find_teacher_folder

NETWORKS = ("model.diffusion_model.", "double_blocks.", "joint_blocks.")
"""How the names of the denoising network's weights begin in files that can be a teacher."""

AUTOENCODERS = ("first_stage_model.", "vae.")


def is_single_file(name: str | Path) -> bool:
    """Whether a name is that of a safetensors file with a whole denoising network."""
    path = Path(name).expanduser()
    if not path.is_file() or path.suffix != ".safetensors":
        return False
    with blaming(path, "is broken or cut short; get it again"), safe_open(path, "pt") as file:
        return any(key.startswith(NETWORKS) for key in file.keys())  # noqa: SIM118  (it is no mapping)


def open_single_file(path: Path, described_by: str, allow_download: bool) -> TeacherFolder:
    """A teacher's folder whose weights lie in a single file.

    Args:
        path: of the file, see `is_single_file`.
        described_by: a folder in the diffusers layout, or a repository of the hub; "" looks for the usual one among the
            repositories that this machine has.
        allow_download: whether the small files of a repository that is not here may be fetched. Without a name that the
            user gave nothing is.

    Raises:
        TeacherFolderError: if nothing describes the file.
    """
    path = path.expanduser()
    usual = "" if described_by else usual_repository(path)
    try:
        folder = find_teacher_folder(described_by or usual, allow_download and bool(described_by), weights=False)
    except TeacherFolderError as error:
        if described_by:
            raise
        fetched = f", or --teacher-config {usual} to fetch them from the hub" if usual else ""
        raise TeacherFolderError(
            f"{path} holds weights alone; say what describes it, small files are enough: --teacher-config FOLDER of "
            f"diffusers' layout{fetched}{advice(path)}"
        ) from error
    return replace(folder, checkpoint=path)


def usual_repository(path: Path) -> str:
    """The repository on the hub that describes such files, by names and shapes of their weights; "" if unknown."""
    tensors = read_single_file(path)
    try:
        return str(
            DIFFUSERS_DEFAULT_PIPELINE_PATHS[infer_diffusers_model_type(tensors)]["pretrained_model_name_or_path"]
        )
    except (KeyError, IndexError, AttributeError):  # it looks at the shapes of weights that a stranger has named
        return ""


def read_single_file(path: Path) -> dict[str, Tensor]:
    """All tensors of the file; they stay on the disk until they are used."""
    with blaming(path, "is broken or cut short; get it again"):
        return load_file(path)


def network_from(
    checkpoint: Path, network_class: type[ModelMixin], config: Mapping[str, Any], dtype: torch.dtype
) -> ModelMixin:
    """A denoising network or an autoencoder out of a single file. ``config`` is checked and without private entries.

    Raises TeacherFolderError if the file does not hold what ``config`` describes.
    """
    with described(config) as place, blaming(checkpoint, f"makes no {network_class.__name__} as its folder says"):
        network = network_class.from_single_file(
            read_single_file(checkpoint), config=place, subfolder=PART, local_files_only=True, torch_dtype=dtype
        )
    return complete(network, checkpoint)


def encoder_from(
    checkpoint: Path, encoder_class: type[PreTrainedModel], config: Mapping[str, Any], dtype: torch.dtype
) -> PreTrainedModel:
    """A text encoder out of a single file. ``config`` holds values that describe the network and no others.

    Raises TeacherFolderError if the file does not hold what ``config`` describes.
    """
    read = (
        create_diffusers_t5_model_from_checkpoint
        if issubclass(encoder_class, T5EncoderModel)
        else create_diffusers_clip_model_from_ldm
    )
    with described(config) as place, blaming(checkpoint, f"makes no {encoder_class.__name__} as its folder says"):
        tensors = read_single_file(checkpoint)
        encoder = read(encoder_class, tensors, subfolder=PART, config=place, torch_dtype=dtype, local_files_only=True)
    return complete(encoder, checkpoint)


def holds_autoencoder(checkpoint: Path) -> bool:
    """Whether the file has an autoencoder; if not, the folder must."""
    return any(key.startswith(AUTOENCODERS) for key in read_single_file(checkpoint))


def holds_encoder(checkpoint: Path, encoder_class: type[PreTrainedModel]) -> bool:
    """Whether the file has a text encoder of a class; if not, the folder must."""
    tensors = read_single_file(checkpoint)
    if issubclass(encoder_class, T5EncoderModel):
        return is_t5_in_single_file(tensors)
    return is_clip_model_in_single_file(encoder_class, tensors)


def complete(network: Any, checkpoint: Path) -> Any:
    """``network``. Raises TeacherFolderError if some weight of it was not in the file."""
    assert isinstance(network, nn.Module)
    missing = [name for name, weight in network.named_parameters() if weight.is_meta]
    if missing:
        raise TeacherFolderError(f"{checkpoint}: {len(missing)} weights are missing, the first is {missing[0]}")
    return network


PART = "part"


@contextmanager
def described(config: Mapping[str, Any]) -> Iterator[str]:
    """A folder with one configuration as `part/config.json`, which is all that the readers take, and no chatter."""
    verbosity = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity_error()
    try:
        with tempfile.TemporaryDirectory() as place:
            (Path(place) / PART).mkdir()
            (Path(place) / PART / "config.json").write_text(json.dumps(config), encoding="utf-8")
            yield place
    finally:
        diffusers_logging.set_verbosity(verbosity)
