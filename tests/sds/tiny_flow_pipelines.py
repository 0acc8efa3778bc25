"""Diffusers pipelines of transformers that flow from noise to image, of a few thousand random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    AutoencoderDC,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    SanaPipeline,
    SanaTransformer2DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from transformers import (
    Gemma2Config,
    Gemma2Model,
    Qwen3Config,
    Qwen3Model,
    T5TokenizerFast,
    UMT5Config,
    UMT5EncoderModel,
)

from tests.sds import tiny_pipelines as tiny

LANGUAGE_MODEL: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}

QWENS_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def gemma() -> Gemma2Model:
    torch.manual_seed(6)
    return tiny.spread(Gemma2Model(Gemma2Config(query_pre_attn_scalar=4, **LANGUAGE_MODEL)))


def qwen() -> tuple[Qwen3Model, T5TokenizerFast]:
    torch.manual_seed(6)
    tokenizer = tiny.t5_tokenizer()
    tokenizer.chat_template = QWENS_TEMPLATE
    return tiny.spread(Qwen3Model(Qwen3Config(**LANGUAGE_MODEL))), tokenizer


def lively(network: Any) -> Any:
    """Weights that begin as zero would hide what a network is told."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return network.eval()


def flux(work: Path, guided: bool = True) -> FluxPipeline:
    tokenizer = tiny.clip_tokenizer(work / "tokenizer")
    torch.manual_seed(7)
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=8,
        pooled_projection_dim=8,
        guidance_embeds=guided,
        axes_dims_rope=(2, 2, 4),
    )
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15),
        vae=tiny.autoencoder(shift_factor=0.25),
        text_encoder=tiny.clip_encoder(tokenizer, 1),
        tokenizer=tokenizer,
        text_encoder_2=tiny.t5_encoder(6),
        tokenizer_2=tiny.t5_tokenizer(),
        transformer=lively(transformer),
    )


def sana(scheduler: Any, **config: Any) -> SanaPipeline:
    torch.manual_seed(7)
    transformer = SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=4,
        num_layers=1,
        num_cross_attention_heads=2,
        cross_attention_head_dim=4,
        cross_attention_dim=8,
        caption_channels=8,
        sample_size=16,
        **config,
    )
    autoencoder = AutoencoderDC(
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock", "ResBlock"),
        decoder_block_types=("ResBlock", "ResBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        encoder_qkv_multiscales=((), ()),
        decoder_qkv_multiscales=((), ()),
        scaling_factor=0.41407,
    )
    return SanaPipeline(tiny.t5_tokenizer(), gemma(), autoencoder.eval(), lively(transformer), scheduler)


def lumina() -> Lumina2Pipeline:
    torch.manual_seed(7)
    transformer = Lumina2Transformer2DModel(
        sample_size=8,
        in_channels=4,
        hidden_size=24,
        num_layers=1,
        num_refiner_layers=1,
        num_attention_heads=2,
        num_kv_heads=1,
        multiple_of=4,
        axes_dim_rope=(4, 4, 4),
        axes_lens=(300, 16, 16),
        cap_feat_dim=8,
    )
    return Lumina2Pipeline(
        lively(transformer),
        FlowMatchEulerDiscreteScheduler(shift=6.0),
        tiny.autoencoder(),
        gemma(),
        tiny.t5_tokenizer(),
    )


def aura_flow() -> AuraFlowPipeline:
    torch.manual_seed(7)
    transformer = AuraFlowTransformer2DModel(
        sample_size=8,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=8,
        caption_projection_dim=16,
        pos_embed_max_size=64,
    )
    torch.manual_seed(6)
    encoder = UMT5EncoderModel(UMT5Config(vocab_size=40, d_model=8, d_kv=4, d_ff=16, num_layers=2, num_heads=2))
    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.73)
    return AuraFlowPipeline(
        tiny.t5_tokenizer(), tiny.spread(encoder), tiny.autoencoder(), lively(transformer), scheduler
    )


def z_image() -> ZImagePipeline:
    encoder, tokenizer = qwen()
    torch.manual_seed(7)
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=24,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=8,
        axes_dims=[4, 4, 4],
        axes_lens=[256, 16, 16],
    )
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    return ZImagePipeline(scheduler, tiny.autoencoder(shift_factor=0.1), encoder, tokenizer, lively(transformer))
