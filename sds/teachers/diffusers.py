"""Any folder in the diffusers layout as a teacher: pixels or latents; noise, v, image or flow prediction.

What is supported (`ARCHITECTURES` and `SCHEDULERS` are the tables):

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
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderTiny,
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    HeunDiscreteScheduler,
    LMSDiscreteScheduler,
    ModelMixin,
    PNDMScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sds.denoiser import Condition, View, require_prompts
from sds.precision import HALVES, computing_in, computing_type, type_for
from sds.schedule import NoiseSchedule, Prediction, flow_schedule, schedule_from_diffusers, tabulated_schedule, x0_from
from sds.teachers.architectures import ARCHITECTURES, BEAR_FLOAT16, LATENT_CHANNELS, USUAL_SIZE, denoisers
from sds.teachers.conditioning import with_camera
from sds.teachers.connection import Connection, Site
from sds.teachers.execution import compile_network, wait_in_memory
from sds.teachers.folder import (
    TeacherFolder,
    TeacherFolderError,
    blaming,
    checked_json,
    link_boundary,
    running_strangers_network,
)
from sds.teachers.hub import UNUSED, find_component, find_teacher_folder
from sds.teachers.image_codec import LAYOUTS, ImageCodec, LatentCodec, PixelCodec
from sds.teachers.learned_words import read_word, require_all_fit
from sds.teachers.lora_files import add_lora, read_lora
from sds.teachers.options import AS_IT_IS, TeacherOptions
from sds.teachers.picture_conditioned import PROJECTIONS, PictureConditioner, connect_picture, projection_of
from sds.teachers.single_file import is_single_file, open_single_file
from sds.teachers.weights import load_network, public_values

SCHEDULERS: Mapping[tuple[str, str], type[SchedulerMixin]] = {
    ("diffusers", scheduler.__name__): scheduler
    for scheduler in (
        DDIMScheduler,
        DDPMScheduler,
        DEISMultistepScheduler,
        DPMSolverMultistepScheduler,
        DPMSolverSinglestepScheduler,
        EulerAncestralDiscreteScheduler,
        EulerDiscreteScheduler,
        FlowMatchEulerDiscreteScheduler,
        FlowMatchHeunDiscreteScheduler,
        HeunDiscreteScheduler,
        LMSDiscreteScheduler,
        PNDMScheduler,
        UniPCMultistepScheduler,
    )
}
"""Only the noise levels and the prediction type are read from a scheduler; which sampler it is does not matter."""

STUDENT = (
    "this is a distilled student (LCM, TCD), which was trained at a few noise levels and with its guidance built in: "
    "it has no score to give; name the model that it was distilled from"
)

UNSCORABLE_SCHEDULERS = {
    **dict.fromkeys(("LCMScheduler", "TCDScheduler", "FlowMatchLCMScheduler"), STUDENT),
    **dict.fromkeys(
        ("EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"),
        "its network is told and returns images scaled in EDM's way, which is not supported",
    ),
}

NAMES_OF_STUDENTS = re.compile(r"turbo|lightning|hyper-?sd|\blcm\b|schnell|sprint", re.IGNORECASE)
"""Some students have the scheduler of their teacher, and only their names tell."""

AUTOENCODERS: Mapping[tuple[str, str], type[ModelMixin]] = {("diffusers", kind.__name__): kind for kind in LAYOUTS}

FAINTEST_IMAGE = 5e-3
"""The alpha at which a noise prediction still says something about the image. Schedules that end below it (DeepFloyd
IF's, those with a zero terminal SNR) begin here: their last few levels are noise to the eye, and paths may begin at any
level where this is so. DDPM's linear schedule ends at 0.0063 and is left alone."""

SCALE_OF_EARLY_LATENTS = 0.18215
"""By this `scaling_factor` one knows the autoencoders of Stable Diffusion 1 and 2, which stay finite in float16; SDXL's
(0.13025) and later ones do not."""

TEXT_COMPONENTS = {f"{part}{suffix}" for part in ("text_encoder", "tokenizer") for suffix in ("", "_2", "_3")}


class DiffusersTeacher:
    """A frozen teacher from a folder in the diffusers layout; meets `sds.denoiser.NeuralTeacher`.

    Attributes:
        network: the frozen network.
        schedule: the noise levels it was trained on.
        prediction: what it returns.
        codec: the border between images and x.
        prompts: makes its conditions.
        knows_views: whether it is told the camera as numbers.
        views_together: so many pictures in a row are views of one object, with one noise level.
        call: how the network is called.
    """

    def __init__(
        self,
        network: ModelMixin,
        schedule: NoiseSchedule,
        prediction: Prediction,
        codec: ImageCodec,
        connection: Connection,
    ) -> None:
        self.network = network
        self.schedule = schedule
        self.prediction = prediction
        self.codec = codec
        self.prompts = connection.prompts
        self.knows_views = connection.told_camera
        self.views_together = connection.views_together
        self.call = connection.call

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of x: pixels in [-1, 1], or latents."""
        return self.codec.shape

    @property
    def takes_sentences(self) -> bool:
        """Whether prompts are free text; False for class-conditional and unconditional teachers."""
        return self.prompts.takes_sentences

    @property
    def vocabulary(self) -> Sequence[str] | None:
        """All prompts that there are: class names, or the empty prompt alone; None where any text is one."""
        return self.prompts.vocabulary

    @property
    def has_null(self) -> bool:
        """Whether it can be guided: there is a null prompt beside the others."""
        return self.prompts.has_null

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
        told = {
            name: tensor.to(dtype) if tensor.is_floating_point() else tensor
            for name, tensor in condition.tensors.items()
        }
        timestep = self.schedule.timestep(t).to(x_t.device, torch.float32)
        with context:
            output = self.call(network, x_t.to(dtype), timestep, told)
        # A network that learned its variance too returns it in a second half of the channels.
        output = output[:, : self.shape[0]].to(x_t.dtype)
        alpha, sigma = self.schedule(t)
        return x0_from(self.prediction, output, x_t, alpha, sigma)

    @torch.no_grad()
    def condition(self, prompts: Sequence[str], view: View | None) -> Condition:
        """One row for each prompt. Text is encoded once for each prompt and kept.

        Raises:
            ValueError: for a bare string; if a prompt is no class of a class-conditional teacher, is not empty for an
                unconditional one, or if a teacher that is told the camera gets no view.
            RuntimeError: for a new prompt after `release_text_encoders`.
        """
        require_prompts(prompts)
        condition = self.prompts(prompts)
        return with_camera(condition, view) if self.knows_views else condition

    def encode(self, image: Tensor) -> Tensor:
        """An image of shape (batch, 3, height, width) in [0, 1], of any size, as x of `shape`. Differentiable."""
        return self.codec.encode(image)

    def decode(self, x: Tensor) -> Tensor:
        """The image that x stands for, in [0, 1] up to what x exceeds its range by. Differentiable."""
        return self.codec.decode(x)

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

    def release_text_encoders(self, prompts: Sequence[str] = ()) -> None:
        """Frees the text encoders, often the largest part.

        ``prompts``, those seen so far and the null prompt stay usable.
        """
        if prompts and self.takes_sentences:
            self.prompts(prompts)
        self.prompts.release()


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
    warn_of_students(folder)
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
    return DiffusersTeacher(network, schedule, prediction, codec, connection)


def find_teacher(
    name: str | Path, options: TeacherOptions, allow_download: bool = False, half_is_enough: bool = False
) -> TeacherFolder:
    """The folder of a teacher, or what describes a file of weights. Raises TeacherFolderError if there is none."""
    if is_single_file(name):
        return open_single_file(Path(name), options.config, allow_download)
    return find_teacher_folder(name, allow_download, half_is_enough)


def warn_of_students(folder: TeacherFolder) -> None:
    """Warns if a teacher is a student of another one, by its name."""
    if found := NAMES_OF_STUDENTS.search(folder.called):
        warnings.warn(
            f"{folder.path} is a distilled student by its name ('{found[0]}'): trained at a few noise levels, it has a "
            "poor score; better name the model that it was distilled from",
            stacklevel=3,
        )


def refuse_unknown_components(folder: TeacherFolder, known: set[str]) -> None:
    """Raises TeacherFolderError if the index lists a component that this program has no use for."""
    for name, entry in folder.index.items():
        if isinstance(entry, list) and folder.has(name) and name not in known:
            raise TeacherFolderError(
                f"{folder.path}: model_index.json lists '{name}' ({entry}), which no supported teacher has"
            )


PATCH = 4
"""Latents that are one token of the transformers whose noise levels depend on how many tokens there are."""


def load_schedule(folder: TeacherFolder, tokens: int = 1024) -> tuple[NoiseSchedule, Prediction]:
    """The noise levels and the prediction type that the folder's scheduler describes, for pictures of so many tokens.

    Noise levels at which a noise prediction would have to be divided by almost nothing are left out: t = 1 is the
    highest usable level (`FAINTEST_IMAGE`).

    Raises:
        TeacherFolderError: if it is missing, broken or of a kind that is not supported.
    """
    scheduler_class = folder.choose("scheduler", SCHEDULERS, UNSCORABLE_SCHEDULERS)
    config = public_values(folder.read_json("scheduler", "scheduler_config.json"))
    place = folder.path / "scheduler"
    if config.get("use_flow_sigmas") and config.get("prediction_type") != Prediction.FLOW.value:
        raise TeacherFolderError(f"{place}: use_flow_sigmas goes with prediction_type flow_prediction only")
    if config.get("timestep_type") == "continuous":
        raise TeacherFolderError(f"{place}: continuous timesteps (timestep_type) are not supported")
    with blaming(place, "scheduler_config.json makes no noise schedule"):
        scheduler = scheduler_class.from_config(config)
        if config.get("use_flow_sigmas"):
            levels = int(scheduler.config.num_train_timesteps)
            return flow_schedule(float(scheduler.config.flow_shift), levels), Prediction.FLOW
        flow = not hasattr(scheduler, "alphas_cumprod")
        prediction = Prediction.FLOW if flow else Prediction(scheduler.config.prediction_type)
        if prediction is Prediction.EPSILON:
            table = scheduler.alphas_cumprod
            return tabulated_schedule(table[table.sqrt() >= FAINTEST_IMAGE]), prediction
        return schedule_from_diffusers(scheduler, tokens), prediction


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
