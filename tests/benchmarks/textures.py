"""Seconds and bytes of an asset: simplifying, unwrapping, baking, writing; and nearest points against trimesh's.

OMP_NUM_THREADS=1 python -m tests.benchmarks.textures
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import trimesh

from representations.assets.asset import Asset
from representations.assets.baking import baked
from representations.assets.unwrapping import unwrap
from representations.assets.writing import write_asset
from representations.geometry.closest_points import SurfaceSearch
from representations.geometry.mesh import Mesh, simplified
from tests.benchmarks.measure import cpu_seconds

POINTS = 2000


def main() -> None:
    detailed = bumpy_ball()
    print(f"detailed surface: {len(detailed.faces):,} faces; processor seconds")
    print("   faces  texture  simplify  unwrap    bake   write GLB   file")
    for faces, resolution in ((5_000, 1024), (10_000, 1024), (10_000, 2048), (20_000, 1024)):
        coarse = simplified(detailed, faces)
        uv = unwrap(coarse, resolution).uv
        asset = baked(coarse, uv, Asset(detailed), resolution)
        seconds = [
            cpu_seconds(lambda n=faces: simplified(detailed, n), 1),
            cpu_seconds(lambda c=coarse, r=resolution: unwrap(c, r), 1),
            cpu_seconds(lambda c=coarse, u=uv, r=resolution: baked(c, u, Asset(detailed), r), 1),
        ]
        with TemporaryDirectory() as folder:
            path = Path(folder) / "mesh.glb"
            writing = cpu_seconds(lambda a=asset, p=path: write_asset(a, p), 1)
            size = path.stat().st_size / 2**20
        steps = "  ".join(f"{second:6.2f}" for second in seconds)
        print(f"  {len(coarse.faces):6,}  {resolution:7}    {steps}      {writing:6.2f}   {size:.2f} MB")
    compare_nearest_points(detailed)


def bumpy_ball() -> Mesh:
    """81,920 faces with colours and waves that a coarse mesh cannot show."""
    ball = trimesh.creation.icosphere(6, 0.6)
    waves = 1 + 0.02 * np.sin(25 * ball.vertices).prod(axis=1, keepdims=True)
    vertices = np.asarray(ball.vertices * waves)
    return Mesh(vertices, np.asarray(ball.faces), 0.5 + 0.4 * np.sin(9 * vertices))


def compare_nearest_points(mesh: Mesh) -> None:
    """Both are exact; trimesh looks through an R-tree."""
    rng = np.random.default_rng(0)
    points = mesh.vertices[rng.integers(0, len(mesh.vertices), POINTS)] + rng.normal(scale=0.01, size=(POINTS, 3))
    search, theirs = SurfaceSearch(mesh), trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    ours = cpu_seconds(lambda: search.closest(points), 3)
    other = cpu_seconds(lambda: trimesh.proximity.closest_point(theirs, points), 1)
    per_point = 1e6 * ours / POINTS
    print(f"nearest points: {per_point:.1f} us each (unordered); trimesh takes {other / ours:.0f} times as long")


if __name__ == "__main__":
    main()
