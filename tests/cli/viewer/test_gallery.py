"""A folder of runs: which are found, what is told of each, and that nothing else is handed out."""

import io
import json
import os
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import torch
from PIL import Image

from cli.errors import UserError
from cli.pictures import write_sheet
from cli.scenes.run_folder import RunFolder, write_json
from cli.viewer.gallery import Gallery, runs_below, thumbnail
from cli.viewer.pages import lookup_for
from cli.viewer.server import Lookup
from tests.cli.viewer.folders import run_folder, student_folder


def begun(path: Path, prompt: str = "a red ball") -> RunFolder:
    """A run of which nothing but run.json is there."""
    path.mkdir(parents=True)
    request = {"prompt": prompt, "method": "sds", "seed": 7}
    write_json(RunFolder(path).configuration, {"prompt": prompt, "request": request, "versions": {}})
    return RunFolder(path)


def facts_in(lookup: Lookup) -> dict[str, dict]:
    answer = lookup("/runs.json")
    assert answer is not None
    assert isinstance(answer.content, bytes)
    return {facts["name"]: facts for facts in json.loads(answer.content)}


def test_runs_are_found_below_and_not_inside_each_other_nor_behind_links(tmp_path: Path):
    root = tmp_path / "root"
    for name in ("b", "a/deep", "a/deep/inside", ".hidden", "1/2/3/4", "1/2/3/5/too-deep"):
        begun(root / name)
    begun(tmp_path / "elsewhere")
    student_folder(root / "student")
    os.symlink(tmp_path / "elsewhere", root / "link")
    os.symlink(root, root / "a" / "circle")
    assert [path.relative_to(root).as_posix() for path in runs_below(root)] == ["1/2/3/4", "a/deep", "b"]


def test_what_is_told_of_a_run(tmp_path: Path):
    run_folder(tmp_path / "ball").report.write_text("page")
    begun(tmp_path / "mug", "<b>a mug</b>")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    told = facts_in(lookup_for(tmp_path))
    ball = told["ball"]
    assert (ball["state"], ball["noun"], ball["recognised"], ball["janus"]) == ("finished", "orange", 0.75, 0.25)
    assert (ball["faces"], ball["watertight"], ball["method"], ball["seed"]) == (1280, True, "vsd", 7)
    assert ball["seconds"] == 66
    assert (told["mug"]["state"], told["mug"]["prompt"], told["mug"]["picture"]) == (
        "unfinished",
        "<b>a mug</b>",
        False,
    )
    assert told["broken"]["state"] == "damaged"
    assert "damaged" in told["broken"]["error"]


def test_only_what_has_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    gallery = Gallery(tmp_path)
    begun(tmp_path / "a")
    mug = begun(tmp_path / "b", "a mug")
    before = gallery.entries()
    write_json(mug.metrics, {"sides": {"janus_score": 0.5}})
    after = gallery.entries()
    assert after["a"] is before["a"]
    assert after["b"].facts["janus"] == 0.5
    mug.configuration.unlink()
    assert list(gallery.entries()) == ["a"]


def test_each_run_has_its_page_and_files_below_its_name(tmp_path: Path):
    name = "tall & red?#%/ball é"
    (tmp_path / name).parent.mkdir()
    folder = run_folder(tmp_path / name)
    lookup = lookup_for(tmp_path)
    address = "/" + facts_in(lookup)[name]["address"]
    assert address == f"/runs/{quote(name)}/"
    page = lookup(address)
    assert page is not None
    assert isinstance(page.content, bytes)
    assert '<a href="/">All runs</a>' in page.content.decode()
    model = lookup(f"{address}mesh.glb")
    assert model is not None
    assert model.content == folder.mesh


@pytest.mark.parametrize(
    "path",
    [
        *("/runs/", "/runs/ball", "/runs/none/", "/runs/ball/run.toml", "/runs/ball/../ball/mesh.glb", "/mesh.glb"),
        *("/runs/%2e%2e/ball/", "/runs/ball/..%2fsecret", "/runs/./", "/runs//ball/", "/runs/ball%00/", "/runs/%ff/"),
    ],
)
def test_nothing_else_is_handed_out(tmp_path: Path, path: str):
    run_folder(tmp_path / "ball").options.write_text("seed = 1")
    (tmp_path / "secret").write_text("secret")
    assert lookup_for(tmp_path)(path) is None


def test_the_thumbnail_is_the_front_view(tmp_path: Path):
    folder = run_folder(tmp_path / "ball")
    red, blue = (torch.eye(3)[colour][None, :, None, None].expand(1, 3, 8, 8) for colour in (0, 2))
    write_sheet(folder.preview, [torch.cat([red, blue]), torch.cat([blue, blue])])
    content = thumbnail(folder)
    assert content is not None
    picture = Image.open(io.BytesIO(content))
    assert (picture.format, picture.size) == ("JPEG", (160, 160))
    assert np.asarray(picture).mean(axis=(0, 1)) == pytest.approx([255, 0, 0], abs=4)
    write_sheet(folder.preview, [blue, red], size=256)  # as of a flat picture
    content = thumbnail(folder)
    assert content is not None
    assert np.asarray(Image.open(io.BytesIO(content))).mean(axis=(0, 1)) == pytest.approx([0, 0, 255], abs=4)
    folder.preview.write_bytes(b"no picture")
    with pytest.raises(UserError, match="no picture"):
        thumbnail(folder)
    folder.preview.unlink()
    assert thumbnail(folder) is None
