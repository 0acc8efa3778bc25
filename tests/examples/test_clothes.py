"""Fashion-MNIST as a subject of the comparison: its files, its features, its teacher's folder."""

import gzip
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from sds.teachers.diffusers import load_diffusers_teacher

FOLDER = Path(__file__).parents[2] / "examples" / "compare_students"


@pytest.fixture(scope="module")
def clothes() -> Iterator[ModuleType]:
    sys.path.insert(0, str(FOLDER))
    import clothes

    yield clothes
    sys.path.remove(str(FOLDER))


def write_idx(path: Path, magic: int, values: np.ndarray) -> None:
    sizes = struct.pack(f">{values.ndim}i", *values.shape)
    path.write_bytes(gzip.compress(struct.pack(">i", magic) + sizes + values.tobytes()))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Pictures of ten kinds that a glance tells apart: a bright row at another height."""
    folder = tmp_path / "data"
    folder.mkdir()
    for part, count in (("train", 400), ("t10k", 600)):
        kinds = (np.arange(count) % 10).astype(np.uint8)
        pictures = np.zeros((count, 28, 28), np.uint8)
        pictures[np.arange(count), 4 + 2 * kinds] = 255
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", 2051, pictures)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", 2049, kinds)
    return folder


def test_files_become_pictures_and_kinds(clothes: ModuleType, data: Path) -> None:
    pictures, kinds = clothes.labelled(data, "train")
    assert pictures.shape == (400, 3, 28, 28)
    assert kinds[:3].tolist() == [0, 1, 2]
    assert pictures[2, :, 8].eq(1).all()
    assert float(pictures[2].sum()) == 3 * 28


@pytest.mark.parametrize(
    ("content", "told"), [(None, "dataset-fashion-mnist"), (gzip.compress(b"zip!"), "no IDX file")]
)
def test_other_files_are_told(clothes: ModuleType, data: Path, content: bytes | None, told: str) -> None:
    path = data / "train-labels-idx1-ubyte.gz"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((FileNotFoundError, ValueError), match=told):
        clothes.labelled(data, "train")


def test_one_command_makes_the_judge_and_the_teacher(
    clothes: ModuleType, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["clothes.py", "--out", str(out), "--data", str(data), "--steps", "2"])
    clothes.main()
    assert "100.0% of unseen pictures right" in capsys.readouterr().out
    subject = clothes.clothes(data, out / "classifier.safetensors")
    assert len(subject.held_out[0]) == clothes.HELD_OUT == 500
    assert subject.wanted()[:2] == ["top", "trouser"]
    features = subject.features(subject.held_out[0][:20])
    assert features.shape == (20, 64)
    nearest = torch.cdist(features[10:], features[:10]).argmin(1)
    assert nearest.tolist() == list(range(10))  # a kind lies beside itself
    assert load_diffusers_teacher(out / "teacher").shape == (3, 28, 28)
