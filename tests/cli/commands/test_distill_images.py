"""`scoresmith distill --images`: pictures named after what they show, with views where the teacher wants them."""

import csv
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from PIL import Image

from cli.errors import UserError
from cli.main import main
from cli.trainings.real_images import load_real_images, square
from cli.trainings.shelves import caption_of
from sds.teachers.diffusers import load_diffusers_teacher
from students.folder import read_card
from tests.sds.tiny_shapes import talking_teacher


def picture(number: int, width: int = 12, height: int = 8) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pictures_in(folder: Path, count: int = 64) -> Path:
    (folder / "cat").mkdir(parents=True)
    for i in range(count):
        path = folder / "cat" / f"{i:03}.png" if i % 2 else folder / f"a_red_chair_{i}.png"
        imageio.imwrite(path, picture(i))
    return folder


@pytest.mark.parametrize("method", ["ict", "dmd2", "ddgan"])
def test_a_student_learns_from_pictures_what_they_show(tiny_teacher: Path, tmp_path: Path, method: str):
    folder, out = pictures_in(tmp_path / "pictures"), tmp_path / "student"
    small = ["--steps", "3", "--batch-size", "2", "--images", str(folder)]
    assert main(["distill", "--teacher", str(tiny_teacher), "--out", str(out), "--method", method, *small]) == 0
    assert read_card(out).method == method
    assert not (out / "training" / "pairs.safetensors").exists()  # no image of the teacher was needed


def test_pictures_are_cut_told_and_encoded(tiny_teacher: Path, tmp_path: Path):
    teacher = load_diffusers_teacher(tiny_teacher)
    side = teacher.shape[-1]
    folder = pictures_in(tmp_path / "pictures")
    imageio.imwrite(folder / "a_red_chair_0.png", np.full((side, 3 * side, 3), 200, np.uint8))
    real = load_real_images(folder, teacher, 2.0)
    assert len(real) == 64
    assert set(real.captions) == {"a red chair", "cat"}
    assert real.pictures.shape == (64, 3, side, side)
    assert torch.equal(real.pictures[0], torch.full((3, side, side), 200, dtype=torch.uint8))
    rng = torch.Generator().manual_seed(0)
    chosen = torch.randint(64, (5,), generator=torch.Generator().manual_seed(0))
    batch = real(5, rng)
    torch.testing.assert_close(batch.x0, real.pictures[chosen].float() / 255 * 2 - 1)
    told = real.teacher.condition([real.captions[i] for i in chosen], None)
    for name, tensor in told.tensors.items():
        assert torch.equal(batch.condition.tensors[name], tensor)


def test_captions():
    folder = Path("pictures")
    for name, caption in (
        ("a_red_chair_12.png", "a red chair"),
        ("cat.jpg", "cat"),
        ("blue-mug 3.png", "blue mug"),
        ("cat/17.png", "cat"),
        ("more/a green  sofa/x.png", "a green sofa"),
    ):
        assert caption_of(folder / name, folder) == caption
    with pytest.raises(UserError, match="does not say what it shows"):
        caption_of(folder / "0012.png", folder)


def test_views_are_read_for_teachers_that_know_them(tmp_path: Path):
    teacher, folder = talking_teacher(), pictures_in(tmp_path / "pictures")
    with pytest.raises(UserError, match=r"views\.csv must say from where"):
        load_real_images(folder, teacher, 2.0)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    rows = [{"file": n, "azimuth": i, "elevation": 15, "background": "ff8000"} for i, n in enumerate(names)]

    def write(some: list) -> None:
        with (folder / "views.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["file", "azimuth", "elevation", "background"])
            writer.writeheader()
            writer.writerows(some)

    write(rows)
    view = load_real_images(folder, teacher, 2.0).view
    torch.testing.assert_close(view.azimuth, torch.arange(64).float().deg2rad())
    torch.testing.assert_close(view.elevation, torch.full((64,), 15.0).deg2rad())
    torch.testing.assert_close(view.background[3], torch.tensor([1.0, 128 / 255, 0.0]))
    for broken in (
        rows[:-1],
        [{**row, "azimuth": "left"} for row in rows],
        [{**row, "background": "red"} for row in rows],
    ):
        write(broken)
        with pytest.raises(UserError, match="must have a line for each picture"):
            load_real_images(folder, teacher, 2.0)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: [path.unlink() for path in sorted(folder.rglob("*.png"))[:10]], "54 pictures"),
        (lambda folder: (folder / "cat" / "001.png").write_bytes(b"not a picture"), "001.png is no picture"),
        (lambda folder: imageio.imwrite(folder / "77.png", picture(1)), "does not say what it shows"),
    ],
)
def test_unfit_pictures_are_refused(tiny_teacher: Path, tmp_path: Path, capsys, damage, message: str):
    folder, out = pictures_in(tmp_path / "pictures"), tmp_path / "student"
    damage(folder)
    arguments = ["distill", "--teacher", str(tiny_teacher), "--out", str(out), "--images", str(folder)]
    assert main([*arguments, "--method", "dmd2"]) == 2
    assert message in capsys.readouterr().err
    assert main([*arguments[:-1], str(tmp_path / "nowhere")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    assert not out.exists()


def test_transparent_pictures_lie_on_white():
    assert (square(Image.fromarray(np.zeros((8, 8, 4), np.uint8)), 4) == 255).all()
