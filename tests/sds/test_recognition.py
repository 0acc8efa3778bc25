"""The classifier of nouns: names to nouns, ranks, its folder, and that the shipped one knows what it looks at."""

from pathlib import Path

import pytest
import torch

from sds.recognition import Recogniser
from sds.teachers.folder import TeacherFolderError

NAMES = {
    "sofa": ["sofa", "couch"],
    "office chair": ["office chair", "swivel chair"],
    "chair": ["chair", "wooden chair"],
}


def tiny() -> Recogniser:
    torch.manual_seed(0)
    return Recogniser(names=NAMES, size=16, channels=(8, 8, 8, 8, 8)).eval()


@pytest.mark.parametrize(
    ("prompt", "noun"),
    [
        ("a red couch", "sofa"),
        ("an OFFICE chair!", "office chair"),
        ("a wooden chair", "chair"),
        ("a blue chair", "chair"),
        ("a chair beside a sofa", "sofa"),
        ("a dragon", None),
        ("", None),
    ],
)
def test_the_noun_of_a_prompt_is_that_of_its_longest_name(prompt: str, noun: str | None) -> None:
    assert tiny().noun_of(prompt) == noun


def test_ranks_count_the_likelier_nouns() -> None:
    recogniser = tiny()
    torch.nn.init.zeros_(recogniser.head.weight)
    recogniser.head.bias.data = torch.tensor([2.0, 3.0, 1.0])
    assert recogniser.nouns == ("chair", "office chair", "sofa")
    pictures = torch.rand(2, 3, 16, 16)
    assert recogniser.rank(pictures, "office chair").tolist() == [0, 0]
    assert recogniser.rank(pictures, "sofa").tolist() == [2, 2]
    with pytest.raises(ValueError, match="dragon"):
        recogniser.rank(pictures, "dragon")


def test_pictures_of_any_size_are_resized() -> None:
    recogniser = tiny()
    flat = [recogniser.logits(torch.full((1, 3, size, size), 0.4)) for size in (16, 9, 50)]
    torch.testing.assert_close(flat[1], flat[0])
    torch.testing.assert_close(flat[2], flat[0])


def test_a_folder_holds_the_same_classifier_in_the_same_order(tmp_path: Path) -> None:
    saved = tiny()
    saved.save_pretrained(tmp_path / "recogniser")
    loaded = Recogniser.load(tmp_path)
    assert loaded.nouns == saved.nouns
    picture = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(loaded.logits(picture), saved.logits(picture))


def test_a_folder_without_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(TeacherFolderError, match="recogniser"):
        Recogniser.load(tmp_path)
