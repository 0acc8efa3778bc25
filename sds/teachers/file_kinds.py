"""The layouts in which a denoising network is published in one file, told apart by the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

PREFIX = "model.diffusion_model."
"""What files with more than the denoising network put before the names of its weights."""

PART_OF_LORA = re.compile(r"lora|\.hada_|\.lokr_")

SCALED = re.compile(r"(^|\.)(scaled_fp8|scale_weight|weight_scale(_2)?|absmax|quant_map|comfy_quant|quant_state\..*)$")
"""Tensors beside weights that are quantized: these are no numbers without them."""


@dataclass(frozen=True)
class FileKind:
    """A layout.

    Attributes:
        marks: how some names begin, after `PREFIX`; a file of this kind has all of them.
        pipeline: diffusers' class of what it belongs to, which reads files that hold everything.
        network: diffusers' class that reads a file of the network alone; "" for files that hold everything.
        repository: the hub's repository with the other parts.
        script: what converts it, where no class of diffusers reads it.
    """

    marks: tuple[str, ...]
    pipeline: str
    network: str = ""
    repository: str = ""
    script: str = ""

    def conversion(self, path: Path) -> str:
        """The command that makes a folder of the file, to be run once."""
        if self.script:
            return f"convert it once, with {self.script} of diffusers' repository"
        if not self.network:
            program = f"from diffusers import {self.pipeline} as P; P.from_single_file('{path}')"
        else:
            program = (
                f"from diffusers import {self.pipeline} as P, {self.network} as N; "
                f"P.from_pretrained('{self.repository}', transformer=N.from_single_file('{path}'))"
            )
        return f"convert it once: python -c \"{program}.save_pretrained('CONVERTED')\""


ANY = FileKind((PREFIX,), "StableDiffusionPipeline")

PROJECTION = "cc_projection."
"""How the names of Zero123's linear layer begin."""

ZERO123 = FileKind(
    (PROJECTION, PREFIX), "Zero1to3StableDiffusionPipeline", script="scripts/convert_zero123_to_diffusers.py"
)
"""Its CLIP has names of its own: what describes such a file brings it."""

KINDS = (
    FileKind(("joint_blocks.", "text_encoders."), "StableDiffusion3Pipeline"),
    FileKind(
        ("joint_blocks.",),
        *("StableDiffusion3Pipeline", "SD3Transformer2DModel", "stabilityai/stable-diffusion-3-medium-diffusers"),
    ),
    FileKind(
        ("double_blocks.", "single_blocks."),
        *("FluxPipeline", "FluxTransformer2DModel", "black-forest-labs/FLUX.1-dev"),
    ),
    FileKind(
        ("double_layers.", "cond_seq_linear."), "AuraFlowPipeline", "AuraFlowTransformer2DModel", "fal/AuraFlow-v0.3"
    ),
    FileKind(
        ("cap_embedder.", "layers.0.adaLN_modulation.0."),
        *("ZImagePipeline", "ZImageTransformer2DModel", "Tongyi-MAI/Z-Image-Turbo"),
    ),
    FileKind(
        ("cap_embedder.", "layers.0.adaLN_modulation.1."),
        *("Lumina2Pipeline", "Lumina2Transformer2DModel", "Alpha-VLLM/Lumina-Image-2.0"),
    ),
    FileKind(
        ("blocks.0.cross_attn.q_linear.", "attention_y_norm."),
        *("SanaPipeline", "SanaTransformer2DModel", "Efficient-Large-Model/Sana_1600M_1024px_diffusers"),
    ),
    FileKind(
        ("blocks.0.cross_attn.q_linear.",),
        pipeline="PixArtSigmaPipeline",
        script="scripts/convert_pixart_sigma_to_diffusers.py",
    ),
    FileKind(("conditioner.", PREFIX), "StableDiffusionXLPipeline"),
    ZERO123,
    ANY,
)
"""The first that fits is taken."""


def kind_of(names: Collection[str]) -> FileKind | None:
    """The layout of a file with tensors of these names; None if it holds no whole denoising network."""
    if any(PART_OF_LORA.search(name) for name in names):
        return None
    bare = {name.removeprefix(PREFIX) for name in names} | set(names)
    return next(
        (kind for kind in KINDS if all(any(name.startswith(mark) for name in bare) for mark in kind.marks)), None
    )


def scale_beside_weights(names: Collection[str]) -> str | None:
    """The name of a tensor by which one knows that weights are quantized, None if there is none."""
    return next((name for name in names if SCALED.search(name)), None)
