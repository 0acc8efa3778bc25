"""The student that is shipped: whole, small enough, and good for something."""

import torch

from cli.trainings.reference import RECOGNISER_FEATURES, recogniser_features
from sds.recognition import Recogniser
from sds.teachers.embedded import EMBEDDED_FOLDER, load_embedded_teacher
from sds.teachers.folder import open_teacher_folder
from students.folder import read_card, sample
from students.measures.evaluation import compare
from students.measures.reference import REFERENCE, load_reference
from students.prompts import StoredView
from students.shipped import SHIPPED_STUDENT


def drawn(prompts: list[str], view: StoredView | None, seed: int = 0) -> torch.Tensor:
    student, card = load_embedded_teacher(SHIPPED_STUDENT), read_card(SHIPPED_STUDENT)
    rng = torch.Generator().manual_seed(seed)
    return student.decode(sample(student, card, student.shape, student.condition(prompts, view), rng)).clamp(0, 1)


def test_the_folder_is_whole_and_small():
    folder = open_teacher_folder(SHIPPED_STUDENT)
    assert all(folder.has(part) for part in ("shape_prior", "unet", "scheduler"))
    assert sum(path.stat().st_size for path in SHIPPED_STUDENT.rglob("*") if path.is_file()) < 47e6
    card = read_card(SHIPPED_STUDENT)
    assert (card.method, list(card.times), card.guidance_scale) == ("ufogen", [0.9], 1.0)


def test_it_draws_what_it_is_asked_for():
    """Every noun that it knows, half from the left over white: the classifier names most of them first of 357."""
    recogniser = Recogniser.load()
    images = drawn([f"a {noun}" for noun in recogniser.nouns], None)
    first = recogniser.logits(images).argmax(1)
    assert float((first == torch.arange(len(recogniser.nouns))).double().mean()) > 0.78


def test_noise_decides_what_a_prompt_leaves_open():
    one, other = drawn(["a chair"] * 8, None, seed=1), drawn(["a chair"] * 8, None, seed=1)
    assert torch.equal(one, other)
    assert float((one[:4] - one[4:]).square().mean().sqrt()) > 0.02


def test_it_is_near_to_real_renders():
    reference = load_reference(EMBEDDED_FOLDER / REFERENCE).first(256)
    assert reference.network == RECOGNISER_FEATURES
    features = recogniser_features(Recogniser.load())
    compared = compare(reference.features, features(drawn(list(reference.prompts), reference.view)))
    assert compared.frechet < 0.5
    assert compared.recall > 0.75
    assert compared.precision > 0.75
