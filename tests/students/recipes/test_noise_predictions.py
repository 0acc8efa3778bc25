"""Students of a teacher that predicts noise draw what its fifty steps draw, and neither noise nor the mean."""

import pytest
import torch
from torch import Tensor

from students.answerable import answerable
from students.folder import sample
from students.guided_teacher import GuidedTeacher
from students.measures.evaluation import Comparison, compare
from students.recipes.catalogue import RECIPES, usual_steps
from students.recipes.order import Order
from students.training.batches import Images
from tests.students.noise_teacher import SCHEDULES, SHAPE, NoiseTeacher, dots

COUNT = 256
"""Pictures that are compared, as many as are real."""

BAR, SPREAD = 2.5, 0.4
"""The largest Frechet distance beside that of the teacher's own fifty steps, and the smallest recall."""


def judged(drawn: Tensor) -> Comparison:
    return compare(dots(COUNT, seed=99).flatten(1), drawn.flatten(1))


def good(drawn: Tensor, teacher: NoiseTeacher) -> bool:
    """Whether pictures are within the bar."""
    found = judged(drawn)
    return found.frechet <= BAR * judged(teacher.drawn(COUNT, seed=3)).frechet and found.recall >= SPREAD


TRAINED = [("one-pass", 300), ("instaflow", 300), ("dmd", 150), ("asm", 300)]
"""Steps of recipes that arrive within seconds; `examples/compare_students` has all on a teacher of digits."""


@pytest.fixture(scope="module")
def teacher() -> NoiseTeacher:
    """On DDPM's schedule, where alpha is 0.006 at t = 1."""
    return NoiseTeacher(SCHEDULES["linear"], steps=900)


def test_the_bar_is_one(teacher: NoiseTeacher):
    """Real pictures and the teacher's other ones pass; one step of it, saturated noise, and the mean do not."""
    assert good(dots(COUNT, seed=7), teacher)
    assert good(teacher.drawn(COUNT, seed=4), teacher)
    rng = torch.Generator().manual_seed(0)
    mean = dots(COUNT, seed=7).mean(0, keepdim=True) + 0.01 * torch.randn(COUNT, *SHAPE, generator=rng)
    for bad in (teacher.drawn(COUNT, seed=3, steps=1), torch.randn(COUNT, *SHAPE, generator=rng).sign(), mean):
        assert not good(bad, teacher)


@pytest.mark.parametrize(("method", "steps"), TRAINED)
def test_a_student_draws_in_few_steps_what_its_teacher_draws_in_fifty(teacher: NoiseTeacher, method: str, steps: int):
    told = GuidedTeacher(teacher, 1.0).condition([""] * 4000, None)
    order = Order(
        teacher,
        [""],
        None,
        method,
        steps=steps,
        student_steps=usual_steps(method),
        guidance_scale=1.0,
        path_steps=16,
        pairs=1024,
        batch_size=32,
        images=Images(dots(4000, seed=1), told),
    )
    run = RECIPES[method](order)
    for _ in range(steps):
        run.trainer.step()
    condition, rng = answerable(teacher).condition([""] * COUNT, None), torch.Generator().manual_seed(5)
    with torch.no_grad():
        drawn = sample(run.finished_student(), run.card, SHAPE, condition, rng)
    assert good(drawn, teacher), judged(drawn)
