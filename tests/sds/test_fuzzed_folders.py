"""Teachers' folders with anything in their configurations: they load and answer, or one line says what is wrong."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sds.denoiser import NeuralTeacher
from sds.teachers.conditioning import PromptError
from sds.teachers.diffusers import load_diffusers_teacher
from sds.teachers.embedded import load_embedded_teacher
from sds.teachers.folder import TeacherFolderError, running_strangers_network
from tests.hostile_values import STRANGE, places, replaced
from tests.sds import tiny_pipelines as tiny
from tests.sds.tiny_shapes import save_talking_teacher, view

FUZZ = settings(
    max_examples=25,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("originals")
    tiny.stable_diffusion(root / "work").save_pretrained(root / "words")
    tiny.unconditional(root / "work").save_pretrained(root / "plain")
    save_talking_teacher(root / "embedded")
    return {name: root / name for name in ("words", "plain", "embedded")}


def answer(teacher: NeuralTeacher) -> torch.Tensor:
    """What it makes of one noisy image, told a prompt and a view if it takes any."""
    for prompt in ("a red ball", ""):
        try:
            told = teacher.condition([prompt], view(1) if teacher.knows_views else None)
        except PromptError:
            continue
        with torch.no_grad():
            return teacher(torch.zeros(1, *teacher.shape), torch.full((1,), 0.5, dtype=torch.float64), told)
    return torch.zeros(1, *teacher.shape)


def complaint_of(attempt: Callable[[], object]) -> str:
    """What is said of a folder; "" if nothing is wrong with it. Raises what is no complaint."""
    try:
        attempt()
    except TeacherFolderError as error:
        return str(error)
    return ""


def load(name: str, folder: Path) -> NeuralTeacher:
    return load_embedded_teacher(folder) if name == "embedded" else load_diffusers_teacher(folder)


@pytest.mark.parametrize(("name", "examples"), [("words", 25), ("plain", 25), ("embedded", 12)])
def test_any_value_anywhere(originals: dict[str, Path], tmp_path: Path, name: str, examples: int):
    original = originals[name]
    files = sorted(path for path in original.rglob("*.json") if path.name not in ("tokenizer.json", "vocab.json"))
    choices = [(path, place) for path in files for place in places(json.loads(path.read_text()))]

    @settings(FUZZ, max_examples=examples)
    @given(choice=st.sampled_from(choices), value=st.sampled_from(STRANGE))
    def check(choice: tuple[Path, tuple[Any, ...]], value: Any) -> None:
        path, place = choice
        folder = tmp_path / "folder"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(original, folder)
        content = replaced(json.loads(path.read_text()), place, value)
        (folder / path.relative_to(original)).write_text(json.dumps(content))
        assert "\n" not in complaint_of(lambda: answer(load(name, folder)))

    check()


def test_layers_whose_shapes_do_not_fit(originals: dict[str, Path], tmp_path: Path):
    """A seed of the above: a block of another kind leaves pictures small, which only running it shows."""
    folder = tmp_path / "folder"
    shutil.copytree(originals["plain"], folder)
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"upsample_type": [1]}))
    with pytest.raises(TeacherFolderError, match="the teacher's network cannot be run"):
        answer(load("plain", folder))


@pytest.mark.parametrize(("told", "turned"), [("shapes cannot be multiplied", True), ("CUDA out of memory", False)])
def test_only_shapes_are_the_folders_fault(told: str, turned: bool):
    with pytest.raises(TeacherFolderError if turned else RuntimeError, match=told), running_strangers_network():
        raise RuntimeError(told)


@FUZZ
@given(data=st.data())
def test_any_damage_to_a_file(originals: dict[str, Path], tmp_path: Path, data: st.DataObject):
    original = originals["plain"]
    folder = tmp_path / "folder"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(original, folder)
    path = data.draw(st.sampled_from(sorted(path for path in folder.rglob("*") if path.is_file())))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, min(len(content) - 1, 400)))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2, 0, 9]))])
    assert "\n" not in complaint_of(lambda: load_diffusers_teacher(folder))
