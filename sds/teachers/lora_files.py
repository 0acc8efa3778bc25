"""Low-rank changes to a teacher from a file (LoRA, Hu et al. 2021), added to its weights while it is loaded.

Files as diffusers, peft and kohya's scripts write them: diffusers' own readers give their tensors one set of names. The
sum ``W + scale * alpha / rank * up @ down`` is as fast as W, and critics and students start from it.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AuraFlowTransformer2DModel,
    FluxTransformer2DModel,
    Lumina2Transformer2DModel,
    ModelMixin,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    UNet2DConditionModel,
    ZImageTransformer2DModel,
)
from diffusers.loaders import (
    AuraFlowLoraLoaderMixin,
    FluxLoraLoaderMixin,
    Lumina2LoraLoaderMixin,
    SanaLoraLoaderMixin,
    SD3LoraLoaderMixin,
    StableDiffusionXLLoraLoaderMixin,
    ZImageLoraLoaderMixin,
)
from diffusers.utils.state_dict_utils import StateDictType, convert_state_dict_to_peft, convert_unet_state_dict_to_peft
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from sds.teachers.folder import TeacherFolderError, blaming

Named = Mapping[str, Tensor]

READERS: Mapping[type[ModelMixin], Callable[..., Any]] = {
    UNet2DConditionModel: StableDiffusionXLLoraLoaderMixin.lora_state_dict,  # of Stable Diffusion 1 and 2 as well
    SD3Transformer2DModel: SD3LoraLoaderMixin.lora_state_dict,
    FluxTransformer2DModel: FluxLoraLoaderMixin.lora_state_dict,
    SanaTransformer2DModel: SanaLoraLoaderMixin.lora_state_dict,
    Lumina2Transformer2DModel: Lumina2LoraLoaderMixin.lora_state_dict,
    AuraFlowTransformer2DModel: AuraFlowLoraLoaderMixin.lora_state_dict,
    ZImageTransformer2DModel: ZImageLoraLoaderMixin.lora_state_dict,
}
"""What brings a file's names into diffusers' form, by the network that the file is for."""

OTHER_FACTORS = re.compile(r"hada_|lokr_|lora_mid|dora_scale|lora_magnitude|oft_|glora")
"""Parts of names in files that hold more than two factors: LyCORIS, DoRA."""

NAMED_AFTER = re.compile(r"(?:base_model\.model\.)?(?P<component>unet|transformer|text_encoder(?:_[23])?)\.")

HALF = re.compile(r"(?P<layer>.+?)\.lora_(?P<half>[AB])(?:\.default\w*)?\.weight")

AFTER_LAYER = re.compile(r"(\.lora_[AB].*)?\.alpha$")


@dataclass(frozen=True)
class LoraFile:
    """A LoRA that lies on a teacher.

    Attributes:
        path: of a safetensors file.
        scale: 1 is what it was trained as, 0 leaves it out.
        tensors: its content, under whatever names.
        alpha: of all layers that have none of their own; None stands for their rank.
    """

    path: Path
    scale: float
    tensors: Named
    alpha: float | None = None


def read_lora(named: str) -> LoraFile:
    """The LoRA of "FILE" or "FILE:SCALE".

    Raises TeacherFolderError if there is no such file, it is no safetensors file, or it holds no LoRA.
    """
    name, scale = named, 1.0
    head, colon, tail = named.rpartition(":")
    if colon and not Path(named).exists():
        with suppress(ValueError):  # a name with a colon in it
            name, scale = head, float(tail)
    path = Path(name).expanduser()
    if not math.isfinite(scale) or abs(scale) > LARGEST_SCALE:
        raise TeacherFolderError(f"{named}: the scale of a LoRA lies between -{LARGEST_SCALE:g} and {LARGEST_SCALE:g}")
    tensors = read_adapter(path)
    if strange := next((key for key in tensors if OTHER_FACTORS.search(key)), None):
        raise TeacherFolderError(f"{path} is a LyCORIS or DoRA file ('{strange}'), of which only LoRA is supported")
    if not any("lora" in key for key in tensors):
        raise TeacherFolderError(f"{path} holds no LoRA: none of its tensors is called one")
    return LoraFile(path, scale, tensors, written_alpha(path))


def written_alpha(path: Path) -> float | None:
    """The ``lora_alpha`` that diffusers writes into a file's header, None if there is none."""
    with blaming(path, "is broken or cut short; get it again"), safe_open(path, "pt") as file:
        header = (file.metadata() or {}).get("lora_adapter_metadata", "{}")
        values = {value for key, value in json.loads(header).items() if key.split(".")[-1] == "lora_alpha"}
    if len(values) > 1:
        raise TeacherFolderError(f"{path} has several values of lora_alpha in its header, which is not supported")
    return float(values.pop()) if values else None


LARGEST_SCALE = 100.0


def read_adapter(path: Path) -> dict[str, Tensor]:
    """The tensors of a LoRA's or an embedding's file.

    Raises TeacherFolderError if there is none, it is broken, or it is a pickle, which is not opened.
    """
    if not path.is_file():
        raise TeacherFolderError(f"there is no file {path}")
    if path.suffix != ".safetensors":
        raise TeacherFolderError(
            f"{path} is no safetensors file; pickles can run any code when opened and are not: get the safetensors "
            "version, or, if you trust its author, load it with torch and save it with safetensors.torch.save_file"
        )
    with blaming(path, "is broken or cut short; get it again"):
        return load_file(path)


def add_lora(network: ModelMixin, component: str, lora: LoraFile) -> dict[str, Named]:
    """Adds a LoRA to the weights of a teacher's network.

    Args:
        network: on any device, in any type; the sum is taken in float32.
        component: its name in the folder, "unet" or "transformer".
        lora: what to add.

    Returns:
        What the file has for other components ("text_encoder", ...), by their names, for `add_factors`.

    Raises:
        TeacherFolderError: if the file is for another kind of network.
    """
    reader = READERS.get(type(network))
    if reader is None:
        raise TeacherFolderError(f"{lora.path}: no LoRA is supported for a {type(network).__name__}")
    with blaming(lora.path, f"cannot be read as a LoRA of a {type(network).__name__}"):
        parts = by_component(reader, dict(lora.tensors), network.config, component)
    add_factors(network, parts.pop(component, {}), lora)
    return parts


def by_component(
    reader: Callable[..., Any], tensors: dict[str, Tensor], config: Any, component: str
) -> dict[str, Named]:
    """A file's tensors in peft's names, those of each component apart, with its alphas as ``LAYER.alpha``.

    What is named after no component belongs to ``component``.
    """
    alphas: Mapping[str, Any] | None = None
    if reader is READERS[UNet2DConditionModel]:
        tensors, alphas = reader(tensors, unet_config=config)
    elif reader is READERS[FluxTransformer2DModel]:
        tensors, alphas = reader(tensors, return_alphas=True)
    else:
        tensors = reader(tensors)
    parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, value in {**tensors, **(alphas or {})}.items():
        found = NAMED_AFTER.match(key)
        name = found["component"] if found else component
        parts[name][key[found.end() :] if found else key] = torch.as_tensor(value)
    return {
        name: convert_unet_state_dict_to_peft(part) if name == component else names_in_encoder(part)
        for name, part in parts.items()
    }


def names_in_encoder(part: Named) -> Named:
    """A text encoder's tensors in peft's names, from either of diffusers' earlier ones."""
    return convert_state_dict_to_peft(
        convert_state_dict_to_peft(part, StateDictType.DIFFUSERS_OLD), StateDictType.DIFFUSERS
    )


def add_factors(network: nn.Module, named: Named, lora: LoraFile) -> None:
    """Adds every pair of factors to the layer that it is named after.

    Raises:
        TeacherFolderError: if a layer or a shape is not that of the network.
    """
    factors: dict[str, dict[str, Tensor]] = defaultdict(dict)
    alphas: dict[str, float] = {}
    for key, value in named.items():
        found = HALF.fullmatch(key)
        if found:
            factors[found["layer"]][found["half"]] = value
        elif key.endswith(".alpha"):
            alphas[AFTER_LAYER.sub("", key)] = float(value)
        else:
            warnings.warn(f"{lora.path}: '{key}' is not used", stacklevel=2)
    for layer, halves in factors.items():
        try:
            weight = network.get_parameter(f"{current_name(layer, network)}.weight")
        except AttributeError:
            raise TeacherFolderError(
                f"{lora.path} is for another kind of teacher: this one has no layer '{layer}'"
            ) from None
        if halves.keys() != {"A", "B"}:
            raise TeacherFolderError(f"{lora.path} has one factor only of '{layer}'")
        down, up = halves["A"].float(), halves["B"].float()
        alpha = alphas.get(layer, lora.alpha or len(down))
        with blaming(lora.path, f"is for another size of teacher, by its '{layer}'"):
            change = torch.einsum("or,ri->oi", up.flatten(1), down.flatten(1)).reshape(weight.shape)
        weight.data += (lora.scale * alpha / len(down) * change).to(weight)


def current_name(layer: str, network: nn.Module) -> str:
    """A text encoder's layer as this version of transformers calls it: with or without its wrapper "text_model"."""
    wrapped = hasattr(network, "text_model")
    bare = layer.removeprefix("text_model.")
    return f"text_model.{bare}" if wrapped and layer != bare else bare
