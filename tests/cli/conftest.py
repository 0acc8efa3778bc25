"""A tiny teacher on disk, so that whole runs take a second."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cli.scenes import results
from cli.scenes.recipes import large_teachers
from representations.fields import nerf
from tests.sds.tiny_pipelines import deepfloyd_if


@pytest.fixture(scope="session")
def tiny_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pixel-space diffusers folder with random weights."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("teacher")
    deepfloyd_if(tmp_path_factory.mktemp("work")).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything at a size that takes moments: the recipe for large teachers, the mesh and the pictures."""
    small = replace(large_teachers.LARGE_TEACHER, grid=16, samples=16, size=16, batch_size=2)
    monkeypatch.setattr(large_teachers, "LARGE_TEACHER", small)
    small_mesh = replace(large_teachers.LARGE_TEACHER_MESH, grid=16, texture_grid=16, size=16, batch_size=2)
    monkeypatch.setattr(large_teachers, "LARGE_TEACHER_MESH", small_mesh)
    few = replace(large_teachers.LARGE_TEACHER_GAUSSIANS, count=60, size=16, batch_size=2)
    monkeypatch.setattr(large_teachers, "LARGE_TEACHER_GAUSSIANS", few)
    monkeypatch.setattr(results, "PICTURE_SIZE", 32)
    monkeypatch.setattr(results, "TEXTURE_SIZE", 64)
    monkeypatch.setattr(results, "FACES", 1000)
    monkeypatch.setattr(results, "FRAMES", 8)
    monkeypatch.setattr(results, "SHEET_STEPS", 2)
    monkeypatch.setattr(results, "FEWEST_STEPS", 1)
    monkeypatch.setattr(nerf, "SURFACE_RESOLUTION", 33)
