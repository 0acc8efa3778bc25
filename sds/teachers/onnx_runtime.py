"""A teacher whose networks are ONNX files, asked through ONNX Runtime: the score needs no gradient of the teacher.

Folders are those that `optimum-cli export onnx` writes: unet/model.onnx (or transformer/), text_encoder/model.onnx, a
config.json beside each, tokenizer/, scheduler/, model_index.json; also in float16 or int8. Only the border to images is
differentiated, and an exported vae_encoder/ cannot be: a teacher of latents needs its torch autoencoder beside it, the
folder vae/ of the original. A teacher of pixels needs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from accelerate import init_empty_weights
from diffusers import ModelMixin
from torch import Tensor, nn

from sds.denoiser import Condition
from sds.schedule import NoiseSchedule, Prediction, x0_from
from sds.teachers.architectures import ARCHITECTURES
from sds.teachers.codec_loading import load_codec
from sds.teachers.connection import Connection, Site
from sds.teachers.folder import NoNetworkError, TeacherFolderError, blaming, open_teacher_folder
from sds.teachers.folder_teacher import FolderTeacher
from sds.teachers.image_codec import ImageCodec
from sds.teachers.onnx_models import OnnxDenoiser, OnnxModel, OnnxTextNetwork
from sds.teachers.schedules import load_schedule
from sds.teachers.text_encoding import TextEncoder, load_tokenizer
from sds.teachers.weights import public_values

DENOISERS = ("unet", "transformer")


@dataclass(frozen=True)
class OnnxSite(Site):
    """A `Site` whose text encoders are ONNX files."""

    def encoder(self, suffix: str, **how: Any) -> TextEncoder:
        """See `sds.teachers.text_encoding.load_text_encoder`."""
        name = f"text_encoder{suffix}"
        network = OnnxTextNetwork(OnnxModel(self.folder, name, self.device))
        config = self.folder.read_json(name, "config.json")
        self.require(
            bool(network.states) or not self.folder.has("text_encoder_2"),
            f"{name} was exported without the states between its layers; export it with optimum",
        )
        tokenizer = load_tokenizer(self.folder, f"tokenizer{suffix}", int(config["vocab_size"]))
        tokenizer.padding_side = how.get("padding_side") or tokenizer.padding_side
        length = int(how.get("length") or config.get("max_position_embeddings", 77))  # CLIP's is not asked for
        masked = how.get("tell_padding", True) and "attention_mask" in network.model.inputs
        return TextEncoder(tokenizer, cast(Any, network), masked, length, how.get("lower_case", False))


class OnnxTeacher(FolderTeacher):
    """Meets `sds.denoiser.Teacher`. Its network cannot be trained, which critics and students would need.

    Attributes:
        denoiser: the frozen network.
    """

    def __init__(
        self,
        denoiser: OnnxDenoiser,
        schedule: NoiseSchedule,
        prediction: Prediction,
        codec: ImageCodec,
        connection: Connection,
    ) -> None:
        super().__init__(schedule, prediction, codec, connection)
        self.denoiser = denoiser

    @property
    def network(self) -> nn.Module:
        """There is none. Raises NoNetworkError, which says what to do instead."""
        self._has_no_network()

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """There is no network to put another in the place of. Raises NoNetworkError."""
        del network, x_t, t, condition
        self._has_no_network()

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """E[x0 | x_t], shape and device of ``x_t``."""
        timestep = self.schedule.timestep(t).to(x_t.device, torch.float32)
        output = self.call(self.denoiser, x_t, timestep, condition.tensors)[:, : self.shape[0]].to(x_t)
        return x0_from(self.prediction, output, x_t, *self.schedule(t))

    def _has_no_network(self) -> NoReturn:
        raise NoNetworkError(
            "a teacher of ONNX files cannot be trained: methods that train a copy of it (vsd, all of distill) need its "
            "folder in the diffusers layout; sds, nfsd and csd do not"
        )


def is_onnx_folder(path: Path) -> bool:
    """Whether a folder's denoiser is an ONNX file."""
    return any((path / name).is_dir() and any((path / name).glob("*.onnx")) for name in DENOISERS)


def load_onnx_teacher(path: str | Path, device: torch.device | str = "cpu") -> OnnxTeacher:
    """Loads a teacher of ONNX files. Nothing of the folder is executed or unpickled but its graphs of numbers.

    Raises:
        TeacherFolderError: a one-line reason why the folder cannot be a teacher.
    """
    folder, device = open_teacher_folder(path), torch.device(device)
    component = next(name for name in DENOISERS if any((folder.path / name).glob("*.onnx")))
    config = folder.read_json(component, "config.json")
    kinds = {kind.__name__: kind for kind in ARCHITECTURES}
    if config.get("_class_name") not in kinds:
        raise TeacherFolderError(
            f"{folder.path / component}: config.json must name the network that was exported (_class_name), one of "
            f"{', '.join(kinds)}; not {config.get('_class_name')}"
        )
    has_autoencoder = (folder.path / "vae" / "config.json").exists()
    exported = [name for name in ("vae_encoder", "vae_decoder") if (folder.path / name).is_dir()]
    if exported and not has_autoencoder:
        raise TeacherFolderError(
            f"{folder.path} has its autoencoder as ONNX only ({', '.join(exported)}), which has no gradient, and score "
            "distillation needs that of the encoder: copy the folder vae (config.json and safetensors) of the original "
            "beside it, or take a teacher of pixels"
        )
    index = {**folder.index, component: ["diffusers", config["_class_name"]]}
    index["vae"] = ["diffusers", "AutoencoderKL"] if has_autoencoder else [None, None]
    folder = replace(folder, index=index)
    schedule, prediction = load_schedule(folder)
    skeleton = empty(kinds[config["_class_name"]], config, folder.path / component)
    with blaming(folder.path, "its parts do not fit together"):
        codec = load_codec(folder, component, skeleton, device)
        site = OnnxSite(folder, component, codec.size, device, torch.float32)
        connection = ARCHITECTURES[type(skeleton)](skeleton, site)
    denoiser = OnnxDenoiser(OnnxModel(folder, component, device))
    return OnnxTeacher(denoiser, schedule, prediction, codec, connection)


def empty(kind: type[ModelMixin], config: Mapping[str, Any], place: Path) -> ModelMixin:
    """The network that was exported, without any weights: its configuration says how it is called."""
    with blaming(place, "config.json makes no network"), init_empty_weights():
        return kind.from_config(public_values(config))
