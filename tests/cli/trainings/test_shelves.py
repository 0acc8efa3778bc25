"""Real pictures on shelves: folders, webdataset shards, parquet files; read when they are wanted."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cli.errors import UserError
from cli.trainings import real_images
from cli.trainings.real_images import load_real_images
from cli.trainings.shelves import open_shelf
from sds.teachers.diffusers import load_diffusers_teacher


def png(number: int, size: int = 6) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), number % 256, np.uint8)).save(file, "PNG")
    return file.getvalue()


def shard(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_captions_beside_pictures_and_in_metadata(tmp_path: Path):
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.png").write_bytes(png(1))
    (tmp_path / "one.txt").write_text("a cat\n on a mat ")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "two.png", "text": "a dog"}\n\n')
    shelf = open_shelf(tmp_path)
    assert dict(zip((Path(name).stem for name in shelf.names), shelf.captions, strict=True)) == {
        "one": "a cat on a mat",
        "two": "a dog",
        "three": "three",
    }
    (tmp_path / "metadata.jsonl").write_text('{"text": "a dog"}')
    with pytest.raises(UserError, match="must say file_name and one of caption, text"):
        open_shelf(tmp_path)


def test_shards_are_read_where_they_lie(tmp_path: Path):
    files = {"a/1.png": png(1), "a/1.txt": b"a cat", "a/2.tiny.jpg": b"no", "b/1.jpeg": png(3), "b/1.cls": b"7"}
    shard(tmp_path / "0.tar", {**files, "a/notes.md": b"nothing"})
    shard(tmp_path / "1.tar", {"x.json": json.dumps({"caption": "a red mug"}).encode(), "x.webp": png(4)})
    shelf = open_shelf(tmp_path)
    assert list(shelf.captions) == ["a cat", "7", "a red mug"]
    assert [shelf.fetch(i) for i in range(3)] == [png(1), png(3), png(4)]
    assert list(open_shelf(tmp_path / "1.tar").captions) == ["a red mug"]


@pytest.mark.parametrize(
    ("files", "mode", "message"),
    [
        ({"1.png": png(1)}, "w", "1 has no caption beside it"),
        ({"1.png": png(1), "1.json": b'{"words": 1}'}, "w", "1 has no caption beside it"),
        ({"1.png": png(1), "1.txt": b"a cat"}, "w:gz", "is no tar archive that can be read"),
    ],
)
def test_unfit_shards_are_refused(tmp_path: Path, files: dict[str, bytes], mode: str, message: str):
    with pytest.raises(UserError, match=message):
        open_shelf(shard(tmp_path / "0.tar", files, mode))


def test_a_link_in_a_shard_is_no_picture(tmp_path: Path):
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        link = tarfile.TarInfo("1.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert len(open_shelf(tmp_path / "0.tar")) == 0


def test_parquet_files_of_hugging_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    rows = {"image": [{"bytes": png(i), "path": None} for i in range(3)], "label": [0, 1, 1]}
    datasets.Dataset.from_dict(rows, features=datasets.Features(kinds)).to_parquet(str(tmp_path / "0.parquet"))
    shelf = open_shelf(tmp_path)
    assert list(shelf.captions) == ["cat", "dog", "dog"]
    assert [shelf.fetch(i) for i in range(3)] == [png(i) for i in range(3)]
    (tmp_path / "0.parquet").write_bytes(b"nothing")
    with pytest.raises(UserError, match="not parquet files that can be read"):
        open_shelf(tmp_path)


def test_many_pictures_are_read_for_each_batch_and_are_the_same(tiny_teacher: Path, tmp_path: Path, monkeypatch):
    files = {f"{i:03}.{ending}": what for i in range(70) for ending, what in (("png", png(i)), ("txt", b"a cat"))}
    place, teacher = shard(tmp_path / "0.tar", files), load_diffusers_teacher(tiny_teacher)
    held = load_real_images(place, teacher, 1.0)
    monkeypatch.setattr(real_images, "IN_MEMORY", 0)
    read = load_real_images(place, teacher, 1.0)
    assert isinstance(held.pictures, torch.Tensor)
    assert not isinstance(read.pictures, torch.Tensor)
    batches = [source(5, torch.Generator().manual_seed(3)) for source in (held, read)]
    assert torch.equal(batches[0].x0, batches[1].x0)
    place.write_bytes(place.read_bytes()[:2000])
    with pytest.raises(UserError, match="ends before what it holds does"):
        read(64, torch.Generator())
