"""Runs with the embedded teacher at a size that takes moments: what they write is all there, and small."""

from dataclasses import replace

import pytest

from cli.scenes import results
from cli.scenes.recipes import small_teachers
from representations.fields import nerf


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Fields, meshes and pictures; whoever reads such a run again needs it as well."""
    field, mesh = small_teachers.SMALL_TEACHER, small_teachers.SMALL_TEACHER_MESH
    patch.setattr(small_teachers, "SMALL_TEACHER", replace(field, grid=16, samples=16, batch_size=2, size=32))
    patch.setattr(small_teachers, "SMALL_TEACHER_MESH", replace(mesh, grid=16, texture_grid=16, batch_size=2, size=32))
    patch.setattr(nerf, "SURFACE_RESOLUTION", 33)
    for name, value in (("PICTURE_SIZE", 32), ("TEXTURE_SIZE", 64), ("FACES", 1000), ("FRAMES", 8)):
        patch.setattr(results, name, value)
