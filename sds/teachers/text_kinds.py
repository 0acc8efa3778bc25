"""The text encoders and tokenizers that a teacher may have: CLIP, T5, Gemma 2, Qwen 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPTokenizerFast,
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
    GemmaTokenizerFast,
    LlamaTokenizerFast,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2Tokenizer,
    Qwen2TokenizerFast,
    Qwen3Config,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
    T5TokenizerFast,
    UMT5Config,
    UMT5EncoderModel,
)


@dataclass(frozen=True)
class EncoderKind:
    """A text encoder that may be built.

    Attributes:
        model_class, config_class: what transformers defines.
        fields: the entries of `config.json` that describe the network; all others are ignored.
        takes_mask: whether the encoder is usually told which tokens are padding.
        fixed_length: whether it has a place for so many tokens and no more; others are told a length.
    """

    model_class: type[PreTrainedModel]
    config_class: type[Any]
    fields: tuple[str, ...]
    takes_mask: bool = True
    fixed_length: bool = False


CLIP_FIELDS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "projection_dim",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
    "hidden_act",
    "layer_norm_eps",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
)
T5_FIELDS = (
    "vocab_size",
    "d_model",
    "d_kv",
    "d_ff",
    "num_layers",
    "num_heads",
    "relative_attention_num_buckets",
    "relative_attention_max_distance",
    "layer_norm_epsilon",
    "feed_forward_proj",
    "pad_token_id",
    "eos_token_id",
)

LANGUAGE_MODEL_FIELDS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "hidden_activation",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
    "rope_parameters",
    "attention_bias",
    "query_pre_attn_scalar",
    "sliding_window",
    "use_sliding_window",
    "max_window_layers",
    "layer_types",
    "final_logit_softcapping",
    "attn_logit_softcapping",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
)

ENCODERS: Mapping[tuple[str, str], EncoderKind] = {
    ("transformers", "CLIPTextModel"): EncoderKind(CLIPTextModel, CLIPTextConfig, CLIP_FIELDS, False, True),
    ("transformers", "CLIPTextModelWithProjection"): EncoderKind(
        CLIPTextModelWithProjection, CLIPTextConfig, CLIP_FIELDS, False, True
    ),
    ("transformers", "T5EncoderModel"): EncoderKind(T5EncoderModel, T5Config, T5_FIELDS),
    ("transformers", "UMT5EncoderModel"): EncoderKind(UMT5EncoderModel, UMT5Config, T5_FIELDS),
    ("transformers", "Gemma2Model"): EncoderKind(Gemma2Model, Gemma2Config, LANGUAGE_MODEL_FIELDS),
    ("transformers", "Qwen3Model"): EncoderKind(Qwen3Model, Qwen3Config, LANGUAGE_MODEL_FIELDS),
}

TOKENIZERS: Mapping[tuple[str, str], type[PreTrainedTokenizerBase]] = {
    ("transformers", "CLIPTokenizer"): CLIPTokenizer,
    ("transformers", "CLIPTokenizerFast"): CLIPTokenizerFast,
    ("transformers", "T5Tokenizer"): T5Tokenizer,
    ("transformers", "T5TokenizerFast"): T5TokenizerFast,
    ("transformers", "LlamaTokenizerFast"): LlamaTokenizerFast,
    ("transformers", "GemmaTokenizer"): GemmaTokenizer,
    ("transformers", "GemmaTokenizerFast"): GemmaTokenizerFast,
    ("transformers", "Qwen2Tokenizer"): Qwen2Tokenizer,
    ("transformers", "Qwen2TokenizerFast"): Qwen2TokenizerFast,
}
