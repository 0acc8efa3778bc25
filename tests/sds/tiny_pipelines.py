"""Diffusers pipelines of a few thousand random weights, built from configuration: real in everything but size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    IFPipeline,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    UNet2DModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)
from transformers.utils import logging

logging.disable_progress_bar()

TOKENS = 16
WORDS = ("a", "red", "blue", "chair", "cat", "front", "side", "back", "view", "overhead")


def clip_tokenizer(folder: Path) -> CLIPTokenizer:
    """A CLIP tokenizer from files written by hand: letters, and the merges that make `WORDS` of them."""
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts[:2] = [parts[0] + parts[1]]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789,."
    symbols = ["<|startoftext|>", *letters, *(letter + "</w>" for letter in letters), *(a + b for a, b in merges)]
    vocabulary = {symbol: number for number, symbol in enumerate([*dict.fromkeys(symbols), "<|endoftext|>"])}
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    unique = dict.fromkeys(f"{a} {b}" for a, b in merges)
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *unique]) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": TOKENS}))
    return CLIPTokenizer.from_pretrained(str(folder))


def t5_tokenizer() -> T5TokenizerFast:
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((f"▁{word}", -3.0) for word in WORDS)]
    return T5TokenizerFast(vocab=vocabulary, extra_ids=0, model_max_length=TOKENS)


def clip_encoder(
    tokenizer: CLIPTokenizer, seed: int, projection: bool = False, width: int = 8, projected: int = 6
) -> Any:
    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=16,
        projection_dim=projected,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return spread((CLIPTextModelWithProjection if projection else CLIPTextModel)(config))


def t5_encoder(seed: int, width: int = 8) -> T5EncoderModel:
    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=40, d_model=width, d_kv=4, d_ff=16, num_layers=2, num_heads=2, feed_forward_proj="gated-gelu"
    )
    return spread(T5EncoderModel(config))


def spread(network: Any) -> Any:
    """Weights large enough for every input to matter: text models begin with nearly the same state for every word."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.5)
    return network.eval()


def autoencoder(latent_channels: int = 4, **config: Any) -> AutoencoderKL:
    """Images of twice the latents' size."""
    torch.manual_seed(3)
    return AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=latent_channels,
        norm_num_groups=4,
        sample_size=16,
        **{"scaling_factor": 0.5, **config},
    ).eval()


def text_unet(**config: Any) -> UNet2DConditionModel:
    torch.manual_seed(4)
    defaults: dict[str, Any] = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (8, 8),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 8,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    }
    return UNet2DConditionModel(**{**defaults, **config}).eval()


def plain_unet(**config: Any) -> UNet2DModel:
    torch.manual_seed(5)
    return UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4,
        norm_num_groups=4,
        **config,
    ).eval()


def scheduler(prediction_type: str = "epsilon", **config: Any) -> DDPMScheduler:
    return DDPMScheduler(
        beta_schedule="scaled_linear", clip_sample=False, steps_offset=1, prediction_type=prediction_type, **config
    )


def stable_diffusion(work: Path, prediction_type: str = "epsilon", **unet: Any) -> StableDiffusionPipeline:
    tokenizer = clip_tokenizer(work / "tokenizer")
    return StableDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=clip_encoder(tokenizer, 1),
        tokenizer=tokenizer,
        unet=text_unet(**unet),
        scheduler=scheduler(prediction_type),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_xl(work: Path, second_width: int = 8) -> StableDiffusionXLPipeline:
    tokenizer = clip_tokenizer(work / "tokenizer")
    unet = text_unet(
        cross_attention_dim=8 + second_width,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=6 * 4 + 6,
    )
    return StableDiffusionXLPipeline(
        vae=autoencoder(),
        text_encoder=clip_encoder(tokenizer, 1),
        text_encoder_2=clip_encoder(tokenizer, 2, projection=True, width=second_width),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear"),
        add_watermarker=False,
    )


def deepfloyd_if(work: Path) -> IFPipeline:
    """Pixels, T5, and a learned variance in three more channels."""
    del work
    unet = text_unet(
        in_channels=3,
        out_channels=6,
        encoder_hid_dim=8,
        encoder_hid_dim_type="text_proj",
        addition_embed_type="text",
        addition_embed_type_num_heads=2,
    )
    return IFPipeline(
        tokenizer=t5_tokenizer(),
        text_encoder=t5_encoder(6),
        unet=unet,
        scheduler=scheduler(variance_type="learned_range"),
        safety_checker=None,
        feature_extractor=None,
        watermarker=None,
        requires_safety_checker=False,
    )


def stable_diffusion_3(work: Path, with_t5: bool = True, **config: Any) -> StableDiffusion3Pipeline:
    tokenizer = clip_tokenizer(work / "tokenizer")
    torch.manual_seed(7)
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=4,
        num_attention_heads=2,
        joint_attention_dim=16 if not with_t5 else 20,
        caption_projection_dim=8,
        pooled_projection_dim=12,
        pos_embed_max_size=8,
        **config,
    ).eval()
    encoder = t5_encoder(6, width=20) if with_t5 else None
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder(shift_factor=0.25),
        text_encoder=clip_encoder(tokenizer, 1, projection=True),
        tokenizer=tokenizer,
        text_encoder_2=clip_encoder(tokenizer, 2, projection=True),
        tokenizer_2=tokenizer,
        text_encoder_3=encoder,
        tokenizer_3=t5_tokenizer() if with_t5 else None,
    )


def pixart(work: Path, told_size: bool = False) -> PixArtAlphaPipeline:
    del work
    torch.manual_seed(8)
    transformer = PixArtTransformer2DModel(
        sample_size=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        attention_head_dim=4,
        num_attention_heads=3,
        cross_attention_dim=12,
        caption_channels=8,
        use_additional_conditions=told_size,
    ).eval()
    return PixArtAlphaPipeline(
        tokenizer=t5_tokenizer(),
        text_encoder=t5_encoder(6),
        vae=autoencoder(),
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(beta_schedule="linear"),
    )


def pixart_sigma(work: Path) -> PixArtSigmaPipeline:
    alpha = pixart(work)
    return PixArtSigmaPipeline(alpha.tokenizer, alpha.text_encoder, alpha.vae, alpha.transformer, alpha.scheduler)


def diffusion_transformer(work: Path) -> DiTPipeline:
    del work
    torch.manual_seed(9)
    transformer = DiTTransformer2DModel(
        sample_size=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        attention_head_dim=4,
        num_attention_heads=2,
        num_embeds_ada_norm=3,
    ).eval()
    labels = {0: "cat, tomcat", 1: "chair", 2: "car"}
    return DiTPipeline(transformer, autoencoder(), DDIMScheduler(clip_sample=False), id2label=labels)


def unconditional(work: Path, **unet: Any) -> DDPMPipeline:
    del work
    return DDPMPipeline(plain_unet(**unet), scheduler("sample"))


def edit_json(path: Path, **changes: Any) -> None:
    """Changes entries of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
