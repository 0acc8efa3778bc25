"""The hash grid beside tiny-cuda-nn's own kernels, compiled for the CPU from the headers that its cards run."""

import ctypes
import os
import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor

from representations.fields.encodings import HashEncoding, encode_torch, hash_levels

SOURCE = os.environ.get("TINY_CUDA_NN", "")
CUDA = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))

pytestmark = pytest.mark.skipif(not SOURCE, reason="TINY_CUDA_NN names no checkout of tiny-cuda-nn")

NO_LAUNCHES = """#pragma once
#include <tiny-cuda-nn/common_device.h>
namespace tcnn { template <typename T, typename R> void generate_random_uniform(R&, size_t, T*, T, T) {} }
"""
"""In place of its random.h, which launches kernels: tables are given here, and never drawn."""

SHAPES = [(16, 19, 16, 2048), (16, 19, 16, 512), (5, 9, 4, 40), (1, 9, 4, 4), (8, 12, 16, 4096)]
"""(levels, binary logarithm of the most rows, base resolution, finest resolution)."""

SETTINGS = ("TCNN_HALF_PRECISION=0", "TCNN_MIN_GPU_ARCH=75", "TCNN_NO_FWD_BWD", "FMT_HEADER_ONLY")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    work = tmp_path_factory.mktemp("tiny-cuda-nn")
    (work / "tiny-cuda-nn").mkdir()
    (work / "tiny-cuda-nn" / "random.h").write_text(NO_LAUNCHES)
    parts = ("include", "dependencies", "dependencies/json", "dependencies/fmt/include")
    command = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-w", "-fpermissive", "-Wl,-z,lazy"]
    folders = [work, CUDA / "include", *(Path(SOURCE) / part for part in parts)]
    command += [f"-D{setting}" for setting in SETTINGS] + [f"-I{folder}" for folder in folders]
    source = Path(__file__).with_name("tiny_cuda_nn_on_the_host.cpp")
    made = subprocess.run([*command, source, "-o", work / "grid.so"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return ctypes.CDLL(str(work / "grid.so"), mode=os.RTLD_LAZY)


def address(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


@pytest.mark.parametrize("base", [2, 5, 16, 64])
@pytest.mark.parametrize("log2_table_size", [8, 15, 19, 24])
def test_every_level_has_as_many_rows(theirs: ctypes.CDLL, base: int, log2_table_size: int) -> None:
    for levels in (1, 2, 3, 5, 8, 12, 16, 24, 32):
        for finest in (base, 2 * base, 100, 256, 512, 1000, 2048, 4096, 10000):
            growth = (max(finest, base) / base) ** (1 / max(levels - 1, 1))
            found = torch.zeros(levels + 1, dtype=torch.int32)
            theirs.rows(levels, log2_table_size, base, ctypes.c_float(growth), address(found))
            ours = hash_levels(levels, base, growth, log2_table_size)
            assert found.tolist() == [*(level.start for level in ours), ours[-1].start + ours[-1].size]


@pytest.mark.parametrize("features", [1, 2, 4, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients(theirs: ctypes.CDLL, shape: tuple[int, int, int, int], features: int) -> None:
    levels, log2_table_size, base, finest = shape
    rng = torch.Generator().manual_seed(0)
    ours = HashEncoding(levels, features, log2_table_size, base, finest, rng)
    with torch.no_grad():
        ours.table.uniform_(-1, 1, generator=rng)
    points = torch.cat([torch.rand(500, 3, generator=rng), torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 0, 0.5]])])
    upstream = torch.randn(ours.width, len(points), generator=rng)
    found, gradient = torch.zeros(ours.width, len(points)), torch.zeros_like(ours.table)
    growth = ctypes.c_float(ours.per_level_scale)
    sizes = (features, levels, log2_table_size, base, growth, len(points))
    theirs.encode(*sizes, *map(address, (ours.table, points, upstream, found, gradient)))
    encoded = ours(points)
    encoded.backward(upstream.T.contiguous())
    torch.testing.assert_close(encoded.T, found, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours.table.grad, gradient, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(encode_torch(ours.table, points, ours.levels).T, found, rtol=1e-4, atol=1e-4)
