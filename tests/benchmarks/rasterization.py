"""Visibility against embree's ray casters, and what one step of the mesh stage costs, part by part.

OMP_NUM_THREADS=1 python -m tests.benchmarks.rasterization

Whatever is missing is left out: embreex comes with the "dev" extra; open3d, whose scene is the fastest ray caster for a
CPU that was found among packages, is not a dependency.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable

import numpy as np
import torch
import trimesh

from representations.cameras import Cameras, CameraSampler, turntable
from representations.fields.field import Blob, DenseGrid
from representations.fields.nerf import NeRF
from representations.geometry.rasterizer import rasterize
from representations.surfaces.differentiable_rasterizer import rasterize_fragments
from representations.surfaces.distance_grid import DistanceGrid, dual_surface
from representations.surfaces.dual_marching_cubes import trace_patches
from representations.surfaces.mesh_field import MeshField, begin_with, projected
from tests.benchmarks.measure import cpu_seconds

SIZE = 256
VIEWS = 4


def main() -> None:
    shape = bumpy_ball()
    compare_visibility(shape)
    measure_gradients(shape)
    measure_mesh_stage()


def bumpy_ball() -> trimesh.Trimesh:
    """20,480 triangles."""
    ball = trimesh.creation.icosphere(5, 0.6)
    bumps = 1 + 0.05 * np.sin(12 * ball.vertices).prod(axis=1, keepdims=True)
    return trimesh.Trimesh(ball.vertices * bumps, ball.faces, process=False)


def compare_visibility(shape: trimesh.Trimesh) -> None:
    """Faces and barycentric coordinates of one view; a mesh in training moves, so trees are built anew."""
    camera = turntable(1, 0.3, SIZE)
    clip = projected(torch.tensor(shape.vertices, dtype=torch.float32), camera)[0].numpy()
    faces = shape.faces.astype(np.int32)
    found = rasterize(clip, faces, SIZE, SIZE).face.reshape(-1)
    print(f"one view, {SIZE} x {SIZE}, {len(faces):,} triangles, {(found >= 0).sum():,} pixels covered")
    ours = cpu_seconds(lambda: rasterize(clip, faces, SIZE, SIZE))
    print(f"  z-buffer                {1000 * ours:7.2f} ms")
    for name, (build, cast) in ray_casters(shape, camera).items():
        tree = build()
        agree = (cast(tree) == found).mean()
        building, casting = cpu_seconds(build), cpu_seconds(lambda c=cast, t=tree: c(t))
        print(
            f"  {name:10s} build {1000 * building:7.2f} ms   rays {1000 * casting:7.2f} ms   "
            f"x {(building + casting) / ours:.1f} (rays alone x {casting / ours:.1f})   same face {100 * agree:.2f}%"
        )


def ray_casters(shape: trimesh.Trimesh, camera: Cameras) -> dict[str, tuple[Callable, Callable]]:
    """For each ray caster that can be imported: how its tree is built, and how faces are found with it."""
    origins, directions = (rays.reshape(-1, 3).numpy() for rays in camera.rays())
    found: dict[str, tuple[Callable, Callable]] = {}
    if importlib.util.find_spec("embreex") is not None:
        from trimesh.ray.ray_pyembree import RayMeshIntersector

        def build_embreex() -> RayMeshIntersector:
            caster = RayMeshIntersector(shape)
            caster.intersects_first(origins[:1], directions[:1])  # the tree is built when it is first needed
            return caster

        found["embreex"] = build_embreex, lambda caster: caster.intersects_first(origins, directions)
    if importlib.util.find_spec("open3d") is not None:
        import open3d

        mesh = open3d.t.geometry.TriangleMesh(
            open3d.core.Tensor(shape.vertices.astype(np.float32)), open3d.core.Tensor(shape.faces.astype(np.int32))
        )
        rays = open3d.core.Tensor(np.concatenate([origins, directions], axis=1))

        def build_open3d() -> open3d.t.geometry.RaycastingScene:
            scene = open3d.t.geometry.RaycastingScene(nthreads=torch.get_num_threads())
            scene.add_triangles(mesh)
            scene.cast_rays(rays[:1])
            return scene

        def cast_open3d(scene: open3d.t.geometry.RaycastingScene) -> np.ndarray:
            return scene.cast_rays(rays)["primitive_ids"].numpy().astype(np.int32)  # 2^32 - 1, that is -1: nothing

        found["open3d"] = build_open3d, cast_open3d
    return found


def measure_gradients(shape: trimesh.Trimesh) -> None:
    vertices, faces = torch.tensor(shape.vertices, dtype=torch.float32), shape.faces.astype(np.int32)
    camera = turntable(1, 0.3, SIZE)
    moving = vertices.clone().requires_grad_()

    def draw() -> torch.Tensor:
        seen = rasterize_fragments(projected(moving, camera), faces, SIZE)
        return seen.antialiased(seen.images(seen.interpolate(vertices), torch.zeros(1, 3)))

    forward = cpu_seconds(draw)
    both = cpu_seconds(lambda: draw().sum().backward())
    print("the same view drawn with interpolated colours and blended silhouettes")
    print(f"  forward {1000 * forward:7.2f} ms   forward and backward to the vertices {1000 * both:7.2f} ms")


def measure_mesh_stage() -> None:
    """The mesh stage's own part of a step; the teacher's networks come on top."""
    nerf = NeRF(DenseGrid((16, 32, 64), Blob(radius=0.55, sharpness=60.0, surface=0.0)))
    field = MeshField(DistanceGrid(), DenseGrid(), CameraSampler(size=96))
    start = time.process_time()
    begin_with(field, nerf)
    seconds = time.process_time() - start
    print(f"mesh stage: to begin with a field's surface and colours {seconds:.2f} s, compiling included")
    cameras = field.draw(VIEWS, torch.Generator().manual_seed(0))
    distance = field.shape.distances().detach()
    inside = (distance < 0).numpy()
    optimizer = torch.optim.Adam([{**group, "lr": 0.0} for group in field.parameter_groups()], fused=True)

    def step() -> None:
        seen = field(cameras)
        optimizer.zero_grad()
        ((seen.image - 0.5).square().sum() + field.penalty(seen, 0.5)).backward()
        optimizer.step()

    parts = {
        f"topology of the surface in {field.shape.nodes - 1}^3 cells": lambda: trace_patches(inside),
        "surface, with topology": lambda: dual_surface(distance),
        f"drawing {VIEWS} views of 96 x 96": lambda: field(cameras),
        "whole step (drawing, penalties, backward, Adam; no teacher)": step,
    }
    for name, work in parts.items():
        print(f"  {name:62s} {1000 * cpu_seconds(work):7.2f} ms")


if __name__ == "__main__":
    main()
