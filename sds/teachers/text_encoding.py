"""CLIP and T5 text encoders of a teacher's folder."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
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
from transformers.utils import logging as transformers_logging

from sds.teachers.folder import TeacherFolder, TeacherFolderError, blaming
from sds.teachers.single_file import encoder_from, holds_encoder
from sds.teachers.weights import TRANSFORMERS_WEIGHTS, frozen, kept_in_float32, read_weights


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


OTHER_FILES = ("init_inputs", "fast_tokenizer_files", "tokenizer_file", "vocab_file", "merges_file")
"""Entries of a tokenizer's configuration that can name files anywhere."""


@dataclass(frozen=True)
class Encoding:
    """What an encoder says about one prompt.

    Attributes:
        last: shape (tokens, width), the states after the last layer.
        penultimate: shape (tokens, width), the states before the last layer.
        pooled: shape (pooled_width,), one vector for the whole prompt; None if the encoder makes none.
        mask: shape (tokens,), 1 for a token and 0 for padding.
    """

    last: Tensor
    penultimate: Tensor
    pooled: Tensor | None
    mask: Tensor


@dataclass(frozen=True)
class TextEncoder:
    """A tokenizer and a frozen network.

    Attributes:
        tell_padding: whether the network is told which tokens are padding.
        length: prompts are padded, or cut, to this many tokens.
        lower_case: whether the teacher was trained on prompts in small letters.
        taught: learned words, with the tokens that stand for each (`sds.teachers.learned_words`).
    """

    tokenizer: PreTrainedTokenizerBase
    network: PreTrainedModel
    tell_padding: bool
    length: int
    lower_case: bool
    taught: Mapping[str, str] = field(default_factory=dict)

    @torch.no_grad()
    def __call__(self, prompt: str, before: str = "", behind: str = "", room: int = 0) -> Encoding:
        """Encodes one prompt between two texts, in ``room`` tokens more than usual. Warns if its end does not fit."""
        prompt = prompt.lower().strip() if self.lower_case else prompt
        for word, tokens in self.taught.items():
            prompt = prompt.replace(word.lower() if self.lower_case else word, tokens)
        length = self.length + room
        prompt = before + prompt + behind
        if len(self.tokenizer(prompt, truncation=False, verbose=False)["input_ids"]) > length:
            warnings.warn(f"only the first {length} tokens of the prompt are used: {prompt[:80]}...", stacklevel=2)
        tokens = self.tokenizer(
            prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).to(self.network.device)
        mask = tokens["attention_mask"]
        output = self.network(tokens["input_ids"], mask if self.tell_padding else None, output_hidden_states=True)
        pooled = getattr(output, "text_embeds", None)
        pooled = getattr(output, "pooler_output", None) if pooled is None else pooled
        return Encoding(
            last=output.last_hidden_state[0],
            penultimate=output.hidden_states[-2][0],
            pooled=None if pooled is None else pooled[0],
            mask=mask[0].to(output.last_hidden_state.dtype),
        )


def load_text_encoder(
    folder: TeacherFolder,
    suffix: str,
    device: torch.device,
    dtype: torch.dtype,
    length: int = 77,
    lower_case: bool = False,
    tell_padding: bool = True,
    padding_side: str | None = None,
) -> TextEncoder:
    """Loads ``text_encoder<suffix>`` and ``tokenizer<suffix>``.

    Args:
        folder: where to read.
        suffix: "", "_2" or "_3".
        device, dtype: where the network is put, and its type.
        length: how many tokens the teacher was trained with. CLIP's number is fixed.
        lower_case: whether the teacher was trained on prompts in small letters.
        tell_padding: whether the encoder is told which tokens are padding. CLIP never is.
        padding_side: "left" or "right"; None leaves it to the tokenizer.

    Raises:
        TeacherFolderError: if either is missing, broken, unsupported or unsafe.
    """
    name = f"text_encoder{suffix}"
    kind = folder.choose(name, ENCODERS)
    config = folder.read_json(name, "config.json")
    known = {field: config[field] for field in kind.fields if field in config}
    if folder.checkpoint is not None and holds_encoder(folder.checkpoint, kind.model_class):
        with quiet_transformers():
            network = encoder_from(folder.checkpoint, kind.model_class, known, dtype)
    else:
        network = build_encoder(folder, name, kind, known, dtype)
    length = network.config.max_position_embeddings if kind.fixed_length else length
    tokenizer = load_tokenizer(folder, f"tokenizer{suffix}", network.config.vocab_size)
    tokenizer.padding_side = padding_side or tokenizer.padding_side
    frozen(network.to(device))
    taught = words_added_to(tokenizer)
    return TextEncoder(tokenizer, network, kind.takes_mask and tell_padding, length, lower_case, taught)


def words_added_to(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """Learned words that a folder's tokenizer knows, with the tokens that stand for each, as diffusers names them."""
    added, words = tokenizer.get_added_vocab(), {}
    for word in added:
        names = [word]
        while (following := f"{word}_{len(names)}") in added:
            names.append(following)
        if len(names) > 1:
            words[word] = " ".join(names)
    return words


def build_encoder(
    folder: TeacherFolder, name: str, kind: EncoderKind, known: Mapping[str, Any], dtype: torch.dtype
) -> PreTrainedModel:
    """A text encoder of the ``known`` values with the folder's weights."""
    kept = kept_in_float32(kind.model_class, dtype)
    weights = read_weights(folder, name, TRANSFORMERS_WEIGHTS, dtype, kept)
    place = folder.path / name
    with blaming(place, "config.json and weights do not make a text encoder"), quiet_transformers():
        # Without a path the library opens no file: configuration and weights are all it gets.
        network, report = kind.model_class.from_pretrained(
            None,
            config=kind.config_class(**known),
            state_dict=weights,
            dtype=dtype,
            local_files_only=True,
            output_loading_info=True,
        )
    if report["missing_keys"]:
        raise TeacherFolderError(f"{place}: weights are missing, one is {min(report['missing_keys'])}")
    return network


def load_tokenizer(folder: TeacherFolder, name: str, vocabulary: int) -> PreTrainedTokenizerBase:
    """Loads a tokenizer from the JSON and text files (or sentencepiece model) of its folder.

    Raises:
        TeacherFolderError: if it is missing, broken or unsafe, or if it has more tokens than ``vocabulary``.
    """
    tokenizer_class = folder.choose(name, TOKENIZERS)
    place = folder.path / name
    for file in folder.names(name):
        folder.file(name, file)  # refuses links out of the folder
    if any(entry.is_dir() for entry in place.iterdir()):
        raise TeacherFolderError(f"{place} must hold files only, no folders")
    if "tokenizer_config.json" in folder.names(name):
        config = folder.read_json(name, "tokenizer_config.json")
        for key in OTHER_FILES:
            if config.get(key):
                raise TeacherFolderError(f"{place}: tokenizer_config.json points to other files ('{key}'); remove that")
    hint = "; a spiece.model needs: pip install sentencepiece protobuf" if (place / "spiece.model").exists() else ""
    with blaming(place, f"cannot be read as a {tokenizer_class.__name__}{hint}"), quiet_transformers():
        tokenizer = tokenizer_class.from_pretrained(str(place), local_files_only=True, trust_remote_code=False)
    if len(tokenizer) > vocabulary:
        raise TeacherFolderError(f"{place} has {len(tokenizer)} tokens, but its text encoder knows only {vocabulary}")
    return tokenizer


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keeps transformers from printing progress bars and reports: what is wrong is raised as one line instead."""
    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
