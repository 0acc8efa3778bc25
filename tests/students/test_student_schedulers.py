"""Students of teachers with any scheduler: their folders say the same noise levels, to us and to plain diffusers."""

from pathlib import Path

import diffusers
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from sds.schedule import Prediction, x0_from
from sds.teachers.diffusers import load_diffusers_teacher
from sds.teachers.schedules import FAINTEST_IMAGE, SCHEDULERS
from students.answerable import MOST_AMPLIFIED, OnStraightPaths, amplification, answerable
from students.flow_map import flow
from students.folder import StudentCard, StudentFolderError, read_card, sample, save_student
from students.prompts import Prompts
from students.student import Student
from tests.students.toys import normals

CARD = StudentCard("one-pass", [1.0], same_path=True, guidance_scale=1.0)


def tiny_unet() -> UNet2DModel:
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    return UNet2DModel(8, block_out_channels=(8, 8), layers_per_block=1, norm_num_groups=4, **blocks)


def folder_with(scheduler, path: Path) -> Path:
    DDPMPipeline(tiny_unet(), scheduler).save_pretrained(path, safe_serialization=True)
    return path


def configurations() -> list[tuple[str, dict]]:
    every = []
    for _, name in sorted(SCHEDULERS):
        if "FlowMatch" in name:
            every += [(name, {"shift": 1.0}), (name, {"shift": 3.0})]
        else:
            every += [(name, {"prediction_type": kind}) for kind in ("epsilon", "sample", "v_prediction")]
            every.append((name, {"beta_schedule": "squaredcos_cap_v2"}))
    every.append(("DDPMScheduler", {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}))
    every.append(("DDPMScheduler", {"rescale_betas_zero_snr": True}))
    every.append(("PNDMScheduler", {"set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1}))
    every.append(("DDPMScheduler", {"num_train_timesteps": 400, "beta_schedule": "scaled_linear"}))
    return every


@pytest.mark.parametrize(("name", "config"), configurations())
def test_a_student_draws_the_same_from_its_folder_and_in_plain_diffusers(name: str, config: dict, tmp_path: Path):
    scheduler_class = getattr(diffusers, name)
    if "prediction_type" in config and "prediction_type" not in scheduler_class().config:
        pytest.skip("knows one prediction type")
    try:
        scheduler = scheduler_class(**config)
    except (NotImplementedError, ValueError) as error:
        pytest.skip(str(error))
    source = folder_with(scheduler, tmp_path / "teacher")
    teacher = answerable(load_diffusers_teacher(source))
    student, condition = Student(teacher), teacher.condition(["", ""], None)
    save_student(source, student.plain_network(), CARD, tmp_path / "student")

    noise, t = normals(2, *teacher.shape, seed=3), torch.ones(2, dtype=torch.float64)
    with torch.no_grad():
        expected = flow(student, noise, t, 0 * t, condition)
    loaded = load_diffusers_teacher(tmp_path / "student")
    rng = torch.Generator().manual_seed(3)
    drawn = sample(loaded, read_card(tmp_path / "student"), loaded.shape, loaded.condition(["", ""], None), rng)
    torch.testing.assert_close(drawn, expected, rtol=1e-4, atol=1e-4)

    written = next((tmp_path / "student" / "scheduler").glob("*.json"))
    kind = diffusers.FlowMatchEulerDiscreteScheduler if "FlowMatch" in name else diffusers.DDIMScheduler
    plain = kind.from_pretrained(written.parent)
    plain.register_to_config(clip_sample=False)
    plain.set_timesteps(1)
    timestep = plain.timesteps[0]
    with torch.no_grad():
        output = UNet2DModel.from_pretrained(tmp_path / "student" / "unet")(noise, timestep).sample
        by_diffusers = plain.step(output, timestep, noise).prev_sample
        clean = student(noise, t, 0 * t, condition)  # a table's t = 0 still has a little noise
    torch.testing.assert_close(by_diffusers, clean, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("beta_schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_noise_predictions_are_asked_where_they_say_something(beta_schedule: str, tmp_path: Path):
    """DeepFloyd IF's schedule leaves an alpha of 5e-5 at its last level, DDPM's 0.006: neither can begin a student."""
    teacher = load_diffusers_teacher(folder_with(DDPMScheduler(beta_schedule=beta_schedule), tmp_path / "teacher"))
    one = torch.ones(1, dtype=torch.float64)
    assert float(teacher.schedule.alpha(one)) >= FAINTEST_IMAGE
    students = answerable(teacher)
    alpha, sigma = students.schedule(one)
    assert float(sigma / alpha) == pytest.approx(MOST_AMPLIFIED, rel=0.05)
    assert answerable(students) is students
    step = float(students.schedule.timestep(one))
    assert step == pytest.approx(round(step), abs=1e-9)
    x, condition = normals(1, *teacher.shape), teacher.condition([""], None)
    for t in (0.2, 1.0):
        at = torch.tensor([t], dtype=torch.float64)
        own = at * step / float(teacher.schedule.timestep(one))
        torch.testing.assert_close(students(x, at, condition), teacher(x, own, condition))
        torch.testing.assert_close(students.denoise(teacher.network, x, at, condition), teacher(x, own, condition))


def test_errors_of_noise_predictions_are_amplified_and_no_others(tmp_path: Path):
    """d x0 / d output, where it is more than 1: sigma / alpha for noise, at most what a student is asked for."""
    for kind, expected in (("epsilon", None), ("v_prediction", 1.0), ("sample", 1.0)):
        teacher = answerable(load_diffusers_teacher(folder_with(DDPMScheduler(prediction_type=kind), tmp_path / kind)))
        t = torch.tensor([0.1, 0.6, 0.99], dtype=torch.float64)
        found = amplification(teacher, t)
        x, changed = torch.zeros(3, *teacher.shape), torch.ones(3, *teacher.shape)
        slope = [
            x0_from(teacher.prediction, output, x, *teacher.schedule(t))[:, 0, 0, 0].double() for output in (x, changed)
        ]
        torch.testing.assert_close(found, (slope[1] - slope[0]).abs().clamp(min=1.0), rtol=1e-5, atol=0)
        assert expected is None or found.tolist() == [expected] * 3
    straight = OnStraightPaths(answerable(load_diffusers_teacher(tmp_path / "epsilon")))
    one = torch.ones(1, dtype=torch.float64)
    assert float(amplification(straight, one)) == MOST_AMPLIFIED  # and not infinite


def test_a_teacher_beyond_its_last_level_sees_as_much_noise_as_it_knows(tmp_path: Path):
    """Straight paths lead to pure noise, of which a teacher of noise may know no more than its last level: told that it
    is there, with another amount of noise in x_t, it would take the difference for an image."""
    teacher = answerable(load_diffusers_teacher(folder_with(DDPMScheduler(), tmp_path / "teacher")))
    straight, one = OnStraightPaths(teacher), torch.ones(1, dtype=torch.float64)
    alpha, sigma = teacher.schedule(one)
    noise, condition = normals(1, *teacher.shape), teacher.condition([""], None)
    torch.testing.assert_close(straight(noise, one, condition), teacher(noise * float(sigma), one, condition))
    last = sigma / (alpha + sigma)
    just_there = teacher(noise * float(alpha + sigma), one, condition)
    torch.testing.assert_close(straight(noise, last, condition), just_there, rtol=1e-3, atol=1e-3)


def test_all_other_predictions_are_asked_everywhere(tmp_path: Path):
    for kind in ("v_prediction", "sample"):
        teacher = load_diffusers_teacher(folder_with(DDPMScheduler(prediction_type=kind), tmp_path / kind))
        assert teacher.prediction in (Prediction.V, Prediction.X0)
        assert answerable(teacher) is teacher


def test_a_folder_that_does_not_say_what_was_learned_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = folder_with(DDPMScheduler(prediction_type="v_prediction"), tmp_path / "teacher")
    network = load_diffusers_teacher(source).network
    wrong = lambda teacher: diffusers.DDIMScheduler()  # noqa: E731
    monkeypatch.setattr("students.folder.student_scheduler", wrong)
    with pytest.raises(StudentFolderError, match="does not say the noise levels"):
        save_student(source, network, CARD, tmp_path / "student")
    monkeypatch.undo()
    broken = tiny_unet()
    monkeypatch.setattr(type(broken), "from_pretrained", lambda *_, **__: tiny_unet_with_other_weights())
    with pytest.raises(StudentFolderError, match="could not be read as it was written"):
        save_student(source, network, CARD, tmp_path / "student")


def tiny_unet_with_other_weights() -> UNet2DModel:
    network = tiny_unet()
    with torch.no_grad():
        network.conv_out.bias.add_(1)
    return network


def test_prompts_of_the_part_that_students_learn(tmp_path: Path):
    teacher = answerable(load_diffusers_teacher(folder_with(DDPMScheduler(), tmp_path / "teacher")))
    rng = torch.Generator().manual_seed(0)
    assert len(Prompts(teacher, [""]).condition(3, rng)) == 3
