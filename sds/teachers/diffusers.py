"""Any folder in the diffusers layout as a teacher: pixels or latents; noise, v, image or flow prediction.

What is supported (`architectures.ARCHITECTURES` and `schedules.SCHEDULERS` are the tables):

* UNets without text (unconditional, or told a class), UNets with CLIP or T5 (Stable Diffusion 1 and 2, SDXL, the first
  stage of DeepFloyd IF), DiT, PixArt, Stable Diffusion 3, Flux.1, Sana, Lumina 2, AuraFlow and Z-Image;
* cameras: a UNet whose class embedding projects 16 numbers is told the camera-to-world matrix
  (`conditioning.camera_numbers`) and so `knows_views`; all others are told the view in words (`sds.prompts`);
* float32 on the CPU, bfloat16 on CUDA cards that have it, else float16 where the network is known to bear it.

Checked against diffusers' own schedulers with small networks.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from diffusers import ModelMixin
from torch import Tensor, nn

from sds.denoiser import Condition
from sds.precision import HALVES, computing_in, computing_type, type_for
from sds.schedule import NoiseSchedule, Prediction, x0_from
from sds.teachers.architectures import ARCHITECTURES, BEAR_FLOAT16, denoisers
from sds.teachers.codec_loading import load_codec, load_tiny_codec
from sds.teachers.connection import Connection, Site
from sds.teachers.execution import compile_network, compiling, wait_in_memory
from sds.teachers.folder import (
    TeacherFolder,
    TeacherFolderError,
    blaming,
    running_strangers_network,
)
from sds.teachers.folder_teacher import FolderTeacher
from sds.teachers.hub import UNUSED, find_teacher_folder
from sds.teachers.image_codec import ImageCodec, LatentCodec
from sds.teachers.learned_words import read_word, require_all_fit
from sds.teachers.lora_files import LoraFile, add_lora, read_lora
from sds.teachers.options import AS_IT_IS, TeacherOptions
from sds.teachers.picture_conditioned import PROJECTIONS, PictureConditioner, connect_picture, projection_of
from sds.teachers.schedules import PATCH, load_schedule
from sds.teachers.single_file import is_single_file, open_single_file
from sds.teachers.weights import load_network

NAMES_OF_STUDENTS = re.compile(r"turbo|lightning|hyper-?sd|(?<![a-z])lcm(?![a-z])|schnell|sprint", re.IGNORECASE)
"""Some students have the scheduler of their teacher, and only their names tell."""

TEXT_COMPONENTS = {f"{part}{suffix}" for part in ("text_encoder", "tokenizer") for suffix in ("", "_2", "_3")}


class DiffusersTeacher(FolderTeacher):
    """A frozen teacher from a folder in the diffusers layout; meets `sds.denoiser.NeuralTeacher`.

    Attributes:
        network: the frozen network.
        compiled: whether torch compiles it.
    """

    def __init__(
        self,
        network: ModelMixin,
        schedule: NoiseSchedule,
        prediction: Prediction,
        codec: ImageCodec,
        connection: Connection,
        compiled: bool = False,
    ) -> None:
        super().__init__(schedule, prediction, codec, connection)
        self.network = network
        self.compiled = compiled

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """E[x0 | x_t], shape of ``x_t``. One forward pass of the network; no gradient is recorded.

        Raises DegenerateNoiseLevelError where a noise prediction says nothing about the image (alpha near 0).
        """
        return self.denoise(self.network, x_t, t, condition)

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """The prediction of x0 by ``network``, an adapted copy perhaps, in the shape and type of ``x_t``.

        It is not clamped to any range. Gradients flow into ``x_t`` and the network if they are asked for.
        """
        dtype = computing_type(self.network)
        # What is not the teacher's own network learns, or has learned, with weights of more digits.
        own = network is self.network
        context = running_strangers_network() if own else computing_in(dtype, x_t.device)
        compiles = compiling() if own and self.compiled else nullcontext()
        told = {
            name: tensor.to(dtype) if tensor.is_floating_point() else tensor
            for name, tensor in condition.tensors.items()
        }
        timestep = self.schedule.timestep(t).to(x_t.device, torch.float32)
        with compiles, context:
            output = self.call(network, x_t.to(dtype), timestep, told)
        # A network that learned its variance too returns it in a second half of the channels.
        output = output[:, : self.shape[0]].to(x_t.dtype)
        alpha, sigma = self.schedule(t)
        return x0_from(self.prediction, output, x_t, alpha, sigma)

    @property
    def sees_pictures(self) -> bool:
        """Whether it draws other views of a picture that it is shown, and takes no words."""
        return isinstance(self.prompts, PictureConditioner)

    def show(self, picture: Tensor, elevation: float) -> None:
        """Shows it the picture whose other views it shall draw, see `PictureConditioner.show`.

        Raises ValueError if it is no teacher of that kind.
        """
        if not isinstance(self.prompts, PictureConditioner):
            raise ValueError("this teacher is told words, not pictures")
        self.prompts.show(picture, elevation)


def load_diffusers_teacher(
    folder_or_name: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    allow_download: bool = False,
    options: TeacherOptions = AS_IT_IS,
) -> DiffusersTeacher:
    """Loads a teacher. Nothing of the folder is executed or unpickled.

    Args:
        folder_or_name: a folder, a file of weights (`sds.teachers.single_file`), or the name of a hub repository.
        device: where the networks run.
        dtype: type of the network, the text encoders and, if it bears it, the autoencoder; None chooses as
            `sds.precision.type_for`.
        allow_download: whether a hub repository that is not on this machine may be downloaded.
        options: changes to the weights, and how it computes.

    Raises:
        TeacherFolderError: a one-line reason why the folder cannot be a teacher.
    """
    device = torch.device(device)
    loras, words = [read_lora(name) for name in options.loras], [read_word(name) for name in options.words]
    folder = find_teacher(folder_or_name, options, allow_download, (dtype or type_for(device)) in HALVES)
    component = "transformer" if folder.has("transformer") else "unet"
    refuse_unknown_components(folder, {component, "scheduler", "vae", *TEXT_COMPONENTS, *UNUSED, *PROJECTIONS})
    load_schedule(folder)  # before anything large is read
    warn_of_students(folder, loras)
    allowed = denoisers(folder, component)
    dtype = dtype or type_for(device, folder.choose(component, allowed) in BEAR_FLOAT16)
    network = load_network(folder, component, allowed, dtype)
    changes = [(lora, add_lora(network, component, lora)) for lora in loras]
    if options.offload:
        wait_in_memory(network, device)
    else:
        network.to(device)
    with blaming(folder.path, "its parts do not fit together"):
        codec = load_codec(folder, component, network, device)
        schedule, prediction = load_schedule(folder, tokens=codec.shape[1] * codec.shape[2] // PATCH)
        if options.tiny_autoencoder:
            codec = load_tiny_codec(options.tiny_autoencoder, codec, device, dtype, allow_download)
        if options.offload and isinstance(codec, LatentCodec):
            codec.in_tiles()
        site = Site(folder, component, codec.size, device, dtype, changes, words)
        if projection_of(folder):
            connection = connect_picture(network, site, codec)
        else:
            connection = ARCHITECTURES[type(network)](network, site)
    require_all_fit(words, site.widths)
    if options.compiled:
        compile_network(network, device)
    return DiffusersTeacher(network, schedule, prediction, codec, connection, options.compiled)


def find_teacher(
    name: str | Path, options: TeacherOptions, allow_download: bool = False, half_is_enough: bool = False
) -> TeacherFolder:
    """The folder of a teacher, or what describes a file of weights. Raises TeacherFolderError if there is none."""
    if is_single_file(name):
        return open_single_file(Path(name), options.config, allow_download, half_is_enough)
    return find_teacher_folder(name, allow_download, half_is_enough)


def warn_of_students(folder: TeacherFolder, loras: Sequence[LoraFile]) -> None:
    """Warns if a teacher is a student of another one, or a LoRA makes it one, by their names."""
    if found := NAMES_OF_STUDENTS.search(folder.called):
        warnings.warn(
            f"{folder.path} is a distilled student by its name ('{found[0]}'): trained at a few noise levels, it has a "
            "poor score; better name the model that it was distilled from",
            stacklevel=3,
        )
    for lora in loras:
        if found := NAMES_OF_STUDENTS.search("/".join(lora.path.parts[-2:])):
            warnings.warn(
                f"{lora.path} makes a distilled student of the teacher by its name ('{found[0]}'), which has a poor "
                "score; better leave it out",
                stacklevel=3,
            )


def refuse_unknown_components(folder: TeacherFolder, known: set[str]) -> None:
    """Raises TeacherFolderError if the index lists a component that this program has no use for."""
    for name, entry in folder.index.items():
        if isinstance(entry, list) and folder.has(name) and name not in known:
            raise TeacherFolderError(
                f"{folder.path}: model_index.json lists '{name}' ({entry}), which no supported teacher has"
            )
