"""Every method on one teacher, each with the same number of the teacher's evaluations: a table and a picture.

    python examples/compare_students/compare.py --out outputs/comparison

Trains a one-step student of the digits teacher beside this file (`digits.py` has made it) by each method, and draws the
plane of fidelity and diversity. What is finished is not done again: an interrupted comparison goes on where it was.

An evaluation is one picture at one noise level for one prompt, so that guidance costs two; those for pairs and images
of the teacher count too. A student's own evaluations, and those of its critic, do not: its column of seconds says what
a method costs beside the teacher.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from charts import draw_plane
from digits import NAMES, digits
from torch import Tensor, nn

from cli.pictures import write_sheet
from sds.denoiser import Condition, NeuralTeacher
from sds.solvers import even_times, solve
from sds.teachers.diffusers import load_diffusers_teacher
from students.features.sources import learning_features, teacher_features
from students.folder import sample
from students.measures.evaluation import compare, coverage, density, distinctness
from students.recipes.catalogue import RECIPES
from students.recipes.order import Order
from students.teachers import AroundNeuralTeacher

BUDGET = 12_000
"""Evaluations of the teacher that each method may spend."""

MOST_STEPS = 375
"""Of a student: methods that need the teacher for pairs only would go on for ever."""

PATH_STEPS = 16
BATCH_SIZE = 32

SHARE_OF_IMAGES = 0.5
"""Of the budget, for methods that need images or pairs of the teacher and then the teacher again."""

TRIAL_STEPS = 20
"""Steps of a first, short training that shows how many evaluations a step takes."""

FEATURES = dict.fromkeys(("add", "asm", "ufogen"), learning_features)
"""Of discriminators that have a choice: a copy of the teacher that learns with them. In so short a training frozen
features teach nothing; DMD2 and f-distill look through their critic, which learns anyway."""

TEACHERS = {"teacher, 50 steps": 50, "teacher, 1 step": 1}
"""What a student would like to be, and what it begins as."""

PICTURES = 497
"""That each draws: as many as are held out."""


class Counting(AroundNeuralTeacher):
    """A teacher that counts how many pictures it was asked about."""

    evaluations = 0

    def __call__(self, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """See `sds.denoiser.Denoiser`."""
        self.evaluations += len(x_t)
        return super().__call__(x_t, t, condition)

    def denoise(self, network: nn.Module, x_t: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """See `sds.denoiser.NeuralTeacher`; counted if it is the teacher's own network."""
        if network is self.network:
            self.evaluations += len(x_t)
        return super().denoise(network, x_t, t, condition)


@dataclass(frozen=True)
class Result:
    """What is known of one who draws.

    Attributes:
        name: of the method, or of the teacher.
        frechet, kernel, precision, recall, density, coverage: beside the digits that were held out, of which the
            features are the pixels.
        distinct: mean distance of pictures of one digit, as a share of that of real ones.
        evaluations: of the teacher, in the training.
        steps: of the student.
        seconds: of the training, the teacher's pictures included.
    """

    name: str
    frechet: float
    kernel: float
    precision: float
    recall: float
    density: float
    coverage: float
    distinct: float
    evaluations: int = 0
    steps: int = 0
    seconds: float = 0.0


def order_for(teacher: NeuralTeacher, method: str, seed: int, **sizes: int) -> Order:
    """One step from pure noise, any digit, without guidance: what is to be matched is the teacher's distribution."""
    return Order(
        teacher,
        NAMES,
        None,
        method,
        guidance_scale=1.0,
        path_steps=PATH_STEPS,
        batch_size=BATCH_SIZE,
        seed=seed,
        **sizes,
        features=FEATURES.get(method, teacher_features),
    )


def affordable(teacher: NeuralTeacher, method: str) -> dict[str, int]:
    """How many pairs and steps the budget buys, found out by a short trial."""
    counting = Counting(teacher)
    run = RECIPES[method](order_for(counting, method, 0, steps=TRIAL_STEPS, pairs=64))
    for_pairs = counting.evaluations / 64
    for _ in range(TRIAL_STEPS):
        run.trainer.step()
    a_step = (counting.evaluations - 64 * for_pairs) / TRIAL_STEPS
    if for_pairs and not a_step:
        return {"pairs": int(BUDGET / for_pairs), "steps": MOST_STEPS}
    of_images = BUDGET * SHARE_OF_IMAGES if for_pairs else 0.0
    steps = min(MOST_STEPS, int((BUDGET - of_images) / a_step)) if a_step else MOST_STEPS
    return {"pairs": int(of_images / for_pairs) if for_pairs else 1, "steps": steps}


def train_student(teacher: NeuralTeacher, method: str, seed: int) -> tuple[Tensor, Result]:
    """A student by one method: its pictures, and what is known of it."""
    sizes, counting, started = affordable(teacher, method), Counting(teacher), time.monotonic()
    run = RECIPES[method](order_for(counting, method, seed, **sizes))
    for _ in range(sizes["steps"]):
        run.trainer.step()
    seconds, student = time.monotonic() - started, run.finished_student()
    rng = torch.Generator().manual_seed(seed + 1)
    x = sample(student, run.card, teacher.shape, teacher.condition(wanted(), None), rng)
    pictures = teacher.decode(x).clamp(0, 1)
    result = replace(judged(method, pictures), steps=sizes["steps"], seconds=seconds)
    return pictures, replace(result, evaluations=counting.evaluations)


@torch.no_grad()
def draw_by_teacher(teacher: NeuralTeacher, steps: int, seed: int) -> Tensor:
    """The teacher's own pictures, by that many steps of DDIM."""
    noise = torch.randn(PICTURES, *teacher.shape, generator=torch.Generator().manual_seed(seed))
    grid = even_times(torch.ones(PICTURES), torch.zeros(PICTURES), steps)
    return teacher.decode(solve(teacher, noise, grid, teacher.condition(wanted(), None))).clamp(0, 1)


def wanted() -> list[str]:
    """The digits that are asked for: those that were held out, in their order."""
    return [NAMES[label] for label in digits(held_out=True)[1]]


def judged(name: str, pictures: Tensor) -> Result:
    """Pictures of the `wanted` digits beside the real ones; features are the 64 pixels themselves."""
    real, labels = digits(held_out=True)
    features, drawn = real[:, 0].flatten(1), pictures.mean(1).flatten(1)
    numbers = compare(features, drawn)
    alike = [distinctness(drawn[labels == digit]) / distinctness(features[labels == digit]) for digit in range(10)]
    return Result(
        name,
        numbers.frechet,
        numbers.kernel,
        numbers.precision,
        numbers.recall,
        density(features, drawn),
        coverage(features, drawn),
        sum(alike) / len(alike),
    )


def compare_all(teacher: NeuralTeacher, methods: Sequence[str], out: Path, seed: int) -> list[Result]:
    """Results of the real digits that were trained on, of the teacher and of all methods; what is there is kept."""
    known = read_results(out / "results.json")
    for name, steps in TEACHERS.items():
        if name not in known:
            known[name] = judged(name, draw_by_teacher(teacher, steps, seed))
    known.setdefault("real digits", judged("real digits", resembling(seed)))
    real, _ = digits(held_out=True)
    for method in methods:
        if method not in known:
            pictures, known[method] = train_student(teacher, method, seed)
            write_sheet(out / "sheets" / f"{method}.png", [real[:16], pictures[:16]], size=48)
            print(f"{method:22} {known[method]}", flush=True)
        write_results(out / "results.json", known)
    return list(known.values())


def resembling(seed: int) -> Tensor:
    """Real digits of the `wanted` kinds from those that the teacher learned from: what a perfect student would do."""
    pictures, labels = digits(held_out=False)
    rng = torch.Generator().manual_seed(seed)
    chosen = []
    for label in digits(held_out=True)[1]:
        alike = (labels == label).nonzero()[:, 0]
        chosen.append(alike[torch.randint(len(alike), (), generator=rng)])
    return pictures[torch.stack(chosen)]


def read_results(path: Path) -> dict[str, Result]:
    """What an earlier comparison found."""
    if not path.exists():
        return {}
    return {row["name"]: Result(**row) for row in json.loads(path.read_text(encoding="utf-8"))}


def write_results(path: Path, results: dict[str, Result]) -> None:
    """All results, for `read_results`."""
    path.write_text(json.dumps([asdict(result) for result in results.values()], indent=1) + "\n", encoding="utf-8")


def table(results: Sequence[Result]) -> str:
    """A table in Markdown, best Frechet distance first."""
    lines = ["| method | FID | KID | precision | recall | density | coverage | distinct | evaluations | steps | s |"]
    lines.append("|---|" + "---:|" * 10)
    for r in sorted(results, key=lambda result: result.frechet):
        shares = " | ".join(f"{v:.2f}" for v in (r.precision, r.recall, r.density, r.coverage, r.distinct))
        work = f"{r.evaluations} | {r.steps} | {r.seconds:.0f}" if r.steps else "- | - | -"
        lines.append(f"| {r.name} | {r.frechet:.3f} | {r.kernel:.4f} | {shares} | {work} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write; continued if it is there")
    parser.add_argument("--methods", nargs="+", choices=RECIPES, default=list(RECIPES), metavar="NAME")
    parser.add_argument("--teacher", type=Path, default=Path(__file__).parent / "teacher", help="its folder")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    teacher = load_diffusers_teacher(arguments.teacher)
    results = compare_all(teacher, arguments.methods, arguments.out, arguments.seed)
    (arguments.out / "table.md").write_text(table(results), encoding="utf-8")
    draw_plane(results, arguments.out / "plane.png")
    print(table(results))


if __name__ == "__main__":
    main()
