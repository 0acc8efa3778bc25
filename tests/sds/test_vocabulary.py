"""Prompts become token numbers; unknown words are named, with words near them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sds.teachers.vocabulary import PAD, START, Vocabulary, words_of, words_to_learn

WORDS = ("bus", "chair", "glasses", "red", "teddy")


def vocabulary(length: int = 5) -> Vocabulary:
    return Vocabulary(WORDS, length)


def test_prompts_become_start_words_padding() -> None:
    tokens = vocabulary().tokens(["A red chair!", "", "the chair, red"])
    assert tokens.tolist() == [[START, 5, 3, PAD, PAD], [START, PAD, PAD, PAD, PAD], [START, 3, 5, PAD, PAD]]
    assert tokens.dtype == torch.int64


def test_plurals_and_singulars_are_one_word() -> None:
    known = vocabulary()
    assert known.tokens(["chairs"]).tolist() == known.tokens(["chair"]).tolist()
    assert known.tokens(["buses"]).tolist() == known.tokens(["bus"]).tolist()
    assert known.unknown("two chairs") == [("two", [])]


def test_unknown_words_come_with_words_near_them() -> None:
    assert vocabulary().unknown("a red chiar of a teddi") == [("chiar", ["chair"]), ("teddi", ["teddy"])]
    assert vocabulary().unknown("a photo of the red bus") == []


def test_long_prompts_are_cut() -> None:
    assert vocabulary(3).tokens(["red chair bus teddy"]).tolist() == [[START, 5, 3]]


@settings(max_examples=40, deadline=None)
@given(st.text())
def test_any_text_is_a_row_of_known_numbers(text: str) -> None:
    tokens = vocabulary().tokens([text])[0]
    assert tokens[0] == START
    assert int(tokens.max()) < len(vocabulary())
    padding = (tokens == PAD).int()
    assert bool((padding.diff() >= 0).all()), "padding comes last"


def test_words_of_a_text() -> None:
    assert words_of("Rubik's cube, 2 Wine-glasses") == ["rubik", "cube", "2", "wine", "glasses"]
    assert words_to_learn(["a red chair", "teddy of red"]) == ["chair", "red", "teddy"]


def test_a_word_listed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Vocabulary(["red", "red"], 4)
