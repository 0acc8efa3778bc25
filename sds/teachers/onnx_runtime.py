"""A teacher whose networks are ONNX files, asked through ONNX Runtime: the score needs no gradient of the teacher.

Folders are those that `optimum-cli export onnx` writes: unet/model.onnx (or transformer/), text_encoder/model.onnx, a
config.json beside each, tokenizer/, scheduler/, model_index.json; also in float16 or int8. Only the border to images is
differentiated, and an exported vae_encoder/ cannot be: a teacher of latents needs its torch autoencoder beside it, the
folder vae/ of the original. A teacher of pixels needs nothing.

The package `onnxruntime` is imported when such a folder is opened, not before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import numpy as np
import torch
from accelerate import init_empty_weights
from diffusers import ModelMixin
from torch import Tensor, nn

from sds.denoiser import Condition, View, require_prompts
from sds.schedule import NoiseSchedule, Prediction, x0_from
from sds.teachers.architectures import ARCHITECTURES
from sds.teachers.conditioning import with_camera
from sds.teachers.connection import Connection, Site
from sds.teachers.diffusers import load_codec, load_schedule
from sds.teachers.folder import TeacherFolder, TeacherFolderError, blaming, open_teacher_folder
from sds.teachers.image_codec import ImageCodec
from sds.teachers.text_encoding import TextEncoder, load_tokenizer
from sds.teachers.weights import public_values

DENOISERS = ("unet", "transformer")

NUMBERS: Mapping[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
"""The types of inputs, as ONNX Runtime names them."""


class OnnxModel:
    """One ONNX file, asked with torch tensors.

    Args:
        folder, component: where it is.
        device: on which it computes, and its answers are.

    Raises:
        TeacherFolderError: if the package is not installed, or the file is missing, broken or outside the folder.
    """

    def __init__(self, folder: TeacherFolder, component: str, device: torch.device) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise TeacherFolderError(
                f"{folder.path} holds ONNX files, which need ONNX Runtime: pip install onnxruntime"
            ) from None
        path = onnx_file(folder, component)
        for name in folder.names(component):  # weights may lie in files beside it
            folder.file(component, name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        wished = ["CUDAExecutionProvider"] if device.type == "cuda" else []
        available = [name for name in wished if name in onnxruntime.get_available_providers()]
        with blaming(path, "cannot be opened by ONNX Runtime"):
            self.session = onnxruntime.InferenceSession(path, options, providers=[*available, "CPUExecutionProvider"])
        self.place, self.device = path, device
        self.inputs = {one.name: one for one in self.session.get_inputs()}
        strange = [one.type for one in self.inputs.values() if one.type not in NUMBERS]
        if strange:
            raise TeacherFolderError(
                f"{path} takes {strange[0]}, which is not supported; export it in float32 or float16"
            )
        self.outputs = [one.name for one in self.session.get_outputs()]

    def __call__(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All outputs by name, floating-point ones in float32.

        Raises ValueError if ``values`` are not the inputs that the file has.
        """
        if values.keys() != self.inputs.keys():
            raise ValueError(f"{self.place} takes {', '.join(self.inputs)}; there are {', '.join(values)}")
        arrays = {
            name: value.detach().double().cpu().numpy().astype(NUMBERS[self.inputs[name].type])
            for name, value in values.items()
        }
        answers = [torch.from_numpy(answer).to(self.device) for answer in self.session.run(None, arrays)]
        answers = [answer.float() if answer.is_floating_point() else answer for answer in answers]
        return dict(zip(self.outputs, answers, strict=True))


class OnnxDenoiser:
    """An exported denoiser, called as the network of diffusers that it was exported from."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model
        self.image = "sample" if "sample" in model.inputs else "hidden_states"
        shape = model.inputs["timestep"].shape if "timestep" in model.inputs else []
        self.one_time = shape in ([], [1])

    def __call__(self, image: Tensor, timestep: Tensor, **told: Any) -> SimpleNamespace:
        """``sample`` of the answer. A file that takes one time for all images is asked once for each time."""
        added = told.pop("added_cond_kwargs", None) or {}
        told = {name: value for name, value in {**told, **added}.items() if value is not None}
        if not self.one_time:
            return SimpleNamespace(sample=self._answer({self.image: image, "timestep": timestep, **told}))
        answers: dict[int, Tensor] = {}
        for time in dict.fromkeys(timestep.tolist()):
            rows = (timestep == time).nonzero()[:, 0]
            part = {name: value[rows] for name, value in {self.image: image, **told}.items()}
            at = timestep.new_tensor(time).reshape(self.model.inputs["timestep"].shape)
            answers |= dict(zip(rows.tolist(), self._answer({**part, "timestep": at}), strict=True))
        return SimpleNamespace(sample=torch.stack([answers[row] for row in range(len(image))]))

    def _answer(self, values: Mapping[str, Tensor]) -> Tensor:
        return self.model(values)[self.model.outputs[0]]


class OnnxTextNetwork:
    """An exported text encoder, called as that of transformers."""

    def __init__(self, model: OnnxModel) -> None:
        self.model, self.device = model, model.device

    def __call__(self, tokens: Tensor, mask: Tensor | None, output_hidden_states: bool = True) -> SimpleNamespace:
        """The states of a prompt; the last one stands for those before it where they were not exported."""
        del output_hidden_states
        values = {"input_ids": tokens} | ({"attention_mask": mask} if "attention_mask" in self.model.inputs else {})
        found = self.model(cast(Mapping[str, Tensor], values))
        last = found.get("last_hidden_state", next(iter(found.values())))
        return SimpleNamespace(
            last_hidden_state=last,
            hidden_states=[found[name] for name in self.states] if self.states else [last, last],
            text_embeds=found.get("text_embeds"),
            pooler_output=found.get("pooler_output"),
        )

    @property
    def states(self) -> list[str]:
        """The outputs that hold the states between layers, in their order."""
        names = [name for name in self.model.outputs if name.startswith("hidden_states.")]
        return sorted(names, key=lambda name: int(name.rpartition(".")[2]))


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


class OnnxTeacher:
    """Meets `sds.denoiser.Teacher`. Its network cannot be trained, which critics and students would need.

    Attributes:
        denoiser: the frozen network.
        schedule, prediction, codec: as of `sds.teachers.diffusers.DiffusersTeacher`.
    """

    def __init__(
        self,
        denoiser: OnnxDenoiser,
        schedule: NoiseSchedule,
        prediction: Prediction,
        codec: ImageCodec,
        connection: Connection,
    ) -> None:
        self.denoiser, self.schedule, self.prediction, self.codec = denoiser, schedule, prediction, codec
        self.prompts, self.knows_views, self.call = connection.prompts, connection.told_camera, connection.call

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of x: pixels in [-1, 1], or latents."""
        return self.codec.shape

    @property
    def takes_sentences(self) -> bool:
        """Whether prompts are free text."""
        return self.prompts.takes_sentences

    @property
    def network(self) -> nn.Module:
        """There is none. Raises TeacherFolderError, which says what to do instead."""
        self._has_no_network()

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """There is no network to put another in the place of. Raises TeacherFolderError."""
        del network, x_t, t, condition
        self._has_no_network()

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """E[x0 | x_t], shape and device of ``x_t``."""
        timestep = self.schedule.timestep(t).to(x_t.device, torch.float32)
        output = self.call(self.denoiser, x_t, timestep, condition.tensors)[:, : self.shape[0]].to(x_t)
        return x0_from(self.prediction, output, x_t, *self.schedule(t))

    def condition(self, prompts: Sequence[str], view: View | None) -> Condition:
        """See `sds.teachers.diffusers.DiffusersTeacher.condition`."""
        require_prompts(prompts)
        condition = self.prompts(prompts)
        return with_camera(condition, view) if self.knows_views else condition

    def encode(self, image: Tensor) -> Tensor:
        """An image of shape (batch, 3, height, width) in [0, 1] as x. Differentiable: by torch, not by ONNX."""
        return self.codec.encode(image)

    def decode(self, x: Tensor) -> Tensor:
        """The image that x stands for. Differentiable."""
        return self.codec.decode(x)

    def release_text_encoders(self, prompts: Sequence[str] = ()) -> None:
        """Frees the text encoders; ``prompts``, those seen so far and the null prompt stay usable."""
        if prompts and self.takes_sentences:
            self.prompts(prompts)
        self.prompts.release()

    def _has_no_network(self) -> NoReturn:
        raise TeacherFolderError(
            "a teacher of ONNX files cannot be trained: methods that train a copy of it (vsd, all of distill) need its "
            "folder in the diffusers layout; sds, nfsd and csd do not"
        )


def is_onnx_folder(path: Path) -> bool:
    """Whether a folder's denoiser is an ONNX file."""
    return any((path / name).is_dir() and any((path / name).glob("*.onnx")) for name in DENOISERS)


def onnx_file(folder: TeacherFolder, component: str) -> Path:
    """model.onnx of a component, or the only ONNX file that it has (model_quantized.onnx).

    Raises TeacherFolderError if there is none, or it is not clear which.
    """
    names = sorted(name for name in folder.names(component) if name.endswith(".onnx"))
    if "model.onnx" not in names and len(names) != 1:
        found = f"has {', '.join(names)}" if names else "has no model.onnx"
        raise TeacherFolderError(
            f"{folder.path / component} {found}; a part of an ONNX teacher is one file, model.onnx"
        )
    return folder.file(component, "model.onnx" if "model.onnx" in names else names[0])


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
