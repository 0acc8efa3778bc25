"""A picture's object is found, put in the middle, and what is made looks like it from the front."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cli.errors import UserError
from cli.scenes.photo import COLOUR_WEIGHT, FILLED, MASK_WEIGHT, SIDE, LikeThePhoto, Photo, read_photo
from cli.scenes.request import Request


def written(path: Path, colours: np.ndarray) -> Path:
    Image.fromarray((colours * 255).astype(np.uint8)).save(path)
    return path


def red_box(background: float = 0.2) -> np.ndarray:
    """20 x 10 pixels of red before a gray."""
    colours = np.full((40, 60, 3), background)
    colours[5:15, 30:50] = (1, 0, 0)
    return colours


def middle_rows(photo: Photo) -> int:
    return int((photo.mask[0, :, SIDE // 2] > 0.5).sum())


def test_an_object_before_one_colour_is_put_in_the_middle(tmp_path: Path):
    photo = read_photo(written(tmp_path / "box.png", red_box()))
    assert int((photo.mask[0, SIDE // 2] > 0.5).sum()) == pytest.approx(FILLED * SIDE, abs=2)
    assert middle_rows(photo) == pytest.approx(FILLED * SIDE / 2, abs=2)
    assert torch.equal(photo.image[:, 0, 0], torch.ones(3))
    torch.testing.assert_close(photo.image[:, SIDE // 2, SIDE // 2], torch.tensor([1.0, 0.0, 0.0]), atol=0.01, rtol=0)


def test_what_has_the_background_colour_inside_the_object_stays(tmp_path: Path):
    colours = red_box()
    colours[8:12, 38:42] = 0.2
    assert float(read_photo(written(tmp_path / "ring.png", colours)).mask[0, SIDE // 2, SIDE // 2]) == 1


def test_transparency_and_a_mask_win(tmp_path: Path):
    uneven = np.random.default_rng(0).random((40, 60, 3))
    alpha = np.zeros((40, 60, 1))
    alpha[10:20, 10:20] = 1
    cut_out = written(tmp_path / "cut.png", np.concatenate([uneven, alpha], axis=2))
    mask = written(tmp_path / "mask.png", alpha[..., 0])
    by_alpha, by_mask = read_photo(cut_out), read_photo(written(tmp_path / "whole.png", uneven), mask)
    assert middle_rows(by_alpha) == middle_rows(by_mask) == pytest.approx(FILLED * SIDE, abs=2)
    torch.testing.assert_close(by_alpha.image, by_mask.image, atol=0.02, rtol=0)


def test_pictures_without_a_clear_object_are_refused(tmp_path: Path):
    uneven = written(tmp_path / "uneven.png", np.random.default_rng(0).random((40, 60, 3)))
    with pytest.raises(UserError, match=r"not of one colour.*--image-mask"):
        read_photo(uneven)
    with pytest.raises(UserError, match=r"fills 0.0%"):
        read_photo(written(tmp_path / "empty.png", np.full((40, 60, 3), 0.5)))
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(UserError, match="no picture"):
        read_photo(tmp_path / "no.png")


def test_the_wish_is_met_by_the_picture_itself_and_weighs_what_differs(tmp_path: Path):
    photo = read_photo(written(tmp_path / "box.png", red_box()))
    wanted: list[Any] = []

    def generator(camera: Any) -> Any:
        wanted.append(camera)
        mask = torch.nn.functional.interpolate(photo.mask[None], (16, 16), mode="bilinear", antialias=True)
        cut = torch.nn.functional.interpolate(
            (photo.image + photo.mask - 1)[None], (16, 16), mode="bilinear", antialias=True
        )
        image = cut + (1 - mask) * camera.background[..., None, None]
        return SimpleNamespace(image=image + 0.1 * len(wanted) - 0.1, opacity=mask + 0.2 * len(wanted) - 0.2)

    term = LikeThePhoto(generator, photo, 0.3, 16, torch.device("cpu"))
    rng = torch.Generator().manual_seed(0)
    assert float(term(None, torch.zeros(1), 0.5, rng)) == pytest.approx(0, abs=1e-6)
    assert float(term(None, torch.zeros(1), 0.5, rng)) == pytest.approx(
        COLOUR_WEIGHT * 0.01 + MASK_WEIGHT * 0.04, rel=1e-3
    )
    assert float(wanted[0].azimuth) == 0
    assert float(wanted[0].elevation) == pytest.approx(0.3)
    assert float(wanted[0].background[0, 0]) != float(wanted[1].background[0, 0])


def test_requests_that_cannot_be_met_are_refused():
    with pytest.raises(ValueError, match="stages cannot be pixels"):
        Request("a", image="a.png", stages=("pixels",))
    with pytest.raises(ValueError, match="image_elevation"):
        Request("a", image="a.png", image_elevation=91)
    assert Request("a", image="a.png", teacher="b").recipe("nerf").guidance.scale == 3
