"""Weights from safetensors into networks that were built from a checked configuration.

The libraries that define the networks are handed plain values and tensors and are never shown the folder, so their
own loaders (adapters, remote code, kernels, pickled checkpoints) cannot be reached from it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import init_empty_weights
from diffusers import ModelMixin
from safetensors.torch import load_file
from torch import Tensor, nn

from sds.precision import HALVES
from sds.teachers.folder import TeacherFolder, TeacherFolderError, blaming
from sds.teachers.single_file import holds, network_from

Network = TypeVar("Network", bound=nn.Module)

DIFFUSERS_WEIGHTS = "diffusion_pytorch_model"
"""How diffusers names a component's weights, without the ending."""

TRANSFORMERS_WEIGHTS = "model"
"""How transformers names them."""

PICKLED_ENDINGS = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5")

RENAMED_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""What the attention of early autoencoders, Stable Diffusion 1's among them, calls its layers, and what it is now."""


def load_network(
    folder: TeacherFolder,
    component: str,
    allowed: Mapping[tuple[str, str], type[ModelMixin]],
    dtype: torch.dtype = torch.float32,
) -> ModelMixin:
    """Builds a component that diffusers (or a `ModelMixin` of ours) defines, and fills it with the folder's weights.

    Args:
        folder: where to read.
        component: its name in `model_index.json`.
        allowed: the classes that may be built, by the (library, class) pair in the index.
        dtype: what floating-point weights are converted to.

    Returns:
        The network on the CPU, frozen and in evaluation mode. Buffers that are no weights keep their own type.

    Raises:
        TeacherFolderError: if anything is missing, broken, unsupported or unsafe.
    """
    network_class = folder.choose(component, allowed)
    config = folder.read_json(component, "config.json")
    if folder.checkpoint is not None and holds(folder.checkpoint, component, network_class.__name__):
        return frozen(network_from(folder.checkpoint, network_class, public_values(config), dtype))
    weights = read_weights(folder, component, DIFFUSERS_WEIGHTS, dtype, kept_in_float32(network_class, dtype))
    place = folder.path / component
    with blaming(place, "config.json and weights do not make a network"):
        with init_empty_weights():
            network = network_class.from_config(public_values(config))
        rename = getattr(network, "with_current_names", partial(with_current_names, network=network))
        fill(network, rename(weights), place)
    return frozen(network)


def fill(network: nn.Module, weights: Mapping[str, Tensor], place: Path) -> None:
    """Puts ``weights`` into ``network``.

    Weights that the network has no use for give a warning: the configuration may describe less than was trained.

    Raises:
        TeacherFolderError: if some of the network's weights are missing. (Wrong shapes are a RuntimeError of torch.)
    """
    missing, unexpected = network.load_state_dict(weights, strict=False, assign=True)
    if missing:
        raise TeacherFolderError(f"{place}: {len(missing)} weights are missing, the first is {missing[0]}")
    if unexpected:
        warnings.warn(f"{place}: {len(unexpected)} weights are not used, the first is {unexpected[0]}", stacklevel=3)


def frozen(network: Network) -> Network:
    """``network`` in evaluation mode, with no parameter that asks for a gradient."""
    return network.eval().requires_grad_(False)


def public_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the private entries, which steer the loading library and not the network."""
    return {key: value for key, value in config.items() if not key.startswith("_")}


def kept_in_float32(network_class: type[nn.Module], dtype: torch.dtype) -> re.Pattern[str] | None:
    """The names of weights that stay in float32 although the network is of ``dtype``, as its authors say; or None."""
    always = getattr(network_class, "_keep_in_fp32_modules_strict", None) or ()
    in_float16 = getattr(network_class, "_keep_in_fp32_modules", None) or ()
    names = [*always, *(in_float16 if dtype is torch.float16 else ())] if dtype in HALVES else []
    return re.compile(rf"(^|\.)({'|'.join(map(re.escape, names))})(\.|$)") if names else None


def read_weights(
    folder: TeacherFolder, component: str, stem: str, dtype: torch.dtype, kept: re.Pattern[str] | None = None
) -> dict[str, Tensor]:
    """All tensors of a component, from one safetensors file or from the shards that an index lists.

    A half-precision variant (``stem.fp16.safetensors``) is used if it is all there is, or enough. Weights whose names
    have a part that ``kept`` finds become float32.

    Raises:
        TeacherFolderError: if there are only pickled weights, or none, or if a file is broken or outside the folder.
    """
    names = folder.names(component)
    halves = (".fp16", ".bf16")
    for variant in (*halves, "") if dtype in HALVES else ("", *halves):
        single = f"{stem}{variant}.safetensors"
        index = f"{stem}.safetensors.index{variant}.json"
        if single in names:
            return read_safetensors(folder, component, single, dtype, kept)
        if index in names:
            return read_shards(folder, component, index, dtype, kept)
    pickled = sorted(name for name in names if name.endswith(PICKLED_ENDINGS))
    if pickled:
        raise TeacherFolderError(
            f"{folder.path / component} has only pickled weights ({pickled[0]}), which can run any code when opened; "
            "they were not opened. Get the safetensors version; or, if you trust their author, convert them: python -c "
            f"\"from diffusers import DiffusionPipeline as P; P.from_pretrained('{folder.path}', use_safetensors=False)"
            ".save_pretrained('CONVERTED')\""
        )
    raise TeacherFolderError(f"{folder.path / component} has no {stem}.safetensors; is the folder complete?")


def read_shards(
    folder: TeacherFolder, component: str, index: str, dtype: torch.dtype, kept: re.Pattern[str] | None
) -> dict[str, Tensor]:
    """The tensors of all the files that a safetensors index lists."""
    weight_map = folder.read_json(component, index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise TeacherFolderError(f"{folder.path / component / index} has no 'weight_map'")
    weights: dict[str, Tensor] = {}
    for name in sorted({str(shard) for shard in weight_map.values()}):
        if not re.fullmatch(r"[\w.-]+\.safetensors", name):
            raise TeacherFolderError(
                f"{folder.path / component / index} lists '{name}', which is not the name of a safetensors file "
                "beside it; it was not opened"
            )
        weights |= read_safetensors(folder, component, name, dtype, kept)
    return weights


def read_safetensors(
    folder: TeacherFolder, component: str, name: str, dtype: torch.dtype, kept: re.Pattern[str] | None
) -> dict[str, Tensor]:
    """The tensors of one safetensors file; those of a floating-point type as ``dtype``, or float32 if ``kept``."""
    path = folder.file(component, name)
    with blaming(path, "is broken or cut short; get it again"):
        tensors = load_file(path)
    types = {key: torch.float32 if kept and kept.search(key) else dtype for key in tensors}
    return {key: value.to(types[key]) if value.is_floating_point() else value for key, value in tensors.items()}


def with_current_names(weights: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """``weights`` with the layers of early autoencoders' attention under the names that ``network`` has for them."""
    expected = network.state_dict().keys()
    early = re.compile(rf"\.({'|'.join(RENAMED_ATTENTION)})\.(?=weight$|bias$)")
    return {
        key if key in expected else early.sub(lambda found: f".{RENAMED_ATTENTION[found[1]]}.", key): value
        for key, value in weights.items()
    }
