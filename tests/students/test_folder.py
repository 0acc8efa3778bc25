"""Students on the disk: loaded by diffusers and by scoresmith, they draw exactly what they drew before."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from sds.denoiser import Condition
from sds.teachers.diffusers import load_diffusers_teacher
from sds.teachers.embedded import load_embedded_teacher
from sds.teachers.shape_pipeline import ShapePipeline
from sds.teachers.shape_teacher import ShapeTeacher, plain_lexicon
from students.answerable import answerable
from students.flow_map import flow
from students.folder import StudentCard, StudentFolderError, read_card, sample, save_student
from students.guided_teacher import with_guidance
from students.inputs import BIAS, INPUTS, inputs_of, load_student, save_inputs
from students.prompts import StoredView
from students.student import GUIDANCE_SCALE, Student, with_latent
from tests.sds.tiny_pipelines import deepfloyd_if
from tests.sds.tiny_shapes import save_talking_teacher, talking_teacher, talking_unet, tiny_prior
from tests.students.toys import normals

CARD = StudentCard("one-pass", [1.0], same_path=False, guidance_scale=2.0)


def embedded_folder(path: Path) -> Path:
    save_talking_teacher(path)
    return path


def trained_a_little(student: Student) -> Student:
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    return student


def view(count: int) -> StoredView:
    return StoredView(torch.full((count,), 0.5), torch.full((count,), 0.25), torch.ones(count, 3))


def test_a_student_reads_prompts_with_its_teachers_words(tmp_path: Path):
    source = embedded_folder(tmp_path / "teacher")
    plain_lexicon(tiny_prior()).only(["table"]).save(source / "words")
    teacher = load_embedded_teacher(source)
    save_student(source, Student(teacher).plain_network(), CARD, tmp_path / "student")
    assert load_embedded_teacher(tmp_path / "student").lexicon.nouns == ("table",)


def test_a_one_step_student_through_diffusers_own_pipeline(tmp_path: Path):
    """DiffusionPipeline with one step and no guidance draws, bit for bit, what the student draws."""
    source = embedded_folder(tmp_path / "teacher")
    teacher = load_embedded_teacher(source)
    student = trained_a_little(Student(teacher))
    save_student(source, student.plain_network(), CARD, tmp_path / "student")

    prompts = ["a red ball", "a blue table"]
    noise = torch.randn(2, *teacher.shape, generator=torch.Generator().manual_seed(7))
    t = torch.ones(2, dtype=torch.float64)
    with torch.no_grad():
        drawn = flow(student, noise, t, 0 * t, teacher.condition(prompts, view(2)))
    expected = teacher.decode(drawn.clamp(-1, 1))

    pipeline = ShapePipeline.from_pretrained(tmp_path / "student")
    assert isinstance(pipeline, DiffusionPipeline)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        prompts,
        azimuth=float(torch.tensor(0.5).rad2deg()),
        elevation=float(torch.tensor(0.25).rad2deg()),
        guidance_scale=1.0,
        num_inference_steps=1,
        generator=torch.Generator().manual_seed(7),
        output_type="pt",
    ).images
    torch.testing.assert_close(images, expected, rtol=0, atol=2e-5)

    loaded = load_embedded_teacher(tmp_path / "student")
    rng = torch.Generator().manual_seed(7)
    ours = sample(loaded, read_card(tmp_path / "student"), loaded.shape, loaded.condition(prompts, view(2)), rng)
    assert torch.equal(ours, drawn)


def test_a_student_of_several_steps_on_one_path_is_ddim_with_trailing_times(tmp_path: Path):
    """diffusers' scheduler and UNet classes, and no loop of ours; times differ by rounding to 1000 steps."""
    source = embedded_folder(tmp_path / "teacher")
    teacher = load_embedded_teacher(source)
    student = trained_a_little(Student(teacher))
    card = StudentCard("tract", [1.0, 0.5], same_path=True, guidance_scale=1.0)
    save_student(source, student.plain_network(), card, tmp_path / "student")

    scheduler = DDIMScheduler.from_pretrained(tmp_path / "student", subfolder="scheduler")
    unet = UNet2DConditionModel.from_pretrained(tmp_path / "student", subfolder="unet")
    loaded = ShapeTeacher(tiny_prior(), unet, plain_lexicon(tiny_prior()))
    condition = loaded.condition(["a red ball"], view(1))
    scheduler.set_timesteps(2)
    assert scheduler.timesteps.tolist() == [999, 499]
    x = torch.randn(1, *teacher.shape, generator=torch.Generator().manual_seed(1))
    for timestep in scheduler.timesteps:
        t = torch.full((1,), float(timestep) / 999, dtype=torch.float64)
        x = scheduler.step(loaded(x, t, condition), timestep, x).prev_sample
    ours = sample(loaded, card, teacher.shape, condition, torch.Generator().manual_seed(1)).clamp(-1, 1)
    torch.testing.assert_close(x, ours, rtol=0, atol=0.02)


def test_a_student_of_any_diffusers_folder(tmp_path: Path):
    torch.manual_seed(0)
    deepfloyd_if(tmp_path / "work").save_pretrained(tmp_path / "teacher")
    teacher = answerable(load_diffusers_teacher(tmp_path / "teacher"))
    student = trained_a_little(Student(teacher))
    save_student(tmp_path / "teacher", student.plain_network(), CARD, tmp_path / "student")
    loaded = load_diffusers_teacher(tmp_path / "student")
    x, t = normals(1, *teacher.shape), torch.full((1,), 0.9, dtype=torch.float64)
    with torch.no_grad():
        expected = student(x, t, 0 * t, teacher.condition(["a red ball"], None))
    torch.testing.assert_close(loaded(x, t, loaded.condition(["a red ball"], None)), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("end", [0.0, 0.4])
def test_what_a_student_is_told_is_folded_into_its_teachers_architecture(end: float):
    teacher = talking_teacher()
    student = trained_a_little(Student(teacher, told_end=True, told_guidance=True))
    x, t, s = normals(2, *teacher.shape), torch.full((2,), 0.7).double(), torch.full((2,), end).double()
    condition = teacher.condition(["a red ball", "a table"], view(2))
    told = with_guidance(type(condition)({**condition.tensors, GUIDANCE_SCALE: torch.ones(2)}), torch.full((2,), 3.0))
    with torch.no_grad():
        expected = student(x, t, s, told)
        plain = student.plain_network(end, guidance_scale=3.0)
        folded = teacher.denoise(plain, x, t, condition)
    assert plain.state_dict().keys() == teacher.network.state_dict().keys()
    torch.testing.assert_close(folded, expected, rtol=0, atol=1e-5)
    other = teacher.denoise(student.plain_network(0.9, guidance_scale=1.0), x, t, condition)
    assert not torch.allclose(other, expected, atol=1e-4)


def test_folders_that_are_no_students(tmp_path: Path):
    source = embedded_folder(tmp_path / "teacher")
    with pytest.raises(StudentFolderError, match="holds no student"):
        read_card(source)
    network = talking_unet()
    with pytest.raises(StudentFolderError, match="needs another one"):
        save_student(source, network, CARD, source)
    save_student(source, network, CARD, tmp_path / "student")
    assert read_card(tmp_path / "student") == CARD
    path = tmp_path / "student" / "student.json"
    content = json.loads(path.read_text())
    for change in ({"times": []}, {"times": [0.5, 1.0]}, {"times": ["x"]}, {"colour": "red"}):
        path.write_text(json.dumps({**content, **change}))
        with pytest.raises(StudentFolderError, match="damaged"):
            read_card(tmp_path / "student")
    index = tmp_path / "teacher" / "model_index.json"
    index.write_text(json.dumps({"_class_name": "X", "vae": ["diffusers", "AutoencoderKL"]}))
    with pytest.raises(StudentFolderError, match="no unet or transformer"):
        save_student(source, network, CARD, tmp_path / "other")


@pytest.mark.parametrize(
    "told", [{"told_end": True}, {"told_guidance": True}, {"latent": 3}, {"told_end": True, "latent": 2}]
)
def test_a_saved_student_can_still_be_told_everything(tmp_path: Path, told: dict):
    """The folder's network fits the teacher's architecture; with the file beside it, it is the student again."""
    source = embedded_folder(tmp_path / "teacher")
    teacher = load_embedded_teacher(source)
    student = trained_a_little(Student(teacher, **told))
    save_student(source, student.plain_network(guidance_scale=2.0), CARD, tmp_path / "student")
    save_inputs(inputs_of(student), tmp_path / "student")
    loaded = load_embedded_teacher(tmp_path / "student")
    able = load_student(tmp_path / "student", loaded)
    assert isinstance(able, Student)
    x, condition = normals(2, *teacher.shape), teacher.condition(["a red ball", "a table"], view(2))
    rng = torch.Generator().manual_seed(0)
    full = Condition(
        {**with_latent(condition, max(1, student.latent), rng).tensors, GUIDANCE_SCALE: torch.tensor([1.0, 5.0])}
    )
    t, s = torch.full((2,), 0.9).double(), torch.tensor([0.3, 0.6]).double()
    with torch.no_grad():
        torch.testing.assert_close(able(x, t, s, full), student(x, t, s, full), rtol=0, atol=1e-5)
        assert not torch.allclose(able(x, t, s, full), loaded(x, t, full), atol=1e-4)  # which is told one thing only

    drawn = sample(able, CARD, teacher.shape, condition, torch.Generator().manual_seed(1))
    direct = sample(student, CARD, teacher.shape, condition, torch.Generator().manual_seed(1))
    torch.testing.assert_close(drawn, direct, rtol=0, atol=1e-5)
    plain = trained_a_little(Student(teacher))
    save_inputs(inputs_of(plain), tmp_path / "student")
    assert load_student(tmp_path / "student", loaded) is loaded


def test_inputs_of_another_student_are_refused(tmp_path: Path):
    source = embedded_folder(tmp_path / "teacher")
    teacher = load_embedded_teacher(source)
    save_inputs(inputs_of(Student(teacher, told_end=True)), tmp_path)
    tensors = load_file(tmp_path / INPUTS)
    for change, message in (
        (lambda t: t.pop(BIAS), "damaged, or another"),
        (lambda t: t.update({"student_end.0.weight": torch.zeros(7, 2)}), "damaged, or another"),
        (lambda t: t.update({"surprise": torch.zeros(1)}), "of which this student knows nothing"),
    ):
        broken = dict(tensors)
        change(broken)
        save_file(broken, tmp_path / INPUTS)
        with pytest.raises(StudentFolderError, match=message):
            load_student(tmp_path, teacher)
    (tmp_path / INPUTS).write_bytes(b"damaged")
    with pytest.raises(StudentFolderError, match="damaged, or another"):
        load_student(tmp_path, teacher)


def test_another_number_of_steps():
    free = StudentCard("ctm", [0.8], same_path=True, guidance_scale=2.0)
    assert free.with_steps(4).times == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert free.with_steps(1) is free
    with pytest.raises(ValueError, match="one step or more"):
        free.with_steps(0)
    fixed = StudentCard("progressive", [1.0, 0.5], same_path=True, guidance_scale=2.0, fixed_steps=True)
    assert fixed.with_steps(2) is fixed
    with pytest.raises(StudentFolderError, match="made by progressive for 2 steps and knows no others"):
        fixed.with_steps(3)


def test_a_student_that_is_told_the_end_follows_its_path_to_it(tmp_path: Path):
    """In two steps: to the state at 0.5, of which it is told, and from there to the image."""
    teacher = talking_teacher()
    student = trained_a_little(Student(teacher, told_end=True))
    card = StudentCard("ctm", [1.0], same_path=True, guidance_scale=2.0).with_steps(2)
    condition = teacher.condition(["a table"], view(1))
    noise = torch.randn(1, *teacher.shape, generator=torch.Generator().manual_seed(1))
    one, half, zero = (torch.full((1,), value, dtype=torch.float64) for value in (1.0, 0.5, 0.0))
    with torch.no_grad():
        expected = flow(student, flow(student, noise, one, half, condition), half, zero, condition)
    drawn = sample(student, card, teacher.shape, condition, torch.Generator().manual_seed(1))
    assert torch.equal(drawn, expected)
