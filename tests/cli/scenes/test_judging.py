"""What an object looks like to a classifier of single things: of several, each by itself."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from cli.scenes import results
from cli.scenes.judging import JUDGED_SIZE, Judge, judge_for, judge_pictures, judged_cameras
from cli.scenes.request import Request
from cli.scenes.run_folder import RunFolder
from cli.viewer.run_page import write_report
from representations.gaussians.cloud import GaussianCloud
from sds.recognition import Recogniser
from sds.teachers.embedded import EMBEDDED_FOLDER
from sds.teachers.shape_teacher import load_shape_teacher


class OneBlob(Recogniser):
    """Is sure of a "blob" where a picture shows one dark thing, and of a "pair" where it shows two."""

    def __init__(self) -> None:
        super().__init__({noun: [noun] for noun in ("blob", "pair", "ring")}, channels=(8,) * 5)

    def logits(self, images: Tensor) -> Tensor:
        dark = (images.mean(1) < 0.5).any(1).int()  # (B, W): which columns show something
        count = (dark.diff(dim=1, prepend=torch.zeros_like(dark[:, :1])) > 0).sum(1)
        return torch.stack([(count == 1) * 5.0, (count == 2) * 5.0, torch.full_like(count, 1.0)], dim=1).float()


JUDGE = Judge(OneBlob(), "blob", Path())


def pictures(blobs: int) -> Tensor:
    images = torch.ones(3, 3, 64, 64)
    for blob in range(blobs):
        images[:, :, 20:44, 8 + 28 * blob : 28 + 28 * blob] = 0.1
    return images


@pytest.mark.parametrize(
    ("several", "blobs", "recognised"), [(False, 1, True), (False, 2, False), (True, 2, True), (True, 0, False)]
)
def test_of_several_things_a_part_must_show_one(several: bool, blobs: int, recognised: bool) -> None:
    verdict = Judge(OneBlob(), "blob", Path(), several=several).verdict(pictures(blobs))
    assert verdict["recognised"] is recognised
    assert verdict["views_recognised"] == float(recognised)


@pytest.mark.parametrize(
    ("prompt", "noun", "others", "finer"),
    [
        ("a red chair", "chair", (), 1),
        ("two striped chairs", "chair", (), 2),
        ("a cat on a chair", "cat", ("chair",), 2),
    ],
)
def test_pictures_of_several_things_are_finer(prompt: str, noun: str, others: tuple[str, ...], finer: int) -> None:
    judge = judge_for(Request(prompt))
    assert judge is not None
    assert (judge.noun, judge.others, judge.size) == (noun, others, finer * JUDGED_SIZE)


@pytest.mark.parametrize(("several", "side"), [(False, JUDGED_SIZE), (True, 2 * JUDGED_SIZE)])
def test_gaussians_are_judged_as_finely_as_meshes(several: bool, side: int, tmp_path: Path, monkeypatch) -> None:
    judged = []
    monkeypatch.setattr(results, "judge_pictures", lambda images, cameras, *_: judged.append((images, cameras)) or {})
    monkeypatch.setattr(results, "imagined", lambda *_: torch.ones(8, 3, 8, 8))
    folder, scene = RunFolder(tmp_path), SimpleNamespace(shown=GaussianCloud(20), teacher=None)
    results.write_gaussians(scene, Request("blobs"), folder, Judge(OneBlob(), "blob", Path(), several=several))
    ((images, cameras),) = judged
    assert images.shape == (8, 3, side, side)
    assert cameras.size == side
    torch.testing.assert_close(images, scene.shown(judged_cameras(side)).image)


def test_what_is_measured_can_be_read_again_and_is_on_the_page(tmp_path: Path) -> None:
    folder, teacher = RunFolder(tmp_path), load_shape_teacher(EMBEDDED_FOLDER)
    folder.begin({"prompt": "a blob", "request": {}, "versions": {}}, overwrite=False)
    made = judge_pictures(pictures(1).repeat(3, 1, 1, 1)[:8], judged_cameras(64), Request("a red mug"), teacher, JUDGE)
    folder.write_metrics(made)
    assert folder.read_metrics() == made
    page = write_report(folder).read_text(encoding="utf-8")
    assert "of the views are recognised as a blob" in page
    assert "of side and back views look like the front" in page
    with pytest.raises(ValidationError, match="janus_score"):
        folder.write_metrics({"sides": {"janus_score": 7.0}})
    assert folder.read_metrics() == made
