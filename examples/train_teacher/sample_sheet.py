"""A sheet of what a student draws in one step, beside its teacher's fifty and real renders of the same things."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from export_pictures import lit_pictures
from torch import Tensor

from cli.pictures import write_sheet
from cli.trainings.student_metrics import TEACHER_STEPS
from sds.solvers import even_times, solve
from sds.teachers.embedded import load_embedded_teacher
from students.folder import read_card, sample
from students.prompts import StoredView
from students.shipped import SHIPPED_STUDENT


@torch.no_grad()
def rows(data: Path, student: Path, held_out_pairs: Path, count: int, columns: int) -> list[Tensor]:
    """Rows of real renders, of the student's pictures and of the teacher's, always three of the same things."""
    batch = next(lit_pictures(data, count, seed=1, held_out_views=True, held_out_pairs=held_out_pairs))
    view = StoredView(batch.azimuth, batch.elevation, batch.background)
    teacher, network = load_embedded_teacher(), load_embedded_teacher(student)
    told = teacher.condition([caption.text for caption in batch.captions], view)
    drawn = sample(network, read_card(student), teacher.shape, told, torch.Generator().manual_seed(0))
    noise = torch.randn(count, *teacher.shape, generator=torch.Generator().manual_seed(0))
    many = solve(teacher, noise, even_times(torch.ones(count), torch.zeros(count), TEACHER_STEPS), told)
    kinds = [batch.picture, teacher.decode(drawn).clamp(0, 1), teacher.decode(many).clamp(0, 1)]
    return [part for parts in zip(*(kind.split(columns) for kind in kinds), strict=True) for part in parts]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="what build_fields.py wrote")
    parser.add_argument("--student", type=Path, default=SHIPPED_STUDENT, help="its folder (default: the shipped one)")
    parser.add_argument("--out", type=Path, required=True, help="the picture to write")
    parser.add_argument("--held-out", type=Path, default=Path(__file__).parent / "held_out.csv")
    arguments = parser.parse_args()
    write_sheet(arguments.out, rows(arguments.data, arguments.student, arguments.held_out, 48, 16), size=64)
    print(arguments.out)


if __name__ == "__main__":
    main()
