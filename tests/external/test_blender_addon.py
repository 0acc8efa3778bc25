"""The add-on in Blender without a window: installed from its zip, an object made as one watches, a mesh retextured."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from cli.blender.packing import pack_addon
from tests.external.test_blender import blender  # noqa: F401 (a fixture)

SCRIPT = Path(__file__).with_name("use_addon_in_blender.py")
REPOSITORY = Path(__file__).parents[2]


def test_objects_are_made_and_retextured(blender: str, tmp_path: Path):  # noqa: F811
    addon = pack_addon(tmp_path / "addon.zip", [sys.executable, "-m", "cli.main"])
    environment = os.environ | {"BLENDER_USER_RESOURCES": str(tmp_path / "blender"), "PYTHONPATH": str(REPOSITORY)}
    finished = subprocess.run(
        [blender, str(SCRIPT), str(addon), str(tmp_path / "runs"), "", "--steps 15"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    lines = [line for line in finished.stdout.splitlines() if line.startswith("RESULT ")]
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-2000:]
    made, retextured, refused = (json.loads(line.removeprefix("RESULT ")) for line in lines)
    assert made["begun"] == ["FINISHED"]
    assert made["busy"] is False  # one run at a time
    assert made["last"] == "Finished"
    assert made["location"] == [1, 2, 0]
    assert made["faces"] > 1000
    assert made["meshes"] == 1  # those of earlier surfaces are gone
    assert retextured["last"] == "Finished"
    np.testing.assert_allclose(retextured["low"], [-1, 2, 0], atol=1e-3)
    np.testing.assert_allclose(retextured["high"], [1, 4, 2], atol=1e-3)
    assert retextured["hidden"]
    assert retextured["textured"]
    assert "--no-such-option" in refused["last"]
