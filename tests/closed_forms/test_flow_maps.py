"""Where each regression ends: the fixed point of its objective for a Gaussian teacher, without any training.

The exact path of N(m, s^2) keeps (x_t - alpha m) / sqrt(alpha^2 s^2 + sigma^2); a DDIM step is affine too. A
`TableStudent` fits each (t, s) exactly, so a method's fixed point is reached to the last digits.
"""

import math

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from sds.ramps import Ramp, TimeRange
from sds.schedule import NoiseSchedule, cosine_schedule, flow_schedule, scale, tabulated_schedule
from sds.solvers import ddim, even_times, heun, solve
from sds.teachers.mixture import MixtureTeacher
from students.flow_map import flow
from students.guided_teacher import GuidedTeacher
from students.methods.bootstrap import (
    boot,
    consistency,
    consistency_training,
    inverse_gap,
    shortcut,
    tract,
    trajectory_consistency,
)
from students.methods.levels import doubling_levels, even_levels, lognormal_shares, time_of
from students.methods.mean_flow import MeanFlowTimes, data_velocity, mean_flow, teacher_velocity
from students.methods.pairs import EndsTimes, one_pass, reflow, whole_path
from students.methods.targets import (
    Learning,
    StepTimes,
    at_random_guidance,
    denoising,
    guidance_distillation,
    halved,
    progressive,
    truncated_snr,
    velocity_weight,
)
from students.student import GUIDANCE_SCALE
from students.training.batches import Batch
from tests.closed_forms.tables import MEAN, SPREAD, TableStudent, batch, gaussian, sweep

X = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def full(t: float, count: int = len(X)) -> Tensor:
    return torch.full((count,), t, dtype=torch.float64)


def exact_flow(teacher: MixtureTeacher, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
    (alpha_t, sigma_t), (alpha_s, sigma_s) = teacher.schedule(t), teacher.schedule(s)
    widths = (torch.hypot(alpha_s * SPREAD, sigma_s) / torch.hypot(alpha_t * SPREAD, sigma_t))[:, None]
    return alpha_s[:, None] * MEAN + widths * (x_t - alpha_t[:, None] * MEAN)


def jump(student: TableStudent, t: float, s: float) -> Tensor:
    return flow(student, X, full(t), full(s), student.teacher.condition([""] * len(X)))


def ddim_path(teacher: MixtureTeacher, t: float, s: float, steps: int, solver=ddim) -> Tensor:
    return solve(teacher, X, even_times(full(t), full(s), steps), teacher.condition([""] * len(X)), solver)


def test_progressive_distillation_is_the_teachers_many_steps_in_one():
    """16 steps become 1 by exact regressions: the student is the 16-step solver, and not the one-step one."""
    teacher = gaussian()
    student, stage_teacher = TableStudent(teacher), teacher
    for steps in halved(16, 1):
        student = TableStudent(teacher)
        residue = sweep(student, progressive(stage_teacher, steps), rng(steps), count=60 * steps)
        assert residue < 1e-12
        stage_teacher = AsTeacher(student, steps)
    many, one = ddim_path(teacher, 1.0, 0.0, 16), ddim_path(teacher, 1.0, 0.0, 1)
    torch.testing.assert_close(jump(student, 1.0, 0.0), many, rtol=0, atol=1e-12)
    exact = exact_flow(teacher, X, full(1.0), full(0.0))
    assert (many - exact).abs().max() < 0.1 * (one - exact).abs().max()


class AsTeacher:
    """A table student that steps by 1 / steps, as a denoiser."""

    def __init__(self, student: TableStudent, steps: int) -> None:
        self.student, self.steps, self.schedule = student, steps, student.schedule

    def __call__(self, x_t: Tensor, t: Tensor, condition) -> Tensor:
        return self.student(x_t, t, (t * self.steps - 1).round() / self.steps, condition)


def test_halving_must_arrive():
    assert halved(32, 2) == [16, 8, 4, 2]
    for steps, wanted in ((12, 1), (10, 4), (8, 8), (4, 8)):
        with pytest.raises(ValueError, match="halves the number of steps"):
            halved(steps, wanted)
    with pytest.raises(ValueError, match="one step or more"):
        progressive(gaussian(), 0)


@pytest.mark.parametrize("solver", [ddim, heun])
def test_consistency_distillation_ends_at_the_teachers_solver(solver):
    """Whatever the solver's step, the student's jump is all its steps in a row; level by level it takes one sweep."""
    teacher, levels = gaussian(), even_levels(8)
    student = TableStudent(teacher)
    for _ in range(8):
        assert sweep(student, consistency(teacher, levels, solver), rng()) < 1e-12
    for i in range(1, 9):
        torch.testing.assert_close(
            jump(student, i / 8, 0.0), ddim_path(teacher, i / 8, 0.0, i, solver), rtol=0, atol=1e-12
        )


def test_consistency_training_has_the_bias_of_ddim():
    """E[x_u | x_t] of data and one noise is a DDIM step, so without a teacher the same fixed point is approached."""
    teacher = gaussian()
    levels = [0.0, 0.3, 0.6]
    student = TableStudent(teacher)
    for _ in range(2):
        sweep(student, consistency_training(teacher.schedule, lambda _: levels), rng(), count=400_000)
    grid = [full(t) for t in reversed(levels)]
    expected = solve(teacher, X, grid, teacher.condition([""] * len(X)))
    torch.testing.assert_close(jump(student, 0.6, 0.0), expected, rtol=0, atol=6e-3)
    exact = exact_flow(teacher, X, full(0.6), full(0.0))
    assert (jump(student, 0.6, 0.0) - exact).abs().max() > 5e-2


def test_the_levels_of_improved_consistency_training_double():
    schedule = cosine_schedule()
    levels = doubling_levels(schedule, first=10, last=1280)
    counts = [len(levels(progress)) - 1 for progress in (0.0, 0.12, 0.13, 0.5, 0.99, 1.0)]
    assert counts == [10, 10, 20, 160, 1280, 1280]
    top = time_of(schedule, 80.0)
    assert levels(0.3)[-1] == top == pytest.approx(2 / math.pi * math.atan(80))
    assert time_of(flow_schedule(), 3.0) == pytest.approx(0.75)
    t, u = full(0.6, 1), full(0.3, 1)
    objective = consistency_training(schedule, lambda _: [0.0, 0.3, 0.6], inverse_gap)
    target = objective(
        Learning(TableStudent(gaussian()), TableStudent(gaussian()), 0.0, rng()), batch(gaussian(), 50, rng())
    )
    tangents = [math.tan(math.pi / 2 * float(time)) for time in (t, u)]
    assert target.weight[target.t == 0.6][0].item() == pytest.approx(1 / (tangents[0] - tangents[1]))


def test_most_levels_of_improved_consistency_training_are_low():
    """log(sigma / alpha) of what is visited is N(-1.1, 2), cut at the highest level."""
    schedule = cosine_schedule()
    levels = doubling_levels(schedule, 10, 640, 80.0)(1.0)
    shares = lognormal_shares(schedule)(levels)
    assert shares.shape == (640,)
    assert float(shares.sum()) == pytest.approx(1)
    middle = math.log(math.tan(math.pi / 2 * levels[320]))
    whole, part = (torch.special.ndtr(torch.tensor((log + 1.1) / 2)) for log in (math.log(80), middle))
    assert float(shares[:320].sum()) == pytest.approx(float(part / whole), rel=1e-5)
    torch.testing.assert_close(lognormal_shares(schedule, even=0.25)(levels), 0.75 * shares + 0.25 / 640)
    objective = consistency_training(schedule, lambda _: levels, shares=lognormal_shares(schedule))
    visited = objective(
        Learning(TableStudent(gaussian()), TableStudent(gaussian()), 0.0, rng()), batch(gaussian(), 2000, rng())
    )
    below = [(math.log(math.tan(math.pi / 2 * float(time))) < -1.1) for time in visited.t if time < 1]
    assert sum(below) / 2000 == pytest.approx(0.5, abs=0.05)
    assert set(visited.weight.tolist()) == {1.0}


@pytest.mark.parametrize(("decay", "sweeps"), [(0.0, 8), (0.5, 60)])
def test_tract_closes_each_segment_whatever_the_average(decay: float, sweeps: int):
    """The fixed point is the teacher's path over the segment; an average only delays it."""
    teacher, levels = gaussian(), even_levels(16)
    student, average = TableStudent(teacher), TableStudent(teacher)
    objective = tract(teacher, levels, segments=2)
    for i in range(sweeps):
        sweep(student, objective, rng(i), average, count=300)
        average.lerp(student, 1 - decay)
    for t, s, steps in ((1.0, 0.5, 8), (0.75, 0.5, 4), (0.5, 0.0, 8), (0.0625, 0.0, 1)):
        torch.testing.assert_close(jump(student, t, s), ddim_path(teacher, t, s, steps), rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match="equal segments"):
        tract(teacher, levels, segments=3)


def test_trajectory_consistency_knows_every_start_and_every_end():
    teacher, levels = gaussian(), even_levels(6)
    student = TableStudent(teacher)
    for i in range(8):
        sweep(student, trajectory_consistency(teacher, levels, most_steps=1, solver=ddim), rng(i), count=600)
    for i in range(1, 7):
        for j in range(i):
            torch.testing.assert_close(
                jump(student, i / 6, j / 6), ddim_path(teacher, i / 6, j / 6, i - j), rtol=0, atol=1e-12
            )


def test_trajectory_consistency_compares_images():
    """The comparison is the average's jump to the image, after the predicted step to s."""
    teacher = gaussian()
    student = TableStudent(teacher)
    learning = Learning(student, student, 0.0, rng())
    target = trajectory_consistency(teacher, even_levels(4))(learning, batch(teacher, 30, rng()))
    zero = torch.zeros_like(target.t)
    x_s = flow(student, target.x_t, target.t, target.s, target.condition)
    expected = flow(student, x_s, target.s, zero, target.condition)
    predicted = student(target.x_t, target.t, target.s, target.condition)
    torch.testing.assert_close(target.compared(predicted), expected, rtol=0, atol=1e-13)


def test_trajectories_end_at_the_image_more_often_where_that_is_wished():
    teacher, student = gaussian(), TableStudent(gaussian())
    learning = Learning(student, student, 0.0, rng())
    for share, low, high in ((0.0, 0.15, 0.27), (0.5, 0.55, 0.67), (1.0, 1.0, 1.0)):
        objective = trajectory_consistency(teacher, even_levels(16), to_image=share)
        ends = objective(learning, batch(teacher, 1000, rng())).s
        assert low <= float((ends == 0).double().mean()) <= high  # by chance the mean of 1 / i over 16 levels, 0.21


def test_the_ends_of_a_path_are_visited_more_often():
    """P(t < x) = (1 + sinh(a (2 x - 1)) / sinh a) / 2; without steepness even."""
    for steepness, expected in ((4.0, 0.5 + 0.5 * math.sinh(-3.2) / math.sinh(4)), (0.0, 0.1)):
        t = EndsTimes(steepness).sample(20_000, 0.0, rng())
        for share in (t < 0.1, t > 0.9):
            assert float(share.double().mean()) == pytest.approx(expected, abs=0.01)
    assert float(EndsTimes(lowest=0.2).sample(1000, 0.0, rng()).min()) == 0.2


def test_shortcuts_are_the_finest_steps_in_a_row():
    teacher = gaussian()
    student = TableStudent(teacher)  # unfitted jumps, those of the finest length, are DDIM steps
    for i in range(4):
        sweep(student, shortcut(teacher.schedule, halvings=3), rng(i), count=300)
    for t, s, steps in ((1.0, 0.0, 8), (1.0, 0.5, 4), (0.75, 0.5, 2)):
        torch.testing.assert_close(jump(student, t, s), ddim_path(teacher, t, s, steps), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("solver", "order"), [(ddim, 1), (heun, 2)])
def test_boot_walks_the_path_without_data(solver, order: int):
    """Each state is the teacher's solver so far; the error of the last falls with the order of the solver."""
    teacher, errors = gaussian(), []
    for count in (8, 16, 32):
        student = TableStudent(teacher)
        noise = torch.randn(12 * count, 1, dtype=torch.float64, generator=rng())
        data_free = Batch(noise, teacher.condition([""] * len(noise)))
        objective = boot(teacher, even_levels(count), solver)
        for i in range(count + 1):
            sweep(student, objective, rng(i), examples=data_free)
        torch.testing.assert_close(
            jump(student, 1.0, 0.0), ddim_path(teacher, 1.0, 0.0, count, solver), rtol=0, atol=1e-9
        )
        exact = exact_flow(teacher, X, full(1.0), full(0.0))
        errors.append(float((jump(student, 1.0, 0.0) - exact).abs().max()))
    assert math.log2(errors[1] / errors[2]) == pytest.approx(order, abs=0.4)


def test_the_target_of_boot_is_its_signal_equation():
    """x0 = y + (1 - e^(lambda_s - lambda_t)) (D(x_t) - y) with e^lambda = sigma / alpha, and its weight."""
    teacher = gaussian()
    student = TableStudent(teacher)
    noise = torch.randn(40, 1, dtype=torch.float64, generator=rng())
    condition = teacher.condition([""] * 40)
    target = boot(teacher, even_levels(5))(Learning(student, student, 0.0, rng()), Batch(noise, condition))
    t, s = (target.s * 5 + 1).round() / 5, target.s
    y = student(noise, target.t, t, condition)
    denoised = teacher(teacher.schedule.add_noise(y, noise, t), t, condition)
    ratios = [(sigma / alpha).clamp(max=1e300) for alpha, sigma in (teacher.schedule(s), teacher.schedule(t))]
    share = 1 - ratios[0] / ratios[1]
    torch.testing.assert_close(target.x0, y + share[:, None] * (denoised - y), rtol=0, atol=1e-12)
    torch.testing.assert_close(target.weight, share**-2, rtol=1e-12, atol=0)


def exact_pairs(teacher: MixtureTeacher, count: int) -> Batch:
    noise = torch.randn(count, 1, dtype=torch.float64, generator=rng())
    times = torch.tensor([1.0, 0.6, 0.2, 0.0], dtype=torch.float64)
    states = torch.stack([exact_flow(teacher, noise, full(1.0, count), full(float(t), count)) for t in times], dim=1)
    return Batch(noise, teacher.condition([""] * count), states[:, -1], states, times)


def test_regression_on_pairs_has_no_residue():
    """One-pass distillation and DSNO: the best prediction from the noise is the map itself, slope s at t = 1."""
    teacher = gaussian()
    pairs = exact_pairs(teacher, 50)
    student = TableStudent(teacher)
    assert sweep(student, one_pass(teacher.schedule), rng(), examples=pairs) < 1e-13
    assert student.table[1.0, 0.0].tolist() == pytest.approx([SPREAD, MEAN], abs=1e-13)
    whole = TableStudent(teacher)
    assert sweep(whole, whole_path(teacher.schedule), rng(), examples=pairs) < 1e-13
    for s in (0.6, 0.2, 0.0):
        torch.testing.assert_close(jump(whole, 1.0, s), exact_flow(teacher, X, full(1.0), full(s)), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="keep states in between"):
        sweep(whole, whole_path(teacher.schedule), rng())
    noise_alone = Batch(pairs.noise, pairs.condition)
    with pytest.raises(ValueError, match="real images, or pairs"):
        sweep(whole, one_pass(teacher.schedule), rng(), examples=noise_alone)


@pytest.mark.parametrize("schedule", [flow_schedule(), cosine_schedule()])
def test_reflow_is_straight_and_one_step_is_exact(schedule):
    """On pairs, x0 is a function of x_t, so the velocity along each path is constant and one Euler step arrives.

    On independent data it is not: the straightness of a Gaussian with s = 1 is int E|Delta - v|^2 = 2 - pi / 2.
    """
    teacher = gaussian(schedule)
    pairs = exact_pairs(teacher, 2000)
    target = reflow(schedule)(Learning(TableStudent(teacher), TableStudent(teacher), 0.0, rng()), pairs)
    alpha, sigma = (c[:, None] for c in schedule(target.t))
    straight = MEAN + SPREAD / (alpha * SPREAD + sigma) * (target.x_t - alpha * MEAN)
    torch.testing.assert_close(target.x0, straight, rtol=0, atol=1e-12)
    at_noise = MEAN + SPREAD * X
    torch.testing.assert_close(at_noise, exact_flow(teacher, X, full(1.0), full(0.0)), rtol=0, atol=1e-12)


def test_reflow_begins_at_the_noise_where_a_little_of_an_image_is_left():
    """Stable Diffusion's alpha is 0.07 at t = 1, and its samplers begin at pure noise all the same: a student that had
    seen alpha x0 there would be asked for something else."""
    alphas = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012).alphas_cumprod
    teacher = gaussian(tabulated_schedule(alphas))
    pairs, learning = exact_pairs(teacher, 50), Learning(TableStudent(teacher), TableStudent(teacher), 0.0, rng())
    first = reflow(teacher.schedule, StepTimes([1.0]))(learning, pairs)
    torch.testing.assert_close(first.x_t, pairs.noise, rtol=0, atol=1e-12)
    later = reflow(teacher.schedule, StepTimes([0.5]))(learning, pairs)
    (alpha_1, sigma_1), (alpha, sigma) = (teacher.schedule(torch.tensor([t]).double()) for t in (1.0, 0.5))
    share = (sigma / (alpha + sigma)) / (sigma_1 / (alpha_1 + sigma_1))  # of the straight way
    straight = share * pairs.noise / (alpha_1 + sigma_1) + (1 - share) * pairs.x0
    torch.testing.assert_close(later.x_t / (alpha + sigma), straight, rtol=0, atol=1e-12)


def test_the_curvature_of_independent_coupling():
    """int_0^1 E|noise - x0 - v(x_t)|^2 dt = s pi / 2 for N(m, s^2) on straight paths (its residual variance)."""
    teacher = gaussian(flow_schedule())
    target = denoising(teacher.schedule)(
        Learning(TableStudent(teacher), TableStudent(teacher), 0.0, rng()), batch(teacher, 400_000, rng())
    )
    residual = (target.x0 - teacher(target.x_t, target.t, target.condition)).square()[:, 0]
    weighted = float((velocity_weight(teacher.schedule, target.t) * residual).mean())
    assert weighted == pytest.approx(SPREAD * math.pi / 2, rel=0.02)


def test_guidance_distillation_is_the_guided_teacher_at_every_scale():
    """For Gaussians of different spreads the guided prediction is affine in (x, w x, w, 1): no residue at each t."""
    means, variances = torch.tensor([[0.0], [1.0]], dtype=torch.float64), torch.tensor([1.0, 0.16]).double()
    one = torch.eye(2, dtype=torch.float64)
    plain = MixtureTeacher(means, variances, {"": one[0], "good": one[1]})
    guided = GuidedTeacher(plain, 1.0)
    noise, x0 = torch.randn(2, 3000, 1, dtype=torch.float64, generator=rng()).unbind()
    examples = Batch(noise, guided.condition(["good"] * 3000, None), x0)
    objective = at_random_guidance(guidance_distillation(guided, TimeRange(Ramp(0.7, 0.7), Ramp(0.7, 0.7))), 0.5, 8.0)
    target = objective(Learning(TableStudent(plain), TableStudent(plain), 0.0, rng()), examples)
    w = target.condition.tensors[GUIDANCE_SCALE].double()[:, None]
    assert 0.5 <= float(w.min()) < 0.6
    assert 7.9 < float(w.max()) <= 8.0
    inputs = torch.cat([target.x_t, w * target.x_t, w, torch.ones_like(w)], dim=1)
    solution = torch.linalg.lstsq(inputs, target.x0).solution
    torch.testing.assert_close(inputs @ solution, target.x0, rtol=0, atol=1e-6)  # scales are float32
    conditional = plain(target.x_t, target.t, plain.condition(["good"] * 3000))
    null = plain(target.x_t, target.t, plain.condition([""] * 3000))
    torch.testing.assert_close(target.x0, null + w * (conditional - null), rtol=0, atol=1e-6)
    torch.testing.assert_close(target.weight, truncated_snr(plain.schedule, target.t))
    with pytest.raises(ValueError, match="must rise"):
        at_random_guidance(objective, 3.0, 2.0)
    with pytest.raises(ValueError, match="condition of its own"):
        guided(x0, full(0.5, 3000), plain.condition(["good"] * 3000))


def test_guidance_moves_the_mode_outside_the_data():
    """Of N(0, 1) and N(1, 1) at scale 3: the guided path ends at 3, as far as the noise lets it start from nothing."""
    one = torch.eye(2, dtype=torch.float64)
    means = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    guided = GuidedTeacher(MixtureTeacher(means, torch.ones(2), {"": one[0], "good": one[1]}), 3.0)
    start = torch.zeros(1, 1, dtype=torch.float64)
    end = solve(guided, start, even_times(full(1.0, 1), full(0.0, 1), 400), guided.condition(["good"], None), heun)
    assert end.item() == pytest.approx(3.0, abs=1e-3)


@pytest.mark.parametrize("velocity", ["teacher", "data"])
def test_mean_flow_is_satisfied_by_the_exact_flow_map(velocity: str):
    """With the exact student the target is its own prediction (for data: on average)."""
    teacher = gaussian(flow_schedule())

    class Exact:
        schedule = teacher.schedule

        def __call__(self, x_t: Tensor, t: Tensor, s: Tensor, condition) -> Tensor:
            u = (x_t - exact_flow(teacher, x_t, t, s)) / scale(t - s, x_t)
            return x_t - scale(t, x_t) * u

    of = teacher_velocity(teacher) if velocity == "teacher" else data_velocity
    examples = batch(teacher, 200_000 if velocity == "data" else 500, rng())
    other = torch.Generator().manual_seed(1)  # else the times were those numbers that are the noise
    target = mean_flow(teacher.schedule, of, MeanFlowTimes(same=0.0))(Learning(Exact(), Exact(), 0.0, other), examples)
    error = target.x0 - Exact()(target.x_t, target.t, target.s, target.condition)
    if velocity == "teacher":
        assert error.abs().max() < 1e-9
        assert target.compared(target.x0).abs().max() < 10  # velocities, whatever t
    else:
        assert abs(float((error * target.x_t).mean())) < 5e-3
        assert float(error.std()) > 0.1


def test_where_mean_flow_looks():
    """Geng et al. 2025, table 1: logit-normal times, the same for three quarters of the images."""
    t, r = MeanFlowTimes().sample(40_000, rng())
    assert bool((r <= t).all())
    assert float((r == t).double().mean()) == pytest.approx(0.75, abs=0.01)
    both = torch.cat([t[r < t], r[r < t]]).logit()
    assert float(both.mean()) == pytest.approx(-0.4, abs=0.03)
    assert float(both.std()) == pytest.approx(1.0, abs=0.03)
    t, r = MeanFlowTimes(same=0.5, whole=0.5).sample(40_000, rng())
    assert float(((t == 1) & (r == 0)).double().mean()) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("schedule", [cosine_schedule(), flow_schedule()])
def test_denoising_is_weighted_as_the_velocity_of_a_straight_path(schedule: NoiseSchedule):
    """|v - (noise - x0)|^2 of y = x_t / (alpha + sigma) for whatever the student predicts."""
    teacher, examples = gaussian(schedule), batch(gaussian(schedule), 100, rng())
    target = denoising(schedule)(Learning(teacher, teacher, 0.0, rng()), examples)
    alpha, sigma = (level[:, None] for level in schedule(target.t))
    y, r = target.x_t / (alpha + sigma), sigma / (alpha + sigma)
    predicted = 0.7 * target.x_t + 0.1
    velocity = (y - predicted) / r
    expected = (velocity - (examples.noise - examples.x0)).square()[:, 0]
    found = target.weight * (predicted - target.x0).square()[:, 0]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_the_first_level_of_boot_weighs_one_on_every_schedule():
    """Its target is the teacher's own prediction; where alpha(1) > 0 a share below 1 made it weigh 10.8 times more."""
    stable_diffusion = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    teacher = gaussian(tabulated_schedule(stable_diffusion.alphas_cumprod))
    examples, student = batch(teacher, 400, rng()), TableStudent(teacher)
    target = boot(teacher, even_levels(16))(Learning(student, student, 0.0, rng()), examples)
    first = target.s == 15 / 16
    assert bool(first.any())
    torch.testing.assert_close(target.weight[first], torch.ones_like(target.weight[first]))
    denoised = teacher(examples.noise, torch.ones(400).double(), examples.condition)
    torch.testing.assert_close(target.x0[first], denoised[first], rtol=0, atol=1e-9)
