"""The Khronos validator has nothing to say about our GLB files."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("validate_gltf.js")


@pytest.fixture(scope="session")
def validator() -> str:
    folder = os.environ.get("GLTF_VALIDATOR")
    if not folder or not (Path(folder) / "node_modules" / "gltf-validator").is_dir() or shutil.which("node") is None:
        pytest.skip("GLTF_VALIDATOR names no folder with node_modules/gltf-validator, or node is missing")
    return folder


def verdicts(validator: str, files: list[Path]) -> list[dict]:
    command = ["node", str(SCRIPT), validator, *map(str, files)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def test_no_errors_and_no_warnings(validator: str, glb_files: dict[str, Path], run_files: list[Path]):
    files = [*glb_files.values(), *run_files]
    assert len(files) >= 40
    found = verdicts(validator, files)
    assert len(found) == len(files)
    assert [verdict for verdict in found if verdict["numErrors"] or verdict["numWarnings"]] == []


def test_the_validator_does_find_faults(validator: str, glb_files: dict[str, Path], tmp_path: Path):
    content = bytearray(glb_files["ball, textured"].read_bytes())
    content[-4000:] = bytes(4000)  # the last image
    broken = tmp_path / "broken.glb"
    broken.write_bytes(content.replace(b'"VEC4"', b'"VEC3"', 1))
    assert verdicts(validator, [broken])[0]["numErrors"] > 0
