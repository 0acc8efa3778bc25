"""A pipeline of torch as the folder of ONNX files that optimum makes of it."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

TENSORS = {0: "batch_size"}


class _Denoiser(nn.Module):
    def __init__(self, network: nn.Module, pooled: bool) -> None:
        super().__init__()
        self.network, self.pooled = network, pooled

    def forward(
        self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, text_embeds: Any = None, ids: Any = None
    ) -> Tensor:
        added = {"text_embeds": text_embeds, "time_ids": ids} if self.pooled else None
        return self.network(sample, timestep, encoder_hidden_states, added_cond_kwargs=added).sample


class _TextEncoder(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor) -> tuple[Tensor, ...]:
        output = self.network(input_ids, output_hidden_states=True)
        pooled = output.text_embeds if "text_embeds" in output else output.pooler_output
        return output.last_hidden_state, pooled, *output.hidden_states


def as_onnx(torch_folder: Path, pipeline: Any, folder: Path, keep_autoencoder: bool = True) -> Path:
    """Writes the pipeline that was saved in ``torch_folder``: one time for all images, as optimum exports it."""
    unet, pooled = pipeline.unet, pipeline.unet.config.addition_embed_type == "text_time"
    ignored = shutil.ignore_patterns("*.safetensors", *([] if keep_autoencoder else ["vae"]))
    shutil.copytree(torch_folder, folder, ignore=ignored)
    if keep_autoencoder:
        shutil.copytree(torch_folder / "vae", folder / "vae", dirs_exist_ok=True)
    (folder / "vae_encoder").mkdir()
    size, width = unet.config.sample_size, unet.config.cross_attention_dim
    inputs = {
        "sample": torch.zeros(2, unet.config.in_channels, size, size),
        "timestep": torch.tensor(3.0),
        "encoder_hidden_states": torch.zeros(2, 16, width),
    }
    if pooled:
        inputs |= {"text_embeds": torch.zeros(2, 6), "time_ids": torch.zeros(2, 6)}
    _write(_Denoiser(unet, pooled), inputs, ["out_sample"], folder / "unet")
    for name in ("text_encoder", "text_encoder_2"):
        encoder = getattr(pipeline, name, None)
        if encoder is None:
            continue
        states = [f"hidden_states.{number}" for number in range(encoder.config.num_hidden_layers + 1)]
        pooler = "text_embeds" if "Projection" in type(encoder).__name__ else "pooler_output"
        tokens = {"input_ids": torch.zeros(1, encoder.config.max_position_embeddings, dtype=torch.long)}
        _write(_TextEncoder(encoder), tokens, ["last_hidden_state", pooler, *states], folder / name)
    index = json.loads((folder / "model_index.json").read_text())
    index |= {
        "_class_name": "ORTStableDiffusionPipeline",
        "unet": ["optimum.onnxruntime.modeling_diffusion", "ORTUnet"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def _write(network: nn.Module, inputs: dict[str, Tensor], outputs: list[str], folder: Path) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            tuple(inputs.values()),
            folder / "model.onnx",
            dynamo=False,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes={name: TENSORS for name in [*inputs, *outputs[:2]] if name != "timestep"},
        )
