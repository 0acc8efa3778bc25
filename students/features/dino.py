"""Features of DINOv2 (Oquab et al. 2023), at which the discriminator of ADD looks, from a folder of the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sds.teachers.folder import TeacherFolderError, blaming, checked_json
from students.features.imagenet_network import MissingWeightsError

LAYERS = 4
"""How many layers are looked at, spread evenly over the depth, the last one among them."""

SIDE = 224
"""Pixels that pictures are brought to, or the nearest multiple of the patch size below."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures in [0, 1], by which the network's were normalised."""


class DinoMaps(nn.Module):
    """Pictures -> maps of patch features.

    Args:
        network: a `transformers.Dinov2Model`.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        patch, depth = int(network.config.patch_size), int(network.config.num_hidden_layers)
        self.side = max(patch, SIDE // patch * patch)
        self.patch, count = patch, min(LAYERS, depth)
        self.layers = [depth * (i + 1) // count for i in range(count)]
        self.register_buffer("mean", torch.tensor(MEAN).reshape(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(DEVIATION).reshape(3, 1, 1))

    def forward(self, image: Tensor) -> list[Tensor]:
        """(batch, 3, height, width) in [0, 1] -> maps (batch, width of the network, rows, columns). Differentiable."""
        shrinks = min(image.shape[-2:]) > self.side
        image = F.interpolate(image, (self.side,) * 2, mode="bicubic", align_corners=False, antialias=shrinks)
        seen = self.network((image - self.mean) / self.deviation, output_hidden_states=True).hidden_states
        rows = self.side // self.patch
        return [seen[layer][:, 1:].transpose(1, 2).unflatten(2, (rows, rows)) for layer in self.layers]


def load_dino(folder: Path, device: torch.device | str = "cpu") -> DinoMaps:
    """DINOv2 from a folder with config.json and model.safetensors; nothing in it is executed, nothing downloaded.

    Raises:
        MissingWeightsError: if the folder holds no such network, or it is broken or pickled.
    """
    from transformers import Dinov2Config, Dinov2Model

    config, weights = folder / "config.json", folder / "model.safetensors"
    if not config.is_file() or not weights.is_file():
        raise MissingWeightsError(
            f"{folder} needs the config.json and model.safetensors of a DINOv2 (for example facebook/dinov2-small); "
            "the features `imagenet` and `teacher` need no folder"
        )
    try:
        content = checked_json(config)
        if content.get("model_type") != "dinov2":
            raise MissingWeightsError(f"{config} is of a {content.get('model_type')!r}, not of a dinov2")
        with blaming(folder, "the DINOv2 cannot be loaded"):
            network, found = Dinov2Model.from_pretrained(
                folder,
                config=Dinov2Config.from_dict(content),
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
        if found["missing_keys"]:
            raise MissingWeightsError(f"{weights} lacks {len(found['missing_keys'])} of the network's weights")
    except TeacherFolderError as error:
        raise MissingWeightsError(str(error)) from None
    return DinoMaps(network).eval().requires_grad_(False).to(device)
