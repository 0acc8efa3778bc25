"""What is optimised leaves room on small cards; what teachers need is in `tests/sds/test_memory_budget.py`."""

from cli.scenes.recipes.large_teachers import LARGE_TEACHER, LARGE_TEACHER_MESH
from tests.benchmarks.card_memory import ALLOWANCE, peak_of_voxels, smallest_card

STABLE_DIFFUSION_1_5 = 3.0
"""The budget of a step of the teacher, GiB."""


def test_stable_diffusion_fits_6_gb_for_a_field_and_8_gb_for_a_mesh() -> None:
    field = peak_of_voxels(LARGE_TEACHER.grid, 2**16)
    mesh = peak_of_voxels(LARGE_TEACHER_MESH.texture_grid, 512**2)
    assert 0.25 < field < 0.4  # 2.5 million voxels' worth of float32, eight times over
    assert 2.0 < mesh < 2.8
    assert smallest_card(STABLE_DIFFUSION_1_5 + field + ALLOWANCE) == "6 GB"
    assert smallest_card(STABLE_DIFFUSION_1_5 + mesh + ALLOWANCE) == "8 GB"
