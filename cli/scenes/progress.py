"""A bar on standard error while a run is made."""

from __future__ import annotations

from tqdm import tqdm

from cli.output import bar
from cli.scenes.curves import CurvePoint
from cli.scenes.making import Moment


class ProgressBar:
    """Shows a bar for each stage, and on it how well the object is recognised; called after each step."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._stage = ""

    def __call__(self, moment: Moment) -> None:
        """Show one more step."""
        scene = moment.scene
        done = scene.distillation.done
        if self._bar is None or self._stage != scene.stage:
            self.close()
            self._stage = scene.stage
            self._bar = bar(
                total=scene.recipe.steps,
                initial=done - 1,
                desc=f"{scene.prompts.prompt[:40]} ({scene.stage})",
                unit="step",
            )
        self._bar.update()
        if moment.is_looked_at:
            self._bar.set_postfix_str(progress_note(moment.point))
        if done == scene.recipe.steps:
            self.close()

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def progress_note(point: CurvePoint) -> str:
    """A number that means something: how well the noun is recognised, or how near the picture is to the teacher's."""
    if point.recognition is not None:
        return f"recognised {100 * point.recognition:.0f}%"
    return f"differs from the teacher's wish by {point.distance:.3f}"
