"""The student that is shipped: whole, small enough, and good for something."""

import torch

from cli.trainings.reference import RECOGNISER_FEATURES, recogniser_features
from sds.recognition import Recogniser
from sds.teachers.embedded import EMBEDDED_FOLDER, load_embedded_teacher
from sds.teachers.folder import open_teacher_folder
from students.folder import read_card, sample
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
    """A noun in twelve, half from the left over white: the classifier names most of them first of 357."""
    recogniser = Recogniser.load()
    asked = range(0, len(recogniser.nouns), 12)
    first = recogniser.logits(drawn([f"a {recogniser.nouns[i]}" for i in asked], None)).argmax(1)
    assert float((first == torch.tensor(asked)).double().mean()) > 0.7


def test_noise_decides_what_a_prompt_leaves_open():
    one, other = drawn(["a chair"] * 8, None, seed=1), drawn(["a chair"] * 8, None, seed=1)
    assert torch.equal(one, other)
    assert float((one[:4] - one[4:]).square().mean().sqrt()) > 0.02


def test_it_is_nearer_to_real_renders_of_the_same_things_than_of_others():
    reference = load_reference(EMBEDDED_FOLDER / REFERENCE).first(24)
    assert reference.network == RECOGNISER_FEATURES
    features = recogniser_features(Recogniser.load())(drawn(list(reference.prompts), reference.view))
    same = (features - reference.features).norm(dim=1).mean()
    others = torch.cdist(features, reference.features).mean()
    assert same < 0.75 * others
