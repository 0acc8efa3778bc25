"""A surface of even quadrilaterals, which artists like to edit, each cut into two triangles (by Instant Meshes)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np

from representations.geometry.mesh import Mesh, MeshError, smoothed

TRIANGLES_PER_VERTEX = 8
"""Instant Meshes makes one quadrilateral a vertex, and cuts it into four at the end."""


_MOST_SMOOTHING = 5
_SIZES_TRIED = (1.0, 1.1, 0.9, 1.25, 1.5, 2.0)
"""Where sheets touch, another size may keep them apart."""


class RemeshingUnavailableError(ValueError):
    """The package that remeshes is not installed; the message says how to get it."""


def quad_remeshed(mesh: Mesh, faces: int) -> Mesh:
    """The surface anew, in about so many triangles: faces 2 k and 2 k + 1 are the halves of one quadrilateral.

    The edges follow the curvature (Jakob et al. 2015, "Instant field-aligned meshes"). Any program's "triangles to
    quads" finds the quadrilaterals again. Colours are not taken along: bake them (`representations.assets.baking`).

    Args:
        mesh: of any kind.
        faces: triangles, about.

    Returns:
        Without faces that have no area; watertight if the mesh was.

    Raises:
        RemeshingUnavailableError: if the package is not installed.
        representations.geometry.mesh.MeshError: if faces would have no area, or it would not be watertight any more.
    """
    remesh = _instant_meshes().remesh
    for factor in _SIZES_TRIED:
        with _silenced():
            vertices, quads = remesh(
                mesh.vertices.astype(np.float32),
                mesh.faces.astype(np.uint32),
                max(16, int(factor * faces / TRIANGLES_PER_VERTEX)),
                creaseAngle=-1.0,
                deterministic=True,
            )
        triangles = quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3).astype(np.int64)
        new = _without_flat_faces(Mesh(np.asarray(vertices, dtype=np.float64), triangles))
        if new is not None and (new.is_watertight or not mesh.is_watertight):
            return new
    raise MeshError("The mesh could not be built anew of quadrilaterals; export it without them, or with more faces.")


def _without_flat_faces(mesh: Mesh) -> Mesh | None:
    """Smoothing draws corners at one place apart, and leaves the faces as they are; None if it does not help."""
    for _ in range(_MOST_SMOOTHING):
        if (mesh.areas > 0).all():
            return mesh
        mesh = smoothed(mesh, 1)
    return None


@contextmanager
def _silenced() -> Iterator[None]:
    """Instant Meshes tells about each of its steps on standard output."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _instant_meshes() -> ModuleType:
    try:
        import pynanoinstantmeshes
    except ImportError:
        raise RemeshingUnavailableError(
            "Quadrilaterals need the package pynanoinstantmeshes; install it with `pip install pynanoinstantmeshes`."
        ) from None
    return pynanoinstantmeshes
