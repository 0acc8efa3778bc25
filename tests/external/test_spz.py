"""Our .spz files as Niantic's own library reads them (`npm install @spz-loader/core`)."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from representations.gaussians.files import BAND_0
from representations.gaussians.spz import spz_bytes
from tests.representations.gaussians.test_spz import random_gaussians

SCRIPT = Path(__file__).with_name("read_by_spz_loader.mjs")


def test_another_program_reads_what_was_written(tmp_path: Path):
    folder = os.environ.get("SPZ_LOADER")
    if not folder or not (Path(folder) / "node_modules" / "@spz-loader").is_dir() or shutil.which("node") is None:
        pytest.skip("SPZ_LOADER names no folder with node_modules/@spz-loader, or node is missing")
    wanted = random_gaussians(200)
    (tmp_path / "cloud.spz").write_bytes(spz_bytes(wanted))
    command = ["node", str(SCRIPT), folder, str(tmp_path / "cloud.spz")]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    said = next(line for line in finished.stdout.splitlines() if line.startswith("RESULT "))
    theirs = {name: np.array(value) for name, value in json.loads(said.removeprefix("RESULT ")).items()}
    assert theirs["count"] == 200
    np.testing.assert_allclose(theirs["positions"].reshape(-1, 3), wanted.means, atol=0.5 / 4096 + 1e-6)
    np.testing.assert_allclose(np.log(theirs["scales"].reshape(-1, 3)), np.log(wanted.scales), atol=0.5 / 16 + 1e-5)
    np.testing.assert_allclose(theirs["alphas"], wanted.opacities, atol=0.5 / 255 + 1e-5)
    # It takes 0.282 for the spherical harmonic of degree 0.
    np.testing.assert_allclose(theirs["colors"].reshape(-1, 3), wanted.colours, atol=0.5 / 255 * BAND_0 / 0.15 + 1e-3)
    rotations = np.roll(theirs["rotations"].reshape(-1, 4), 1, axis=1)  # x, y, z, w there
    assert np.abs((rotations * wanted.quaternions).sum(1)).min() > np.cos(np.radians(0.15))
