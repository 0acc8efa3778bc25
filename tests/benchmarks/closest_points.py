"""Nearest points of a surface against libigl's tree of boxes, which is not a dependency (`pip install libigl`).

OMP_NUM_THREADS=1 python -m tests.benchmarks.closest_points
"""

from __future__ import annotations

import importlib.util

import numpy as np
import trimesh

from representations.geometry.closest_points import SurfaceSearch
from representations.geometry.mesh import Mesh
from tests.benchmarks.measure import cpu_seconds

POINTS = 100_000


def main() -> None:
    ball = trimesh.creation.icosphere(subdivisions=5)
    mesh = Mesh(ball.vertices * (1 + 0.1 * np.sin(7 * ball.vertices[:, :1])), ball.faces)
    rng = np.random.default_rng(0)
    near = mesh.vertices[rng.integers(len(mesh.vertices), size=POINTS)] + rng.normal(0, 0.01, (POINTS, 3))
    for name, points in (("anywhere", rng.uniform(-1.2, 1.2, (POINTS, 3))), ("near the surface", near)):
        own = cpu_seconds(lambda points=points: SurfaceSearch(mesh).closest(points), repeats=2)
        line = f"{POINTS:,} points {name}, {len(mesh.faces):,} faces, tree included: {own:.2f} s"
        if importlib.util.find_spec("igl"):
            import igl

            theirs = cpu_seconds(
                lambda points=points: igl.point_mesh_squared_distance(points, mesh.vertices, mesh.faces), repeats=2
            )
            line += f", libigl {theirs:.2f} s"
        print(line)


if __name__ == "__main__":
    main()
