"""What a step of distillation costs: beside the networks it needs, and beside a loop written by hand for one method.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.distillation

On the embedded teacher. The networks it needs: the conditions of the prompts (the view prior is a network), every
forward and backward pass, and the steps of the optimisers. The loop by hand does the same mathematics with nothing
around it. Limits of the ratios: 1.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from representations.cameras import CameraSampler
from sds.denoiser import Condition
from sds.lora import full_copy
from sds.solvers import ddim_step
from sds.teachers.embedded import load_embedded_teacher
from sds.teachers.shape_teacher import ShapeTeacher
from students.features.sources import all_levels
from students.methods.levels import time_of
from students.recipes.catalogue import RECIPES
from students.recipes.order import FIRST_DEVIATION, Order
from tests.benchmarks.measure import cpu_seconds

BATCH = 8
ROUNDS = 9
PATH_STEPS = 8
GUIDANCE = 2.0
TARGETS = {"networks": 1.15, "loop by hand": 1.05}
PROMPTS = ["a blue mug", "a red armchair", "a teddy bear", "a wooden table"]

Step = Callable[[], object]


def main() -> None:
    """Print the ratios."""
    for method, beside in (("dmd", dmd), ("consistency", consistency), ("add", add)):
        ratios = ratios_of(method, beside)
        for name, ratio in ratios.items():
            verdict = "met" if ratio <= TARGETS[name] else "missed"
            print(f"{method} step / {name}: {ratio:.3f} (target {TARGETS[name]}: {verdict})", flush=True)


def ratios_of(method: str, beside: Callable[[By], dict[str, Step]]) -> dict[str, float]:
    """Medians over rounds that alternate the step of the recipe, the networks alone and the loop by hand."""
    torch.manual_seed(0)
    teacher = load_embedded_teacher()
    order = Order(
        teacher, PROMPTS, CameraSampler(size=1), method, steps=10_000, batch_size=BATCH, pairs=64, path_steps=PATH_STEPS
    )
    step = RECIPES[method](order).trainer.step
    others = beside(By(teacher))
    times: dict[str, list[float]] = {name: [] for name in ("step", *others)}
    for _ in range(ROUNDS):
        for name, work in (("step", step), *others.items()):
            times[name].append(cpu_seconds(work, 1))
    return {
        name: statistics.median(mine / theirs for mine, theirs in zip(times["step"], times[name], strict=True))
        for name in others
    }


@dataclass
class Trained:
    """A network that learns, its optimiser, and for a student the average that is kept."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]

    def learn(self, loss: Tensor) -> None:
        """One step."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()

    @torch.no_grad()
    def follow(self) -> None:
        """The average follows."""
        for name, tensor in self.network.state_dict().items():
            self.average[name].lerp_(tensor, 0.01)


class By:
    """What loops by hand are made of."""

    def __init__(self, teacher: ShapeTeacher) -> None:
        self.teacher, self.views = teacher, CameraSampler(size=1)
        self.start = time_of(teacher.schedule, FIRST_DEVIATION)
        self.rng = torch.Generator().manual_seed(0)
        self.x0, self.z = torch.randn(2, 64, *teacher.shape).clamp(-1, 1)

    def trained(self) -> Trained:
        """A copy of the teacher's network that learns."""
        network = full_copy(self.teacher.network)
        average = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        return Trained(network, torch.optim.Adam(network.parameters(), 1e-5), average)

    def told(self) -> Condition:
        """A batch of prompts and views."""
        chosen = torch.randint(len(PROMPTS), (BATCH,), generator=self.rng)
        return self.teacher.condition([PROMPTS[i] for i in chosen], self.views(BATCH, self.rng))

    def null(self) -> Condition:
        """A batch of null prompts."""
        return self.teacher.condition([""] * BATCH, self.views(BATCH, self.rng))

    def noise(self) -> Tensor:
        """A batch."""
        return torch.randn(BATCH, *self.teacher.shape, generator=self.rng)

    def time(self, level: float | None = None) -> Tensor:
        """A batch of one time, or of random ones."""
        if level is None:
            return 0.02 + 0.96 * torch.rand(BATCH, generator=self.rng).double()
        return torch.full((BATCH,), level, dtype=torch.float64)

    def guided(self, x_t: Tensor, t: Tensor, condition: Condition, null: Condition) -> Tensor:
        """The teacher's guided x0."""
        both = Condition.concatenate([condition, null])
        conditional, unconditional = self.teacher(torch.cat([x_t, x_t]), torch.cat([t, t]), both).chunk(2)
        return unconditional + GUIDANCE * (conditional - unconditional)


def dmd(by: By) -> dict[str, Step]:
    """DMD with two steps of the critic, and a regression on pairs."""
    student, critic, denoise, start = by.trained(), by.trained(), by.teacher.denoise, by.time(by.start)

    def networks() -> None:
        x = by.z[:BATCH]
        for _ in range(2):
            condition = by.told()
            with torch.no_grad():
                denoise(student.network, x, start, condition)
            critic.learn(denoise(critic.network, x, start, condition).sum())
        condition, null = by.told(), by.null()
        with torch.no_grad():
            by.guided(x, start, condition, null)
            denoise(critic.network, x, start, condition)
        drawn = denoise(student.network, x, start, condition).sum()
        student.learn(drawn + denoise(student.network, x, start, by.told()).sum())
        student.follow()

    def loop() -> None:
        schedule = by.teacher.schedule
        for _ in range(2):
            condition = by.told()
            with torch.no_grad():
                x = denoise(student.network, by.noise(), start, condition)
            t = by.time()
            seen = denoise(critic.network, schedule.add_noise(x, by.noise(), t), t, condition)
            weight = (schedule.log_snr(t).exp().clamp(max=20) + 1).float()
            critic.learn((weight * (seen - x).square().flatten(1).mean(1)).mean())
        condition, null, t = by.told(), by.null(), by.time()
        x = denoise(student.network, by.noise(), start, condition)
        with torch.no_grad():
            x_t = schedule.add_noise(x, by.noise(), t)
            wanted, known = by.guided(x_t, t, condition, null), denoise(critic.network, x_t, t, condition)
            gradient = (known - wanted) / (x - wanted).abs().flatten(1).mean(1)[:, None, None, None]
        chosen = torch.randint(len(by.z), (BATCH,), generator=by.rng)
        drawn = denoise(student.network, by.z[chosen], start, by.told())
        student.learn((x * gradient).sum() / BATCH + 0.25 * x[0].numel() * F.mse_loss(drawn, by.x0[chosen]))
        student.follow()

    return {"networks": networks, "loop by hand": loop}


def consistency(by: By) -> dict[str, Step]:
    """Consistency distillation by Heun's steps of the guided teacher."""
    student, target, denoise = by.trained(), by.trained().network, by.teacher.denoise
    levels = torch.linspace(0, 1, PATH_STEPS + 1, dtype=torch.float64)

    def networks() -> None:
        x, t, condition, null = by.z[:BATCH], by.time(0.5), by.told(), by.null()
        with torch.no_grad():
            by.guided(x, t, condition, null)
            by.guided(x, t, condition, null)
            denoise(target, x, t, condition)
        student.learn(denoise(student.network, x, t, condition).sum())
        student.follow()
        student.follow()

    def loop() -> None:
        schedule, condition, null = by.teacher.schedule, by.told(), by.null()
        index = torch.randint(1, len(levels), (BATCH,), generator=by.rng)
        t, u = levels[index], levels[index - 1]
        x0 = by.x0[torch.randint(len(by.x0), (BATCH,), generator=by.rng)]
        x_t = schedule.add_noise(x0, by.noise(), t)
        with torch.no_grad():
            first = by.guided(x_t, t, condition, null)
            second = by.guided(ddim_step(schedule, x_t, first, t, u), u, condition, null)
            x_u = ddim_step(schedule, x_t, (first + second) / 2, t, u)
            wanted = denoise(target, x_u, u, condition)
        student.learn(F.mse_loss(denoise(student.network, x_t, t, condition), wanted))
        student.follow()
        student.follow()

    return {"networks": networks, "loop by hand": loop}


def add(by: By) -> dict[str, Step]:
    """ADD with a discriminator whose features learn."""
    student, features, denoise, start = by.trained(), by.trained(), by.teacher.denoise, by.time(by.start)
    named = dict(features.network.named_modules())
    taken = [named[name] for name in all_levels(features.network)]
    seen: list[Tensor] = []
    for module in taken:
        module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))

    def look(x: Tensor, condition: Condition) -> Tensor:
        seen.clear()
        t = 0.02 + 0.1 * torch.rand(BATCH, generator=by.rng).double()
        denoise(features.network, by.teacher.schedule.add_noise(x, by.noise(), t), t, condition)
        return torch.stack([F.group_norm(map_, 8).flatten(1).mean(1) for map_ in seen]).sum(0)

    def networks(by_hand: bool = False) -> None:
        condition, null, told = by.told(), by.null(), by.told()
        x, t = denoise(student.network, by.noise(), start, condition), by.time()
        with torch.no_grad():
            wanted = by.guided(by.teacher.schedule.add_noise(x, by.noise(), t), t, condition, null)
        real = by.x0[torch.randint(len(by.x0), (BATCH,), generator=by.rng)]
        of_real, of_fake, again = look(real, told), look(x.detach(), condition), look(real, told)
        if by_hand:
            loss = F.relu(1 - of_real).mean() + F.relu(1 + of_fake).mean() + 3 * (of_real - again).square().mean()
        else:
            loss = (of_real + of_fake + again).sum()
        features.learn(loss)
        features.network.requires_grad_(False)
        fooled = -look(x, condition).mean() * x[0].numel()
        student.learn(fooled + (x * (x - wanted).detach()).sum() / BATCH if by_hand else fooled + x.sum())
        features.network.requires_grad_(True)
        student.follow()

    return {"networks": networks, "loop by hand": partial(networks, True)}


if __name__ == "__main__":
    main()
