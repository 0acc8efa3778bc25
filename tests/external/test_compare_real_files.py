"""What tells whether two programs have read the same file: other diagonals are no difference, other faces are."""

import numpy as np

from tests.external.compare_real_files import differences, only_cut_otherwise

BENT = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0.5], [0, 1, 0]], dtype=float)


def soup(*faces: tuple[int, int, int]) -> np.ndarray:
    return BENT[np.array(faces)]


def test_a_bent_quadrilateral_along_either_diagonal():
    ours, theirs = soup((0, 1, 2), (0, 2, 3)), soup((0, 1, 3), (1, 2, 3))
    assert differences(ours, theirs, "read")
    assert only_cut_otherwise(ours, theirs)
    assert only_cut_otherwise(ours, theirs + 1e-7)


def test_other_faces():
    ours = soup((0, 1, 2), (0, 2, 3))
    for theirs in (soup((0, 1, 2)), soup((0, 1, 2), (0, 3, 2)), soup((2, 1, 0), (3, 2, 0)), ours + 0.1):
        assert not only_cut_otherwise(ours, theirs)
