"""The text encoders of a teacher's folder, and their tokenizers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from sds.teachers.folder import LARGEST_JSON, TeacherFolder, TeacherFolderError, blaming
from sds.teachers.single_file import encoder_from, holds
from sds.teachers.text_kinds import ENCODERS, TOKENIZERS, EncoderKind
from sds.teachers.weights import TRANSFORMERS_WEIGHTS, frozen, kept_in_float32, read_weights

OTHER_FILES = ("init_inputs", "fast_tokenizer_files", "tokenizer_file", "vocab_file", "merges_file")
"""Entries of a tokenizer's configuration that can name files anywhere."""

VOCABULARIES = ({"tokenizer.json"}, {"vocab.json", "merges.txt"}, {"spiece.model"}, {"tokenizer.model"})
"""A tokenizer has one of these at least. Without any transformers makes one that knows no word, and says nothing."""


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
    if folder.checkpoint is not None and holds(folder.checkpoint, name, kind.model_class.__name__):
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
    files = folder.names(name)
    for file in files:
        size = folder.file(name, file).stat().st_size  # refuses links out of the folder
        if size > LARGEST_JSON:
            raise TeacherFolderError(f"{place / file} has {size >> 20} MB; {LARGEST_JSON >> 20} MB is the most for it")
    if not any(files >= vocabulary_files for vocabulary_files in VOCABULARIES):
        raise TeacherFolderError(f"{place} holds no vocabulary, such as a tokenizer.json; is the folder complete?")
    if any(entry.is_dir() for entry in place.iterdir()):
        raise TeacherFolderError(f"{place} must hold files only, no folders")
    if "tokenizer_config.json" in files:
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
