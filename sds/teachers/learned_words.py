"""Words that a text encoder was taught (textual inversion, Gal et al. 2022): new rows of its table of embeddings.

A file is what diffusers writes (the word and its vectors), or A1111's (``emb_params``; ``clip_l`` and ``clip_g`` for
SDXL), where the word is the file's name.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from sds.teachers.folder import TeacherFolderError
from sds.teachers.lora_files import read_adapter
from sds.teachers.text_encoding import TextEncoder, quiet_transformers

EARLY_END = 2
"""The end token in configurations written when CLIP's pooled state was looked for at the highest number."""


FOR_SDXL = {"clip_l", "clip_g"}
"""Names of the vectors for its two encoders."""


@dataclass(frozen=True)
class LearnedWord:
    """A word and what it stands for.

    Attributes:
        path: of the file it comes from.
        word: as it is written in a prompt.
        vectors: of shape (count, width), for one encoder each; encoders are told apart by their width.
    """

    path: Path
    word: str
    vectors: tuple[Tensor, ...]


def read_word(named: str) -> LearnedWord:
    """The word of a safetensors file.

    Raises TeacherFolderError if there is no such file, or it holds something else.
    """
    path = Path(named).expanduser()
    tensors = read_adapter(path)
    word = next(iter(tensors)) if len(tensors) == 1 and "emb_params" not in tensors else path.stem
    vectors = tuple(value.reshape(-1, value.shape[-1]) for value in tensors.values() if value.dim() in (1, 2))
    several = len(tensors) > 1 and not tensors.keys() <= FOR_SDXL
    if not vectors or len(vectors) < len(tensors) or several or any(len(found) > 77 for found in vectors):
        raise TeacherFolderError(f"{path} holds no learned word (a textual inversion): {len(tensors)} tensors")
    if not word.strip() or any(letter.isspace() for letter in word):
        raise TeacherFolderError(f"{path}: '{word}' cannot be written as one word; rename the file")
    return LearnedWord(path, word, vectors)


def teach(encoder: TextEncoder, words: Sequence[LearnedWord]) -> TextEncoder:
    """``encoder`` with those of the ``words`` that have vectors of its width; changed in place.

    A word of several vectors becomes several tokens, ``word``, ``word_1`` and so on, wherever it stands in a prompt.

    Raises TeacherFolderError for a word that the tokenizer knows already.
    """
    table = encoder.network.get_input_embeddings().weight
    taught = dict(encoder.taught)
    for one in words:
        fitting = [vectors for vectors in one.vectors if vectors.shape[-1] == table.shape[-1]]
        if not fitting:
            continue
        names = [one.word, *(f"{one.word}_{number}" for number in range(1, len(fitting[0])))]
        if set(names) & encoder.tokenizer.get_vocab().keys():
            raise TeacherFolderError(f"{one.path}: the teacher knows a word '{one.word}' already; rename the file")
        encoder.tokenizer.add_tokens(names)
        numbers = encoder.tokenizer.convert_tokens_to_ids(names)
        with quiet_transformers():
            rows = encoder.network.resize_token_embeddings(max(len(table), max(numbers) + 1), mean_resizing=False)
        table = rows.weight
        table.data[numbers] = fitting[0].to(table)
        taught[one.word] = " ".join(names)
    end = encoder.tokenizer.eos_token_id
    for part in encoder.network.modules():
        if getattr(part, "eos_token_id", None) == EARLY_END and taught:
            part.eos_token_id = end  # new tokens have higher numbers than the end
            encoder.network.config.eos_token_id = end
    encoder.network.requires_grad_(False)
    return replace(encoder, taught=taught)


def require_all_fit(words: Sequence[LearnedWord], widths: Collection[int]) -> None:
    """Raises TeacherFolderError for a word that none of a teacher's encoders, of these ``widths``, can learn."""
    for one in words:
        found = [vectors.shape[-1] for vectors in one.vectors]
        if not set(found) & set(widths):
            raise TeacherFolderError(
                f"{one.path} was learned by another kind of teacher: its vectors are {found} wide, those of this "
                f"teacher's text encoders {sorted(widths)}"
            )
