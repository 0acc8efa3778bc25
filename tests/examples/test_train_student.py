"""From meshes to the student that is shipped, in its smallest form: pictures, reference, training, publication."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cli.main import main
from cli.trainings.real_images import load_real_images
from sds.recognition import Recogniser
from sds.teachers.embedded import load_embedded_teacher
from students.folder import read_card
from students.inputs import load_student
from tests.examples.test_train_teacher import data, mesh_folder, run  # the fixtures of tiny meshes
from tests.sds.tiny_shapes import save_tiny_shape_teacher

__all__ = ["data", "mesh_folder"]


@pytest.fixture(scope="module")
def pictures(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pictures")
    assert run("export_pictures.py", "--data", data, "--out", out, "--count", 64).strip() == "64"
    return out


def test_pictures_are_read_as_they_were_written(pictures: Path):
    with (pictures / "views.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 64
    assert {row["file"].split("/")[0].split()[-1] for row in rows} == {"ball", "box"}
    teacher = load_embedded_teacher()
    real = load_real_images(pictures, teacher, 1.0)
    order = sorted(range(64), key=lambda i: rows[i]["file"])  # files are read in the order of their names
    azimuth = torch.tensor([math.radians(float(rows[i]["azimuth"])) for i in order])
    torch.testing.assert_close(real.view.azimuth, azimuth, rtol=0, atol=1e-5)
    for caption, i in zip(real.captions, order, strict=True):
        assert caption == rows[i]["file"].split("/")[0]
    # The first corner of a picture shows the background that the teacher is told.
    torch.testing.assert_close(real.pictures[:, :, 0, 0].float() / 255, real.view.background, rtol=0, atol=2 / 255)


def test_a_reference_holds_what_the_classifier_sees(data: Path, tmp_path: Path):
    from make_reference import make_reference

    table = tmp_path / "held_out.csv"
    table.write_text("colour,noun\nblue,ball\n")
    recogniser = Recogniser.load()
    reference = make_reference(data, recogniser, 24, table)
    assert reference.features.shape == (24, recogniser.config["channels"][-1])
    assert len(reference.prompts) == len(reference.view.azimuth) == 24
    assert "blue ball" not in reference.prompts
    again = make_reference(data, recogniser, 24, table)
    assert torch.equal(again.features, reference.features)


def test_a_student_is_trained_published_and_drawn_from(pictures: Path, tmp_path: Path, capsys):
    student, shipped = tmp_path / "student", tmp_path / "shipped"
    how = ["--method", "ufogen", "--start", "0.9", "--guidance-scale", "1", "--features", "learning", "--bfloat16"]
    sizes = ["--batch-size", "2", "--steps", "4", "--seed", "0"]
    teacher = save_tiny_shape_teacher(tmp_path / "teacher")
    assert (
        main(["distill", "--teacher", str(teacher), "--images", str(pictures), "--out", str(student), *how, *sizes])
        == 0
    )
    run("publish_student.py", "--student", student, "--out", shipped)
    described = json.loads((shipped / "training" / "run.json").read_text())
    assert described["request"]["images"] == pictures.name
    assert str(tmp_path) not in "".join(path.read_text() for path in shipped.rglob("*.json"))
    assert {path.name for path in (shipped / "training").iterdir()} == {"run.json"}
    full, half = (load_file(folder / "unet" / "diffusion_pytorch_model.safetensors") for folder in (student, shipped))
    for name, weight in full.items():
        assert half[name].dtype == torch.float16
        torch.testing.assert_close(half[name].float(), weight, rtol=1e-3, atol=1e-5)
    network = load_embedded_teacher(shipped)
    assert load_student(shipped, network) is network
    assert read_card(shipped).times == [0.9]
    capsys.readouterr()
    assert main(["sample", str(shipped), "a red ball", "--count", "2", "--out", str(tmp_path / "drawn")]) == 0
    assert len(capsys.readouterr().out.split()) == 2
