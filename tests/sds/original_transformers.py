"""Weights of transformers under the names of their first publication: what single files of them hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Named = dict[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """How names of diffusers become others.

    Attributes:
        names: expressions and what stands for them, one after another.
        fused: layers in one matrix: the block they belong to, what they are called in it, and what all are.
        swapped: layers whose halves, scale and shift, change places.
        more: what files have and networks do not.
    """

    names: tuple[tuple[str, str], ...]
    fused: tuple[tuple[str, tuple[str, ...], str], ...] = ()
    swapped: str = "no such layer"
    more: tuple[str, ...] = ()

    def __call__(self, weights: Mapping[str, Tensor]) -> Named:
        found = dict(weights)
        for block, layers, together in self.fused:
            for key in weights:
                if match := re.fullmatch(rf"({block}){layers[0]}\.(weight|bias)", key):
                    parts = [found.pop(f"{match[1]}{layer}.{match[2]}") for layer in layers]
                    found[f"{match[1]}{together}.{match[2]}"] = torch.cat(parts)
        for key, value in found.items():
            if re.match(self.swapped, key):
                found[key] = torch.cat(value.chunk(2)[::-1])
        renamed = {self.named(key): value.contiguous() for key, value in found.items()}
        return {**renamed, **{name: torch.zeros(1) for name in self.more}}

    def named(self, key: str) -> str:
        for new, old in self.names:
            key = re.sub(new, old, key)
        return key


QKV = ("to_q", "to_k", "to_v")


def of(head: str, parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(head + part for part in parts)


ADDED = ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")

STABLE_DIFFUSION_3_OF_TWO_BLOCKS = Layout(
    (
        (r"^pos_embed\.pos_embed$", "pos_embed"),
        (r"^pos_embed\.proj", "x_embedder.proj"),
        (r"^time_text_embed\.timestep_embedder\.", "t_embedder.mlp."),
        (r"^time_text_embed\.text_embedder\.", "y_embedder.mlp."),
        (r"mlp\.linear_1", "mlp.0"),
        (r"mlp\.linear_2", "mlp.2"),
        (r"^transformer_blocks", "joint_blocks"),
        (r"attn\.to_add_out", "context_block.attn.proj"),
        (r"attn\.norm_added_(\w)", r"context_block.attn.ln_\1"),
        (r"\.(attn2?)\.norm_(\w)", r".x_block.\1.ln_\2"),
        (r"\.(attn2?)\.to_out\.0", r".x_block.\1.proj"),
        (r"norm1\.linear", "x_block.adaLN_modulation.1"),
        (r"norm1_context\.linear", "context_block.adaLN_modulation.1"),
        (r"\.ff\.", ".x_block.mlp."),
        (r"\.ff_context\.", ".context_block.mlp."),
        (r"net\.0\.proj", "fc1"),
        (r"net\.2", "fc2"),
        (r"^proj_out", "final_layer.linear"),
        (r"^norm_out\.linear", "final_layer.adaLN_modulation.1"),
    ),
    (
        (r".*\.", of("attn.", QKV), "x_block.attn.qkv"),
        (r".*\.", of("attn2.", QKV), "x_block.attn2.qkv"),
        (r".*\.", ADDED, "context_block.attn.qkv"),
    ),
    swapped=r"norm_out\.|transformer_blocks\.1\.norm1_context",
)

FLUX = Layout(
    (
        (r"^time_text_embed\.timestep_embedder", "time_in"),
        (r"^time_text_embed\.text_embedder", "vector_in"),
        (r"^time_text_embed\.guidance_embedder", "guidance_in"),
        (r"_in\.linear_1", "_in.in_layer"),
        (r"_in\.linear_2", "_in.out_layer"),
        (r"^context_embedder", "txt_in"),
        (r"^x_embedder", "img_in"),
        (r"^single_transformer_blocks\.(\d+)\.attn", r"single_blocks.\1"),
        (r"^single_transformer_blocks", "single_blocks"),
        (r"norm_q\.weight", "norm.query_norm.scale"),
        (r"norm_k\.weight", "norm.key_norm.scale"),
        (r"attn\.norm_added_q\.weight", "txt_attn.norm.query_norm.scale"),
        (r"attn\.norm_added_k\.weight", "txt_attn.norm.key_norm.scale"),
        (r"^transformer_blocks", "double_blocks"),
        (r"\.attn\.norm", ".img_attn.norm"),
        (r"\.attn\.to_out\.0", ".img_attn.proj"),
        (r"\.attn\.to_add_out", ".txt_attn.proj"),
        (r"norm1\.linear", "img_mod.lin"),
        (r"norm1_context\.linear", "txt_mod.lin"),
        (r"\.ff\.net", ".img_mlp"),
        (r"\.ff_context\.net", ".txt_mlp"),
        (r"mlp\.0\.proj", "mlp.0"),
        (r"\.norm\.linear", ".modulation.lin"),
        (r"\.proj_out", ".linear2"),
        (r"^proj_out", "final_layer.linear"),
        (r"^norm_out\.linear", "final_layer.adaLN_modulation.1"),
    ),
    (
        (r"single_.*\.", (*of("attn.", QKV), "proj_mlp"), "linear1"),
        (r"transformer_.*\.", of("attn.", QKV), "img_attn.qkv"),
        (r"transformer_.*\.", ADDED, "txt_attn.qkv"),
    ),
    swapped=r"norm_out\.",
)

SANA = Layout(
    (
        (r"^patch_embed", "x_embedder"),
        (r"^time_embed\.emb\.timestep_embedder\.linear_1", "t_embedder.mlp.0"),
        (r"^time_embed\.emb\.timestep_embedder\.linear_2", "t_embedder.mlp.2"),
        (r"^time_embed\.linear", "t_block.1"),
        (r"^caption_projection\.linear_", "y_embedder.y_proj.fc"),
        (r"^caption_norm", "attention_y_norm"),
        (r"^transformer_blocks", "blocks"),
        (r"attn1\.to_out\.0", "attn.proj"),
        (r"attn2\.to_out\.0", "cross_attn.proj"),
        (r"attn2\.to_q", "cross_attn.q_linear"),
        (r"ff\.conv_(\w+)", r"mlp.\1_conv.conv"),
        (r"^proj_out", "final_layer.linear"),
        (r"^scale_shift_table", "final_layer.scale_shift_table"),
    ),
    (
        (r".*\.", of("attn1.", QKV), "attn.qkv"),
        (r".*\.", ("attn2.to_k", "attn2.to_v"), "cross_attn.kv_linear"),
    ),
    more=("pos_embed", "y_embedder.y_embedding"),
)

LUMINA_2 = Layout(
    (
        (r"^time_caption_embed\.caption_embedder", "cap_embedder"),
        (r"^time_caption_embed\.timestep_embedder\.linear_1", "t_embedder.mlp.0"),
        (r"^time_caption_embed\.timestep_embedder\.linear_2", "t_embedder.mlp.2"),
        (r"^norm_out\.linear_1", "final_layer.adaLN_modulation.1"),
        (r"^norm_out\.linear_2", "final_layer.linear"),
        (r"norm1\.linear", "adaLN_modulation.1"),
        (r"\.norm1(\.norm)?", ".attention_norm1"),
        (r"\.norm2", ".attention_norm2"),
        (r"\.attn\.", ".attention."),
        (r"norm_([qk])", r"\1_norm"),
        (r"\.to_out\.0\.", ".out."),
        (r"\.linear_(\d)", r".w\1"),
    ),
    ((r".*\.", of("attn.", QKV), "attn.qkv"),),
    more=("norm_final.weight",),
)

Z_IMAGE = Layout(
    (
        (r"^all_(\w+)\.2-1\.", r"\1."),
        (r"\.norm_([qk])\.", r".\1_norm."),
        (r"\.to_out\.0\.", ".out."),
    ),
    ((r".*\.", of("attention.", QKV), "attention.qkv"),),
    more=("norm_final.weight",),
)

AURA_FLOW = Layout(
    (
        (r"^time_step_proj\.linear_1", "t_embedder.mlp.0"),
        (r"^time_step_proj\.linear_2", "t_embedder.mlp.2"),
        (r"^context_embedder", "cond_seq_linear"),
        (r"^pos_embed\.pos_embed", "positional_encoding"),
        (r"^pos_embed\.proj", "init_x_linear"),
        (r"^proj_out", "final_linear"),
        (r"^norm_out\.linear", "modF.1"),
        (r"^(single_.*)\.attn\.to_", r"\1.attn.w1"),
        (r"^(joint_.*)\.attn\.to_(?!add)", r"\1.attn.w2"),
        (r"to_add_out", "w1o"),
        (r"add_(\w)_proj", r"w1\1"),
        (r"w([12])out\.0", r"w\1o"),
        (r"^single_(.*)\.ff\.", r"single_\1.mlp."),
        (r"\.ff\.", ".mlpX."),
        (r"\.ff_context\.", ".mlpC."),
        (r"\.linear_", ".c_fc"),
        (r"out_projection", "c_proj"),
        (r"^(single_.*)norm1\.linear", r"\1modCX.1"),
        (r"norm1\.linear", "modX.1"),
        (r"norm1_context\.linear", "modC.1"),
        (r"^joint_transformer_blocks", "double_layers"),
        (r"^single_transformer_blocks", "single_layers"),
    ),
    swapped=r"norm_out\.",
)


def with_prefix(weights: Mapping[str, Tensor], prefix: str = "model.diffusion_model.") -> Named:
    return {prefix + name: value for name, value in weights.items()}
