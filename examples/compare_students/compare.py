"""Every method on one teacher, by the recipes of the command: a table and a page of pictures.

    python examples/compare_students/compare.py --out outputs/comparison
    python examples/compare_students/compare.py --subject clothes --out outputs/clothes --methods dmd2 consistency

Trains a student of a teacher beside this file (`digits.py` and `clothes.py` have made them) by each method, with
nothing chosen but the length of the training. What is finished is not done again: an interrupted comparison goes on
where it was.

The pictures that the teacher learned from are free, for all methods that learn from images. What a method spends is
counted and not limited: evaluations of the teacher (one picture at one noise level for one prompt, so that guidance
costs two; those for pairs count too) and seconds of processor time, in which a student's own evaluations and those of
its critic are, too.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from charts import draw_page
from clothes import clothes
from digits import digits
from judging import Result, draw_by_teacher, judged, over_seeds, resembling
from subject import Subject
from tables import table, table_of_few
from torch import Tensor, nn

from cli.pictures import write_sheet
from sds.denoiser import Condition, NeuralTeacher
from sds.teachers.diffusers import load_diffusers_teacher
from students.folder import StudentCard, StudentFolderError, sample
from students.guided_teacher import GuidedTeacher
from students.recipes.catalogue import RECIPES, usual_steps
from students.recipes.order import Order, StudentRun
from students.teachers import AroundNeuralTeacher
from students.training.batches import Images

STEPS, BATCH_SIZE, PATH_STEPS, PAIRS = 300, 32, 16, 1024
"""Of each training."""

OTHER_STEPS = dict.fromkeys(("consistency-training", "ict", "scm"), 600)
OTHER_STEPS |= dict.fromkeys(("ufogen", "ladd", "ddgan"), 500)
OTHER_STEPS |= {"ctm": 360, "asm": 200, "dsno": 120, "dmd2": 80, "f-distill": 40}
"""Of methods that level off sooner or later than the others, or whose steps cost more. None takes ten minutes of one
core."""

SUBJECTS: dict[str, Callable[[], Subject]] = {"digits": digits, "clothes": clothes}

LOOKS = 4
"""How often a student is judged on the way."""

FEW_STEPS = (2, 4)
"""Evaluations for a picture that are tried too, where their number is free."""

TRAINED_FOR_FEW = ("dmd2", "add")
"""Methods whose students know the steps that they were trained for: they are trained again for each of `FEW_STEPS`."""

TEACHERS = {"teacher, 50 steps": 50, "teacher, 1 step": 1}
"""What a student would like to be, and what it begins as."""


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
class Training:
    """What is trained.

    Attributes:
        subject: what is drawn.
        teacher: whose student it is.
        method: its name in `RECIPES`.
        steps: of the training.
        student_steps: evaluations for a picture.
        seed: of the training.
    """

    subject: Subject
    teacher: NeuralTeacher
    method: str
    steps: int
    student_steps: int
    seed: int

    def order(self, teacher: NeuralTeacher) -> Order:
        """Any kind, without guidance: what is to be matched is the distribution of ``teacher``, one that counts."""
        pictures, kinds = self.subject.seen
        told = GuidedTeacher(teacher, 1.0).condition([self.subject.names[kind] for kind in kinds], None)
        return Order(
            teacher,
            self.subject.names,
            None,
            self.method,
            steps=self.steps,
            student_steps=self.student_steps,
            guidance_scale=1.0,
            path_steps=PATH_STEPS,
            pairs=PAIRS,
            batch_size=BATCH_SIZE,
            seed=self.seed,
            images=Images(pictures * 2 - 1, told),
        )


def train_student(training: Training) -> tuple[list[Tensor], Result]:
    """A student by one method: sets of its pictures, and what is known of it."""
    subject, method, steps = training.subject, training.method, training.steps
    counting, curve, seconds = Counting(training.teacher), [], 0.0
    started = time.process_time()
    run = RECIPES[method](training.order(counting))
    for done in range(1, steps + 1):
        run.trainer.step()
        if done in looks(steps):
            seconds += time.process_time() - started
            spent = counting.evaluations
            result = judged(subject, method, [drawn(subject, run, counting, run.card, 0)])
            curve.append([done, spent, seconds, result.frechet, result.recall])
            print(
                f"{method}: {done} steps, {seconds:.0f} s, FID {result.frechet:.3f}, recall {result.recall:.2f}",
                flush=True,
            )
            counting.evaluations = spent  # GuidedTeacher and others may have asked while pictures were drawn
            started = time.process_time()
    sets = [drawn(subject, run, counting, run.card, draw) for draw in range(subject.draws)]
    result = replace(judged(subject, method, sets), steps=steps, seconds=seconds, student_steps=len(run.card.times))
    few = free_steps(subject, run, counting)
    return sets, replace(result, evaluations=spent, curve=curve, few_steps=few)


def looks(steps: int) -> list[int]:
    """After which steps a student is judged, the last among them."""
    return sorted({max(1, steps * (i + 1) // LOOKS) for i in range(LOOKS)})


@torch.no_grad()
def drawn(subject: Subject, run: StudentRun, teacher: NeuralTeacher, card: StudentCard, draw: int) -> Tensor:
    """One set of pictures of the wanted kinds."""
    rng = torch.Generator().manual_seed(1000 + draw)
    x = sample(run.finished_student(), card, teacher.shape, teacher.condition(subject.wanted(), None), rng)
    return teacher.decode(x).clamp(0, 1)


def free_steps(subject: Subject, run: StudentRun, teacher: NeuralTeacher) -> list[list[float]]:
    """[steps, Frechet distance, recall] of the student with other numbers of steps; empty if it knows no others."""
    rows = []
    for steps in FEW_STEPS:
        try:
            card = run.card.with_steps(steps)
        except StudentFolderError:
            return []
        sets = [drawn(subject, run, teacher, card, draw) for draw in range(subject.draws)]
        result = judged(subject, "", sets)
        rows.append([float(steps), result.frechet, result.recall])
    return rows


def compare_all(
    subject: Subject, teacher: NeuralTeacher, methods: Sequence[str], out: Path, steps: int | None, seed: int
) -> list[Result]:
    """Results of the real pictures that were trained on, of the teacher and of all methods; what is there is kept."""
    known = read_results(out / "results.json")
    add_references(subject, teacher, known)
    done = {(result.name, result.seed) for result in known}
    for name, method, student_steps in trainings(methods):
        if (name, seed) in done:
            continue
        length = steps or OTHER_STEPS.get(method, STEPS)
        sets, result = train_student(Training(subject, teacher, method, length, student_steps, seed))
        known.append(replace(result, name=name, seed=seed))
        write_sheet(out / "sheets" / f"{name}.png", [subject.held_out[0][:16], sets[0][:16]], size=48)
        print(f"{name:22} {known[-1]}", flush=True)
        write_results(out / "results.json", known)
    write_results(out / "results.json", known)
    return known


def add_references(subject: Subject, teacher: NeuralTeacher, known: list[Result]) -> None:
    """The real pictures that were trained on and what the teacher draws by itself, where they are not yet known."""
    names = {result.name for result in known}
    for name, count in TEACHERS.items():
        if name not in names:
            sets = [draw_by_teacher(subject, teacher, count, draw) for draw in range(subject.draws)]
            known.append(replace(judged(subject, name, sets), student_steps=count))
    name = f"real {subject.title}"
    if name not in names:
        known.append(judged(subject, name, [resembling(subject, draw) for draw in range(subject.draws)]))


def trainings(methods: Sequence[str]) -> list[tuple[str, str, int]]:
    """What is trained, in this order: a name, the method and the student's steps. Few steps come last."""
    usual = [(method, method, usual_steps(method)) for method in methods]
    few = [(f"{method}, {n} steps", method, n) for method in methods if method in TRAINED_FOR_FEW for n in FEW_STEPS]
    return usual + few


def read_results(path: Path) -> list[Result]:
    """What an earlier comparison found."""
    if not path.exists():
        return []
    return [Result(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def write_results(path: Path, results: Sequence[Result]) -> None:
    """All results, for `read_results`."""
    rows = ",\n".join(f" {json.dumps(result.row())}" for result in results)
    path.write_text(f"[\n{rows}\n]\n", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write; continued if it is there")
    parser.add_argument("--methods", nargs="+", choices=RECIPES, default=list(RECIPES), metavar="NAME")
    parser.add_argument("--subject", choices=SUBJECTS, default="digits", help="what is drawn (default: digits)")
    parser.add_argument("--teacher", type=Path, help="its folder (default: the one beside this file)")
    parser.add_argument("--steps", type=int, help=f"of each training (default: {STEPS}, of some {OTHER_STEPS})")
    parser.add_argument("--seed", type=int, default=0, help="of the trainings; other seeds join those that are there")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    subject = SUBJECTS[arguments.subject]()
    teacher = load_diffusers_teacher(arguments.teacher or subject.teacher)
    results = compare_all(subject, teacher, arguments.methods, arguments.out, arguments.steps, arguments.seed)
    means = over_seeds(results)
    written = f"{table(means, next(iter(TEACHERS)))}\n{table_of_few(means, FEW_STEPS)}"
    (arguments.out / "table.md").write_text(written, encoding="utf-8")
    draw_page(means, results, arguments.out / "page.png")
    print(written)


if __name__ == "__main__":
    main()
