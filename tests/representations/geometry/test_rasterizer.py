"""The z-buffer kernel against a plain reference, and cases whose answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from representations.geometry.rasterizer import Cutout, Visibility, rasterize


def reference(vertices: NDArray[np.float32], faces: NDArray[np.int32], size: int) -> Visibility:
    """Every face at every pixel, in float64 and without any shortcut."""
    face_out = np.full((size, size), -1, np.int32)
    weights_out = np.zeros((size, size, 3), np.float32)
    depth_out = np.full((size, size), np.inf, np.float32)
    rows, columns = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5, indexing="ij")
    for index, face in enumerate(faces):
        corners = vertices[face].astype(np.float64)
        w = corners[:, 3]
        if (w <= 0).any():
            continue
        x = (corners[:, 0] / w + 1) / 2 * size
        y = (1 - corners[:, 1] / w) / 2 * size
        matrix = np.stack([x, y, np.ones(3)])
        if abs(np.linalg.det(matrix)) < 1e-9:
            continue
        points = np.stack([columns.ravel(), rows.ravel(), np.ones(size * size)])
        on_screen = np.linalg.solve(matrix, points)
        inverse_depth = (on_screen / w[:, None]).sum(0)
        depth = 1 / inverse_depth
        weights = on_screen / w[:, None] * depth
        better = ((on_screen >= 0).all(0) & (depth < depth_out.ravel())).reshape(size, size)
        face_out[better] = index
        depth_out[better] = depth.reshape(size, size)[better]
        weights_out[better] = weights.T.reshape(size, size, 3)[better]
    return Visibility(face_out, weights_out, depth_out)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31))
def test_agrees_with_the_reference_on_random_triangles(seed: int) -> None:
    generator = np.random.default_rng(seed)
    w = generator.uniform(0.5, 3, (24, 1))
    vertices = np.concatenate([generator.uniform(-1.3, 1.3, (24, 3)) * w, w], axis=1).astype(np.float32)
    faces = generator.permutation(24).reshape(8, 3).astype(np.int32)
    seen, expected = rasterize(vertices, faces, 16, 16), reference(vertices, faces, 16)
    # Rounding may decide differently about a pixel centre that lies on an edge to within float32.
    same = seen.face == expected.face
    assert same.mean() > 0.98
    both = same & (seen.face >= 0)
    np.testing.assert_allclose(seen.depth[both], expected.depth[both], rtol=1e-3)
    np.testing.assert_allclose(seen.barycentric[both], expected.barycentric[both], atol=2e-3)
    np.testing.assert_allclose(seen.barycentric[seen.face >= 0].sum(1), 1, atol=1e-5)


def square(depth: float, side: float = 2.0) -> NDArray[np.float32]:
    """Corners of an upright square at distance `depth`, in clip space of a camera with focal length 1."""
    half = side / 2
    return np.array([[x * half, y * half, 0, depth] for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))], np.float32)


TWO_TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def test_the_nearer_square_hides_the_farther_one() -> None:
    vertices = np.concatenate([square(2.0, 4.0), square(1.0, 1.0)])
    faces = np.concatenate([TWO_TRIANGLES, TWO_TRIANGLES + 4])
    seen = rasterize(vertices, faces, 8, 8)
    assert (seen.face[2:6, 2:6] >= 2).all()
    assert (seen.depth[2:6, 2:6] == 1).all()
    assert (seen.depth[0] == 2).all()
    assert set(seen.face[0]) <= {0, 1}


def test_row_zero_is_the_top_and_weights_name_the_corners() -> None:
    vertices = np.array([[-1, 1, 0, 1], [1, 1, 0, 1], [-1, -1, 0, 1]], np.float32)
    seen = rasterize(vertices, np.array([[0, 1, 2]], np.int32), 64, 64)
    assert seen.face[0, 0] == 0
    assert seen.face[63, 63] == -1
    assert seen.barycentric[0, 0].argmax() == 0
    assert seen.barycentric[0, 60].argmax() == 1
    assert seen.barycentric[60, 0].argmax() == 2
    assert np.isinf(seen.depth[63, 63])


def test_interpolation_is_perspective_correct() -> None:
    """A floor from w = 1 to w = 3: halfway down the screen w is harmonic, 1 / mean(1, 1/3) = 1.5, not 2."""
    vertices = np.array([[-9, -1, 0, 1], [9, -1, 0, 1], [0, 3, 0, 3]], np.float32)
    seen = rasterize(vertices, np.array([[0, 1, 2]], np.int32), 101, 101)
    assert seen.depth[50, 50] == pytest.approx(1.5, rel=1e-5)
    assert seen.barycentric[50, 50, 2] == pytest.approx(0.25, abs=1e-5)


def test_holes_show_what_is_behind() -> None:
    vertices = np.concatenate([square(2.0, 4.0), square(1.0)])
    faces = np.concatenate([TWO_TRIANGLES, TWO_TRIANGLES + 4])
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    uv = np.concatenate([np.zeros((2, 3, 2), np.float32), corners[TWO_TRIANGLES]])
    opaque = np.array([[[True, False], [False, True]]])
    seen = rasterize(vertices, faces, 8, 8, Cutout(uv, opaque, np.array([-1, -1, 0, 0], np.int32)))
    in_front = seen.face >= 2
    assert in_front[:4, :4].all()
    assert in_front[4:, 4:].all()
    assert not in_front[:4, 4:].any()
    assert not in_front[4:, :4].any()
    assert (seen.face >= 0).all()


def test_faces_beside_and_behind_the_camera_are_left_out() -> None:
    vertices = np.array([[-1, -1, 0, 1], [1, -1, 0, -1], [0, 1, 0, 1]], np.float32)
    assert (rasterize(vertices, np.array([[0, 1, 2]], np.int32), 4, 4).face == -1).all()


def test_nothing_to_see() -> None:
    seen = rasterize(np.zeros((0, 4), np.float32), np.zeros((0, 3), np.int32), 3, 5)
    assert seen.face.shape == (3, 5)
    assert (seen.face == -1).all()


@pytest.mark.parametrize(
    ("vertices", "faces", "size", "message"),
    [
        (np.zeros((3, 3)), np.zeros((1, 3)), 4, "clip space"),
        (np.zeros((3, 4)), np.zeros((1, 4)), 4, r"\(F, 3\)"),
        (np.zeros((3, 4)), np.full((1, 3), 3), 4, "there are 3 vertices"),
        (np.zeros((3, 4)), np.full((1, 3), -1), 4, "there are 3 vertices"),
        (np.zeros((3, 4)), np.zeros((1, 3)), 0, "at least one pixel"),
    ],
)
def test_bad_input_is_named(vertices: NDArray, faces: NDArray, size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rasterize(vertices, faces, size, size)
