"""What a comparison found, as tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from judging import Result


def table(results: Sequence[Result], reference: str) -> str:
    """A table in Markdown, best Frechet distance first, each divided by that of the result called ``reference``."""
    teacher = next((r.frechet for r in results if r.name == reference), 1.0)
    lines = [
        "| method | steps of a picture | seeds | FID | / teacher's | KID x 1000 | precision | recall | coverage "
        "| distinct | nearest seen, unseen | evaluations | trained | s |",
        "|---|" + "---:|" * 13,
    ]
    for r in sorted(results, key=lambda result: result.frechet):
        shares = " | ".join(f"{v:.2f}" for v in (r.precision, r.recall, r.coverage, r.distinct))
        work = f"{r.evaluations} | {r.steps} | {r.seconds:.0f}" if r.steps else "- | - | -"
        lines.append(
            f"| {r.name} | {r.student_steps or '-'} | {r.seeds} | {r.frechet:.3f} ± {r.frechet_spread:.3f} "
            f"| {r.frechet / teacher:.2f} | {1000 * r.kernel:.1f} ± {1000 * r.kernel_spread:.1f} | {shares} "
            f"| {r.nearest_training:.2f}, {r.nearest_held_out:.2f} | {work} |"
        )
    return "\n".join(lines) + "\n"


def table_of_few(results: Sequence[Result], few_steps: Sequence[int]) -> str:
    """A table in Markdown of the students that draw in one step and in ``few_steps``: FID, recall."""
    by_name = {result.name: result for result in results}
    lines = [
        f"| method | 1 step | {' | '.join(f'{n} steps' for n in few_steps)} |",
        "|---|" + "---:|" * (1 + len(few_steps)),
    ]
    for result in sorted(results, key=lambda result: result.frechet):
        few = {int(steps): (frechet, recall) for steps, frechet, recall in result.few_steps}
        for steps in few_steps:
            trained = by_name.get(f"{result.name}, {steps} steps")
            if trained is not None:
                few[steps] = (trained.frechet, trained.recall)
        if few:
            few[result.student_steps] = (result.frechet, result.recall)
            cells = [f"{few[n][0]:.3f}, {few[n][1]:.2f}" if n in few else "-" for n in (1, *few_steps)]
            lines.append(f"| {result.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
