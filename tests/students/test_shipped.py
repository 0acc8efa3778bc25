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
    assert all(folder.has(part) for part in ("view_prior", "unet", "scheduler"))
    assert sum(path.stat().st_size for path in SHIPPED_STUDENT.rglob("*") if path.is_file()) < 43e6
    card = read_card(SHIPPED_STUDENT)
    assert (card.method, list(card.times), card.guidance_scale) == ("ufogen", [0.9], 1.0)
    prior = "view_prior/diffusion_pytorch_model.safetensors"
    assert (SHIPPED_STUDENT / prior).read_bytes() == (EMBEDDED_FOLDER / prior).read_bytes()


def test_it_draws_what_it_is_asked_for():
    """Every noun that it knows, half from the left over white: the classifier names most of them first of 244."""
    recogniser = Recogniser.load()
    images = drawn([f"a {noun}" for noun in recogniser.nouns], None)
    first = recogniser.logits(images).argmax(1)
    assert float((first == torch.arange(len(recogniser.nouns))).double().mean()) > 0.78


def test_noise_decides_what_a_prompt_leaves_open():
    one, other = drawn(["a chair"] * 8, None, seed=1), drawn(["a chair"] * 8, None, seed=1)
    assert torch.equal(one, other)
    assert float((one[:4] - one[4:]).square().mean().sqrt()) > 0.02


def test_it_is_nearer_to_real_renders_than_its_teachers_first_step():
    reference = load_reference(EMBEDDED_FOLDER / REFERENCE).first(256)
    assert reference.network == RECOGNISER_FEATURES
    features = recogniser_features(Recogniser.load())
    teacher = load_embedded_teacher()
    rng, prompts = torch.Generator().manual_seed(0), list(reference.prompts)
    noise = torch.randn(len(prompts), *teacher.shape, generator=rng)
    at_once = torch.full((len(prompts),), 0.9, dtype=torch.float64)
    first_step = teacher.decode(teacher(noise, at_once, teacher.condition(prompts, reference.view))).clamp(0, 1)
    by_student = compare(reference.features, features(drawn(prompts, reference.view)))
    by_teacher = compare(reference.features, features(first_step))
    assert by_student.frechet < by_teacher.frechet
    assert by_student.recall > 0.75
    assert by_student.precision > 0.75
