import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from representations.geometry.mesh import Mesh
from representations.geometry.winding import edges_of, faces_to_flip, is_inside
from tests.representations.shapes import ball, box, joined_meshes, torus


def turned(mesh: Mesh, flip: np.ndarray) -> Mesh:
    return Mesh(mesh.vertices, np.where(flip[:, None], mesh.faces[:, ::-1], mesh.faces))


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_any_winding_is_mended(seed: int):
    mesh = joined_meshes(ball(1), Mesh(torus().vertices + 5, torus().faces))
    flip = np.random.default_rng(seed).random(len(mesh.faces)) < 0.5
    shuffled = turned(mesh, flip)
    np.testing.assert_array_equal(faces_to_flip(shuffled.faces, shuffled.vertices), flip)


def test_cavities_stay():
    hollow = joined_meshes(ball(2), turned(ball(2, 0.5), np.ones(320, dtype=bool)))
    assert not faces_to_flip(hollow.faces, hollow.vertices).any()
    assert not faces_to_flip(hollow.faces[:, ::-1], hollow.vertices).any()  # a ball under a sky, as far as one can see
    beside = joined_meshes(ball(2), turned(ball(2, 0.5, (3, 0, 0)), np.ones(320, dtype=bool)))
    np.testing.assert_array_equal(faces_to_flip(beside.faces, beside.vertices), np.arange(640) >= 320)


def bowl() -> Mesh:
    return ball(2).with_faces(ball(2).vertices[ball(2).faces][:, :, 1].max(axis=1) < 0.2)


def test_open_surfaces_have_no_outside():
    mesh = bowl()
    assert not faces_to_flip(mesh.faces, mesh.vertices).any()
    assert not faces_to_flip(mesh.faces[:, ::-1], mesh.vertices).any()
    few = np.arange(len(mesh.faces)) % 5 == 0
    for faces in (mesh.faces, mesh.faces[:, ::-1]):  # as most of its area says
        np.testing.assert_array_equal(faces_to_flip(np.where(few[:, None], faces[:, ::-1], faces), mesh.vertices), few)


def test_a_closed_room_stays_unless_its_normals_say_otherwise():
    room = turned(box(), np.ones(12, dtype=bool))
    assert not faces_to_flip(room.faces, room.vertices).any()
    assert faces_to_flip(room.faces, room.vertices, rooms=False).all()
    outwards = np.repeat(-room.face_normals[:, None], 3, axis=1)
    assert faces_to_flip(room.faces, room.vertices, outwards).all()
    assert not faces_to_flip(room.faces, room.vertices, -outwards).any()
    beside = joined_meshes(Mesh(room.vertices, room.faces), Mesh(box().vertices + 5, box().faces))
    np.testing.assert_array_equal(faces_to_flip(beside.faces, beside.vertices), np.arange(24) < 12)
    meant = np.repeat(beside.face_normals[:, None], 3, axis=1)
    assert not faces_to_flip(beside.faces, beside.vertices, meant).any()


def test_a_sheet_with_a_front_and_a_back_is_left_alone():
    """Four faces meet at each edge, so that no two of them are neighbours: each is a part of its own, and open."""
    mesh = bowl()
    both = np.concatenate([mesh.faces, mesh.faces[:, ::-1]])
    assert not faces_to_flip(both, mesh.vertices).any()
    assert not faces_to_flip(both, mesh.vertices, rooms=False).any()


def test_a_back_that_is_cut_along_other_diagonals_is_left_alone():
    grid = np.arange(49).reshape(7, 7)
    a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
    faces = np.stack([np.stack(three, axis=-1) for three in ((a, b, c), (a, c, d), (b, a, d), (b, d, c))], axis=2)
    flat = np.stack(np.meshgrid(np.arange(7.0), np.arange(7.0), indexing="ij"), axis=-1).reshape(49, 2)
    bent = np.column_stack([flat, np.random.default_rng(0).random(49) / 5])
    flip = faces_to_flip(faces.reshape(-1, 3), bent, rooms=False).reshape(6, 6, 4)
    assert not flip[1:-1, 1:-1].any()  # at the rim front and back are joined, and enclose something


def test_boxes_that_share_an_edge_are_closed_each():
    """At the edge that they share four faces meet, and still each of them has an outside."""
    one = box()
    pair = joined_meshes(one, Mesh(one.vertices + np.array([0.8, 1.0, 0]), one.faces))
    corners, number = np.unique(np.round(pair.vertices, 9), axis=0, return_inverse=True)
    faces = number.reshape(-1)[pair.faces]
    assert edges_of(faces, len(corners)).crowded == 1
    flip = np.arange(24) >= 12
    np.testing.assert_array_equal(faces_to_flip(np.where(flip[:, None], faces[:, ::-1], faces), corners), flip)


def test_many_loose_triangles_take_linear_time():
    corners = np.random.default_rng(0).random((60_000, 3))
    assert not faces_to_flip(np.arange(60_000).reshape(-1, 3), corners).any()


def boxes_of(low: np.ndarray, high: np.ndarray, inwards: np.ndarray) -> Mesh:
    """Boxes, each a part of its own, some of which wind inwards."""
    unit = (box().vertices - box().vertices.min(axis=0)) / np.ptp(box().vertices, axis=0)
    vertices = low[:, None] + unit * (high - low)[:, None]
    faces = np.where(inwards[:, None, None], box().faces[:, ::-1], box().faces) + 8 * np.arange(len(low))[:, None, None]
    return Mesh(vertices.reshape(-1, 3), faces.reshape(-1, 3))


def is_left_alone(number: int, low: np.ndarray, high: np.ndarray, inwards: np.ndarray) -> bool:
    """Whether a box that winds inwards lies inside one that winds outwards, or has any inside; all pairs looked at."""
    around = ((low < low[number]) & (high > high[number])).all(axis=1)
    within = ((low > low[number]) & (high < high[number])).all(axis=1)
    return bool((around & ~inwards).any() or within.any())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(2, 60))
def test_boxes_in_boxes_are_turned_as_all_pairs_say(seed: int, count: int):
    rng = np.random.default_rng(seed)
    low = rng.random((count, 3)).round(2)  # some share a side
    high = low + 0.02 + rng.random((count, 3)).round(2) * rng.random((count, 1))
    inwards = rng.random(count) < 0.5
    mesh = boxes_of(low, high, inwards)
    turn = [inwards[number] and not is_left_alone(number, low, high, inwards) for number in range(count)]
    found = faces_to_flip(mesh.faces, mesh.vertices, rooms=False)
    np.testing.assert_array_equal(found, np.repeat(turn, 12))


def test_many_parts_inside_out_are_turned_one_by_one():
    """Five thousand small boxes beside a large ball, five hundred in it: the latter are cavities."""
    place = np.stack(np.meshgrid(*[np.arange(18.0)] * 3), axis=-1).reshape(-1, 3)[:5500]
    place[5000:] = np.random.default_rng(0).random((500, 3)) * 6 - 53
    boxes = boxes_of(place, place + 0.5, np.ones(5500, dtype=bool))
    sphere = ball(4)
    mesh = joined_meshes(
        boxes, Mesh(sphere.vertices / np.linalg.norm(sphere.vertices, axis=1).max() * 20 - 50, sphere.faces)
    )
    flip = faces_to_flip(mesh.faces, mesh.vertices)
    assert flip[: 5000 * 12].all()
    assert not flip[5000 * 12 :].any()


def test_inside_is_where_the_solid_angle_is_full():
    """Of a ball within a ball: twice inside, once, or not at all; a point beside the faces' chords is in doubt."""
    inner, outer = ball(3), Mesh(ball(3).vertices * 2, ball(3).faces)
    mesh = joined_meshes(inner, outer)
    radius = float(np.linalg.norm(inner.vertices, axis=1).mean())
    points = np.random.default_rng(0).uniform(-2.4 * radius, 2.4 * radius, (300, 3))
    distance = np.linalg.norm(points, axis=1) / radius
    for chosen, edge in ((np.arange(len(inner.faces)), 1.0), (len(inner.faces) + np.arange(len(outer.faces)), 2.0)):
        sure = np.abs(distance - 0.99 * edge) > 0.02 * edge
        for faces, inwards in ((mesh.faces, False), (mesh.faces[:, ::-1], True)):
            found = np.array([is_inside(point, faces, chosen, mesh.vertices, inwards) for point in points])
            np.testing.assert_array_equal(found[sure], (distance < edge)[sure])
            assert not any(is_inside(point, faces, chosen, mesh.vertices, not inwards) for point in points)


def test_a_moebius_strip_is_left_alone():
    count = 24
    angle = np.arange(count) / count * 2 * np.pi
    rims = []
    for side in (-0.3, 0.3):
        radius = 1 + side * np.cos(angle / 2)
        rims.append(np.stack([radius * np.cos(angle), radius * np.sin(angle), side * np.sin(angle / 2)], axis=-1))
    here, there = np.arange(count), np.roll(np.arange(count), -1)
    a, b, c, d = here, there, here + count, there + count
    b[-1], d[-1] = count, 0  # the half turn
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([b, d, c], -1)])
    assert not faces_to_flip(faces, np.concatenate(rims)).any()


def test_edges_are_counted():
    edges = edges_of(box().faces, 8)
    assert (len(edges.faces), edges.open, edges.crowded, edges.twisted) == (18, 0, 0, 0)
    opened = edges_of(box().faces[:-1], 8)
    assert (opened.open, opened.crowded) == (3, 0)
    fin = np.concatenate([box().faces, [[*box().faces[0, :2], 8]]])
    assert edges_of(fin, 9).crowded == 1
    twisted = box().faces.copy()
    twisted[0] = twisted[0, ::-1]
    assert edges_of(twisted, 8).twisted == 3


def test_flipping_gives_the_volume():
    mesh = turned(torus(), np.arange(len(torus().faces)) % 3 == 0)
    mended = turned(mesh, faces_to_flip(mesh.faces, mesh.vertices))
    assert mended.volume == pytest.approx(torus().volume)
