"""Our distances are those of torch-fidelity, on the features of the shipped reference: the formulas agree."""

import pytest
from torch import Tensor

from sds.teachers.embedded import EMBEDDED_FOLDER
from students.measures.evaluation import compare, frechet_distance
from students.measures.reference import REFERENCE, load_reference

fidelity = pytest.importorskip("torch_fidelity")


@pytest.fixture(scope="module")
def sets() -> tuple[Tensor, Tensor]:
    """Two sets of real images, as the shipped classifier sees them, the second a little off."""
    features = load_reference(EMBEDDED_FOLDER / REFERENCE).features.double()
    half = len(features) // 2
    return features[:half], features[half : 2 * half] * 1.1 + 0.02


def test_frechet_distance(sets: tuple[Tensor, Tensor]):
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    theirs = fid_statistics_to_metric(*map(fid_features_to_statistics, sets), verbose=False)
    assert frechet_distance(*sets) == pytest.approx(theirs[fidelity.KEY_METRIC_FID], rel=1e-6)


def test_kernel_distance_precision_and_recall(sets: tuple[Tensor, Tensor]):
    from torch_fidelity.metric_kid import kid_features_to_metric
    from torch_fidelity.metric_prc import prc_features_to_metric

    real, drawn = sets
    ours = compare(real, drawn)
    whole = {"kid_subsets": 1, "kid_subset_size": len(real), "verbose": False}
    theirs = kid_features_to_metric(drawn, real, **whole)
    assert ours.kernel == pytest.approx(theirs[fidelity.KEY_METRIC_KID_MEAN], rel=1e-6)
    theirs = prc_features_to_metric(drawn, real, prc_neighborhood=3, verbose=False)
    assert ours.precision == pytest.approx(theirs[fidelity.KEY_METRIC_PRECISION], abs=1e-6)
    assert ours.recall == pytest.approx(theirs[fidelity.KEY_METRIC_RECALL], abs=1e-6)
