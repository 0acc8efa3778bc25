"""A teacher in one `.safetensors` file, as its first publisher laid it out, read by diffusers' own `from_single_file`.

Such a file holds weights and nothing else: the configurations, the tokenizer and the noise levels come from a folder in
the diffusers layout for the same kind of model, whose own weights are needed only for what the file has none of (Flux's
text encoders and autoencoder). The readers are shown the file's
tensors and a copy of one checked configuration, and no path that leads anywhere else.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
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
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, PreTrainedModel, T5EncoderModel

from sds.teachers.file_kinds import PREFIX, ZERO123, kind_of, scale_beside_weights
from sds.teachers.folder import TeacherFolder, TeacherFolderError, advice, blaming, names_in
from sds.teachers.hub import find_teacher_folder

NETWORKS = ("unet", "transformer")

CLIP = {one.__name__: one for one in (CLIPTextModel, CLIPTextModelWithProjection)}

AUTOENCODERS = ("first_stage_model.", "vae.")

NO_TEACHERS = {
    **dict.fromkeys(("inpainting", "inpainting_v2", "xl_inpaint", "flux-fill"), "an inpainting network"),
    **dict.fromkeys(("instruct-pix2pix", "flux-depth", "upscale"), "told a picture beside the words"),
    "xl_refiner": "SDXL's refiner, which knows only the last steps",
}
"""What diffusers takes files for that have no score of pictures from words, and what they are."""

LIKE_ZERO123 = "instruct-pix2pix"
"""What diffusers takes files of Zero123 for, which has as many channels; what describes them tells."""

TEACHERS = (
    *("v1", "v2", "xl_base", "sd3", "sd35_medium", "sd35_large", "flux-dev", "flux-schnell"),
    *("auraflow", "lumina2", "z-image-turbo", "sana"),
)
"""What diffusers takes files for that can be teachers; "v1" stands for whatever it does not know."""


def is_single_file(name: str | Path) -> bool:
    """Whether a name is that of a safetensors file with a whole denoising network."""
    path = Path(name).expanduser()
    return path.is_file() and path.suffix == ".safetensors" and kind_of(names_in(path)) is not None


def open_single_file(
    path: Path, described_by: str, allow_download: bool, half_is_enough: bool = False
) -> TeacherFolder:
    """A teacher's folder whose weights lie in a single file.

    Args:
        path: of the file, see `is_single_file`.
        described_by: a folder in the diffusers layout, or a repository of the hub; "" looks for the usual one among the
            repositories that this machine has.
        allow_download: whether a repository that is not here may be fetched, but for the weights that the file has.
            Without a name that the user gave nothing is.
        half_is_enough: of what is fetched.

    Raises:
        TeacherFolderError: if nothing describes the file, or it is known to be no teacher.
    """
    path = path.expanduser()
    kind = kind_of(names_in(path))
    if scale := scale_beside_weights(names_in(path)):
        raise TeacherFolderError(f"{path} is quantized ('{scale}'), which is not supported; use the original weights")
    if kind is ZERO123 and not described_by:
        raise TeacherFolderError(
            f"{path} is a Zero123 without its CLIP; name the folder of one in diffusers' layout, which has it: "
            f"--teacher-config FOLDER; or {kind.conversion(path)}"
        )
    if kind is not None and kind is not ZERO123 and kind.script:
        raise TeacherFolderError(f"{path} is for {kind.pipeline}, whose files are not read; {kind.conversion(path)}")
    usual = usual_repository(path, bool(described_by))
    try:
        folder = find_teacher_folder(
            described_by or usual, allow_download and bool(described_by), half_is_enough, partial(holds, path)
        )
    except TeacherFolderError as error:
        if described_by:
            raise
        fetched = f", or --teacher-config {usual} to fetch them from the hub" if usual else ""
        alone = kind is not None and kind.network
        enough = "with its text encoders and autoencoder" if alone else "small files are enough"
        raise TeacherFolderError(
            f"{path} holds weights alone; say what describes it, {enough}: --teacher-config FOLDER of "
            f"diffusers' layout{fetched}{f'; or {kind.conversion(path)}' if kind else ''}"
        ) from error
    return replace(folder, checkpoint=path)


def usual_repository(path: Path, described: bool = False) -> str:
    """The repository on the hub that describes such files, by names and shapes of their weights; "" if unknown.

    ``described`` is whether the user says what describes the file.

    Raises:
        TeacherFolderError: if diffusers knows it as something that is no teacher.
    """
    tensors = read_single_file(path)
    try:
        found = str(infer_diffusers_model_type(tensors))
        usual = str(DIFFUSERS_DEFAULT_PIPELINE_PATHS[found]["pretrained_model_name_or_path"])
    except (LookupError, AttributeError, UnboundLocalError, ValueError):  # it looks at shapes that a stranger chose
        return ""
    if found not in TEACHERS and not (described and found == LIKE_ZERO123):
        what = NO_TEACHERS.get(found, f"a model of the kind {found}")
        raise TeacherFolderError(f"{path} is {what}, which cannot be a teacher")
    return usual


def read_single_file(path: Path) -> dict[str, Tensor]:
    """All tensors of the file; they stay on the disk until they are used."""
    with blaming(path, "is broken or cut short; get it again"):
        return load_file(path)


def weights_of_network(checkpoint: Path, network_class: type[ModelMixin]) -> dict[str, Tensor]:
    """The file's tensors as the reader of a class expects them: transformers' alone, and without a prefix."""
    tensors = read_single_file(checkpoint)
    inside = {key.removeprefix(PREFIX): value for key, value in tensors.items() if key.startswith(PREFIX)}
    return inside if inside and "Transformer" in network_class.__name__ else tensors


def network_from(
    checkpoint: Path, network_class: type[ModelMixin], config: Mapping[str, Any], dtype: torch.dtype
) -> ModelMixin:
    """A denoising network or an autoencoder out of a single file. ``config`` is checked and without private entries.

    Raises TeacherFolderError if the file does not hold what ``config`` describes.
    """
    name = network_class.__name__
    if not (hasattr(network_class, "from_single_file") and network_class.__module__.startswith("diffusers.")):
        raise TeacherFolderError(
            f"{checkpoint}: no {name} is read from one file; name a folder of diffusers' layout{advice(checkpoint)}"
        )
    with described(config) as place, blaming(checkpoint, f"makes no {name} as its folder says"):
        weights = weights_of_network(checkpoint, network_class)
        network = network_class.from_single_file(
            weights, config=place, subfolder=PART, local_files_only=True, torch_dtype=dtype
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
        encoder.tie_weights()  # of T5's words some files have one name, and some both
    return complete(encoder, checkpoint)


def holds(checkpoint: Path, component: str, class_name: str) -> bool:
    """Whether the file has the weights of a component that `model_index.json` names; if not, the folder must."""
    tensors = read_single_file(checkpoint)
    if component == "vae":
        return any(key.startswith(AUTOENCODERS) for key in tensors)
    if class_name == T5EncoderModel.__name__:
        return is_t5_in_single_file(tensors)
    if class_name in CLIP:
        return is_clip_model_in_single_file(CLIP[class_name], tensors)
    return component in NETWORKS


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
