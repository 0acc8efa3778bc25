"""The numbers of splats.js, by node: what it reads of a .splat file, its camera, and the order in which it draws."""

import json
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from cli.viewer.page import ASSETS, Page, html_of, splat_viewer
from representations.cameras import turntable
from representations.gaussians.cloud import GaussianCloud
from representations.gaussians.files import gaussians_of, splat_bytes
from representations.gaussians.projection import covariances

NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_the_page_reads_and_sorts_gaussians_as_they_were_written(tmp_path: Path):
    rng = torch.Generator().manual_seed(0)
    cloud = GaussianCloud(40)
    with torch.no_grad():
        for parameter in (cloud.means, cloud.quaternions):
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
        cloud.log_scales.add_(0.3 * torch.randn(cloud.log_scales.shape, generator=rng))
    (tmp_path / "cloud.splat").write_bytes(splat_bytes(gaussians_of(cloud)))
    program = f"""
        const {{ read, lookingFrom, sorted }} = require({json.dumps(str(ASSETS / "splats.js"))});
        const numbers = read(require("fs").readFileSync({json.dumps(str(tmp_path / "cloud.splat"))}));
        const view = lookingFrom({math.pi / 2}, 0.3, 2.8);
        console.log(JSON.stringify([Array.from(numbers), view, Array.from(sorted(numbers, view))]));
    """
    said = subprocess.run([NODE, "-e", program], capture_output=True, text=True, check=True, timeout=60).stdout
    numbers, view, drawn = (np.array(part) for part in json.loads(said))
    numbers, drawn, view = numbers.reshape(-1, 13), drawn.reshape(-1, 13), view.reshape(4, 4).T
    expected = turntable(4, 0.3)[1:2].world_to_camera()[0].numpy()
    np.testing.assert_allclose(view, expected, atol=1e-6)
    depth = (np.c_[drawn[:, :3], np.ones(len(drawn))] @ view.T)[:, 2]
    assert (np.diff(depth) >= 0).all()  # the camera looks along -Z: the farthest is the smallest
    order = [int(np.abs(cloud.means.detach().numpy() - row[:3]).sum(1).argmin()) for row in numbers]
    assert sorted(order) == list(range(40))
    exact = covariances(cloud.quaternions.detach(), cloud.log_scales.detach().exp())[order].numpy()
    for column, (i, j) in enumerate([(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]):
        np.testing.assert_allclose(numbers[:, 3 + column], exact[:, i, j], atol=2e-4)  # a quaternion has 8 bits


def test_a_page_of_gaussians_holds_them_and_no_library():
    page = html_of(Page("a <b>", splat_viewer(None, "a <b>"), splats=b"\0" * 32))
    assert '"splats":"AAAA' in page
    assert "WebGLRenderer" not in page
    assert "connect-src blob:;" in page
