"""The folder of the embedded teacher and its kind, and what the shipped one knows."""

import json
import math
from pathlib import Path

import pytest
import torch

from sds.schedule import cosine_schedule, schedule_from_diffusers
from sds.teachers.embedded import EMBEDDED_FOLDER, load_embedded_teacher
from sds.teachers.folder import TeacherFolderError
from sds.teachers.shape_pipeline import ShapePipeline, cosine_scheduler
from tests.sds.tiny_shapes import save_talking_teacher, talking_teacher, view


def times(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_talking_teacher(tmp_path / "teacher")


def test_a_folder_holds_the_same_teacher(folder: Path) -> None:
    saved, loaded = talking_teacher(), load_embedded_teacher(folder)
    x_t, t = torch.randn(2, 3, 16, 16), times(0.2, 0.7)
    prompts = ["red ball", "table"]
    assert loaded.shape == (3, 16, 16)
    torch.testing.assert_close(
        loaded(x_t, t, loaded.condition(prompts, view(2))), saved(x_t, t, saved.condition(prompts, view(2)))
    )


def test_the_folder_is_an_ordinary_pipeline(folder: Path) -> None:
    pipeline = ShapePipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)

    def draw(prompt: str, seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return pipeline(prompt, azimuth=90, num_inference_steps=3, generator=generator, output_type="pt").images

    picture = draw("red ball", 0)
    assert picture.shape == (1, 3, 16, 16)
    assert 0 <= float(picture.min()) <= float(picture.max()) <= 1
    torch.testing.assert_close(draw("red ball", 0), picture)
    assert float((draw("table", 0) - picture).abs().max()) > 1e-3


def test_the_scheduler_in_the_folder_is_the_schedule_of_the_teacher() -> None:
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    alpha, sigma = cosine_schedule()(t)
    stored_alpha, stored_sigma = schedule_from_diffusers(cosine_scheduler())(t)
    torch.testing.assert_close(stored_alpha, alpha, atol=2e-4, rtol=0)
    torch.testing.assert_close(stored_sigma, sigma, atol=2e-4, rtol=0)
    assert float(stored_alpha[-1]) == 0


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"shape_prior": ["os", "system"]}, "not supported"),
        ({"unet": ["sds.teachers.shape_prior", "ShapePrior"]}, "ShapePrior|mixes up"),
        ({"shape_prior": [None, None]}, "no 'shape_prior'"),
    ],
)
def test_other_classes_are_refused(folder: Path, index: dict[str, list[str]], message: str) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | index))
    with pytest.raises(TeacherFolderError, match=message):
        load_embedded_teacher(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TeacherFolderError, match="nowhere"):
        load_embedded_teacher(tmp_path / "nowhere")


def test_the_shipped_teacher_knows_its_words_and_the_camera() -> None:
    teacher = load_embedded_teacher()
    assert "left out" not in teacher.understand("a red armchair and an automobile").sentence()
    assert teacher.understand("a red chair, a dragonn").sentence().endswith("left out: dragonn")
    x_t = torch.randn(1, *teacher.shape, generator=torch.Generator().manual_seed(0))

    def picture(prompt: str, azimuth: float) -> torch.Tensor:
        return teacher.decode(teacher(x_t, times(1), teacher.condition([prompt], view(1, azimuth))))[0]

    # A red car: the middle is red. Seen from the side it is wider than from the front.
    side = picture("a red car", math.pi / 2)
    red, green, blue = side[:, 28:36, 16:48].mean((1, 2))
    assert red > green + 0.2
    assert red > blue + 0.2
    covered = [
        int(((picture("a red car", azimuth) - 1).abs().amax(0) > 0.3).any(0).sum()) for azimuth in (0, math.pi / 2)
    ]
    assert covered[1] > covered[0]


def test_the_shipped_folder_holds_no_code_and_no_pickles() -> None:
    files = [path for path in EMBEDDED_FOLDER.rglob("*") if path.is_file()]
    assert files
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".md", ".jpg", ".csv", ".xz"}
    assert sum(path.stat().st_size for path in files if path.suffix == ".safetensors") < 45e6


def test_words_that_cannot_be_read_are_named(folder: Path) -> None:
    (folder / "words").mkdir()
    with pytest.raises(TeacherFolderError, match="words cannot be read"):
        load_embedded_teacher(folder)
