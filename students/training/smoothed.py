"""A run of the engine, and the average of its student's weights, which is what is kept."""

from __future__ import annotations

from typing import Any

from sds.engine import ScoreDistillation
from students.average import AverageStudent
from students.student import Student


class Smoothed:
    """A run of the engine, and the average of its student's weights.

    Args:
        run: trains ``student``.
        student: of the run.
        decay: of the average.
    """

    def __init__(self, run: ScoreDistillation, student: Student, decay: float) -> None:
        self.run, self.result = run, AverageStudent(student, decay)

    def step(self) -> Any:
        """One step of the run; the average follows."""
        step = self.run.step()
        self.result.update()
        return step

    def state_dict(self) -> dict[str, Any]:
        """The run's and the average's."""
        return {**self.run.state_dict(), "result": self.result.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.run.load_state_dict(state)
        self.result.load_state_dict(state["result"])
