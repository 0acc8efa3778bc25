import numpy as np
import trimesh

from representations.geometry.topology import twin_edges, undirected_edges

TETRAHEDRON = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]], np.int32)


def ends(faces: np.ndarray) -> np.ndarray:
    return np.stack([faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)], axis=1)


def test_twins_run_the_other_way():
    for faces in (TETRAHEDRON, np.asarray(trimesh.creation.torus(1, 0.3).faces, np.int32)):
        twins = twin_edges(faces, faces.max() + 1)
        np.testing.assert_array_equal(ends(faces)[twins], ends(faces)[:, ::-1])
        np.testing.assert_array_equal(twins[twins], np.arange(len(twins)))
        edges = undirected_edges(twins)
        assert len(edges) == 3 * len(faces) // 2
        assert len({frozenset(pair) for pair in ends(faces)[edges].tolist()}) == len(edges)


def test_borders_have_no_twin():
    faces = TETRAHEDRON[:3]
    twins = twin_edges(faces, 4)
    assert (twins < 0).sum() == 3
    assert {tuple(pair) for pair in ends(faces)[twins < 0]} == {(0, 2), (2, 3), (3, 0)}
    assert len(undirected_edges(twins)) == 6


def test_no_faces():
    assert len(twin_edges(np.zeros((0, 3), np.int32), 0)) == 0
