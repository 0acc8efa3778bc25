import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sds.teachers.embedded_words import Thing, Understanding
from sds.teachers.materials import COLOURS
from sds.teachers.scene import (
    OBJECT_RADIUS,
    PROPORTIONS,
    Placed,
    fitted,
    imagined_scene,
    painted_field,
    union,
    variants_of,
)
from sds.teachers.shape_prior import cell_centres
from tests.sds.imagined import TwoThings, ball, box

PRIOR = TwoThings()
SIDE = 48


def inside(field: Tensor) -> Tensor:
    return cell_centres(field.shape[-1], field.device)[(field[0] < 0).flatten()]


def extent(points: Tensor) -> Tensor:
    return points.max(0).values - points.min(0).values


def thing_field(row: int) -> Tensor:
    return PRIOR.field(PRIOR.code.weight[row], SIDE)


def of(*things: Thing, relation: str | None = None) -> Tensor:
    return imagined_scene(PRIOR, Understanding(things, relation), 0, thing_field).field  # type: ignore[arg-type]


def test_a_thing_alone_is_its_own_field() -> None:
    assert torch.equal(of(Thing("ball"))[0], ball(0.85, SIDE)[0])


def test_nothing_understood_is_anything_at_all() -> None:
    assert torch.equal(imagined_scene(PRIOR, Understanding(()), 3, thing_field).field, ball(0.7, SIDE))  # type: ignore[arg-type]


def test_a_finer_name_and_another_number_choose_among_the_variants() -> None:
    assert variants_of(PRIOR, Thing("ball")) == [1, 2]  # type: ignore[arg-type]
    assert variants_of(PRIOR, Thing("ball", fine="small ball")) == [2]  # type: ignore[arg-type]
    other = imagined_scene(PRIOR, Understanding((Thing("ball"),)), 1, thing_field).field  # type: ignore[arg-type]
    assert torch.equal(other[0], ball(0.4, SIDE)[0])


@pytest.mark.parametrize("luminance", [0.3, 0.83, 0.97])
@pytest.mark.parametrize("things", [(Thing("table", colour="blue"),), (Thing("table", 2, colour="blue"),)])
def test_what_can_be_painted_has_the_colour_asked_for_and_hardly_gleams(
    luminance: float, things: tuple[Thing, ...]
) -> None:
    """However dark its model was, and whatever light was painted into a smaller part of it."""
    gleaming = cell_centres(SIDE, torch.device("cpu"))[:, 0].unflatten(0, (SIDE,) * 3) > 0.5

    def with_a_gleam(row: int) -> Tensor:
        field = thing_field(row)
        field[5] = torch.where(gleaming, 1.0, luminance)
        return field

    scene = imagined_scene(PRIOR, Understanding(things), 0, with_a_gleam)  # type: ignore[arg-type]
    painted = scene.field if scene.paint is None else painted_field(scene.field, things[0])
    seen = painted[1:4].flatten(1)[:, (painted[0].abs() < 0.5).flatten()].T
    blue = torch.tensor(COLOURS["blue"])
    assert torch.allclose(seen.median(0).values, blue, atol=1e-5)
    assert (seen <= blue * 1.1 + 1e-5).all()


@pytest.mark.parametrize(
    ("word", "axis", "longer"), [("tall", 1, True), ("short", 1, False), ("wide", 0, True), ("narrow", 0, False)]
)
def test_proportions_stretch_along_their_axis(word: str, axis: int, longer: bool) -> None:
    plain, stretched = extent(inside(of(Thing("table")))), extent(inside(of(Thing("table", proportions=(word,)))))
    others = [i for i in range(3) if i != axis]
    before, after = plain[axis] / plain[others[0]], stretched[axis] / stretched[others[0]]
    assert (after > 1.2 * before) if longer else (after < 0.85 * before)


def test_long_stretches_what_is_longest_on_the_floor() -> None:
    plain, stretched = extent(inside(of(Thing("table")))), extent(inside(of(Thing("table", proportions=("long",)))))
    assert stretched[0] / stretched[2] > 1.3 * plain[0] / plain[2]


@settings(max_examples=12)
@given(
    st.sampled_from(["on", "under", "beside", "and", "in front of", "behind", None]),
    st.sampled_from(PROPORTIONS),
    st.integers(1, 3),
)
def test_every_scene_fits_the_ball_that_cameras_see(relation: str | None, word: str, count: int) -> None:
    points = inside(of(Thing("ball", proportions=(word,)), Thing("table", count=count), relation=relation))
    assert points.norm(dim=1).max() <= OBJECT_RADIUS + 0.06  # a cell's diagonal
    assert points.norm(dim=1).max() > 0.8 * OBJECT_RADIUS


def where(relation: str) -> tuple[Tensor, Tensor]:
    """The middles of the red ball and of the green table in a scene of the two."""
    field = of(Thing("ball"), Thing("table", colour="green"), relation=relation)
    points, green = inside(field), field[2][field[0] < 0] > 0.55
    return points[~green].mean(0), points[green].mean(0)


def test_relations_place_the_first_thing() -> None:
    ball_at, table_at = where("on")
    assert ball_at[1] > table_at[1] + 0.1
    assert (ball_at - table_at)[[0, 2]].abs().max() < 0.05
    ball_at, table_at = where("beside")
    assert ball_at[0] < table_at[0] - 0.3
    ball_at, table_at = where("in front of")
    assert ball_at[2] > table_at[2] + 0.3
    ball_at, table_at = where("behind")
    assert ball_at[2] < table_at[2] - 0.3


def test_several_stand_in_a_row_without_touching() -> None:
    field = of(Thing("ball", count=3))
    row = (field[0] < 0).any(0).any(0)  # over z and y: along x
    starts = (row[1:] & ~row[:-1]).sum() + row[0]
    assert starts == 3


def test_a_union_is_what_is_nearest() -> None:
    left, right = torch.tensor([-0.45, 0.0, 0.0]), torch.tensor([0.45, 0.0, 0.0])
    half = torch.full((3,), 0.5)
    both = union([Placed(ball(0.8), half, left), Placed(box((0.8, 0.8, 0.8)), half, right)], 64)
    points = cell_centres(64, both.device)
    negative = (both[0] < 0).flatten()
    expected = ((points - left).norm(dim=1) < 0.4) | ((points - right).abs().amax(1) < 0.4)
    assert (negative != expected).float().mean() < 0.005
    assert both[4].flatten()[((points - right).abs().amax(1) < 0.3)].min() == 1  # the box is what can be painted


def test_fitting_keeps_what_fits_already() -> None:
    placed = Placed(ball(OBJECT_RADIUS, 64), torch.ones(3), torch.zeros(3))
    (same,) = fitted([placed])
    assert torch.allclose(same.scale, placed.scale, atol=0.03)
    assert torch.allclose(same.shift, placed.shift, atol=0.03)
