"""What a step of score distillation costs beside the networks it calls.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.score_distillation

The generator is an image of plain pixels, so everything but the networks is overhead: noise, guidance, baseline,
surrogate, backward, optimiser. Limit of the ratio: 1.
"""

import statistics

import torch

from representations.images.pixels import PixelImage
from sds.baselines import METHODS
from sds.critic import Critic, CriticSettings
from sds.denoiser import Condition
from sds.engine import ScoreDistillation, Settings
from sds.guidance import Guidance
from sds.prompts import PromptSet, condition_for
from sds.teachers.embedded import load_embedded_teacher
from tests.benchmarks.measure import cpu_seconds

BATCH = 4
ROUNDS = 15
TARGET = 1.15


def main() -> None:
    """Print the ratios."""
    for method in ("sds", "vsd"):
        ratio = ratio_of(method)
        verdict = "met" if ratio <= TARGET else "missed"
        print(f"{method.upper()} step / its networks alone: {ratio:.3f} (target {TARGET}: {verdict})")


def ratio_of(method: str) -> float:
    """Step / networks, the median over rounds that alternate the two."""
    teacher = load_embedded_teacher()
    critic = Critic(teacher, CriticSettings()) if method == "vsd" else None
    image = PixelImage(teacher.shape[-1])
    conditions = condition_for(teacher, PromptSet("a red armchair"), None, BATCH, critic)
    distillation = ScoreDistillation(
        image,
        teacher,
        lambda _: conditions,
        torch.optim.Adam(image.parameter_groups()),
        Settings(steps=1000, batch_size=BATCH, method=METHODS[method], guidance=Guidance(4.0)),
        critic=critic,
    )
    rows = Condition.concatenate([conditions.conditional, conditions.unconditional])
    x_t = torch.randn(2 * BATCH, *teacher.shape)
    t = torch.full((2 * BATCH,), 0.5, dtype=torch.float64)

    def networks() -> None:
        """The teacher on prompt and null prompt; for VSD the critic too, once forward, once forward and backward."""
        teacher(x_t, t, rows)
        if critic is not None:
            critic(x_t[:BATCH], t[:BATCH], rows[:BATCH])
            critic.update(x_t[:BATCH], rows[:BATCH], distillation.rng)

    return statistics.median(cpu_seconds(distillation.step, 1) / cpu_seconds(networks, 1) for _ in range(ROUNDS))


if __name__ == "__main__":
    main()
