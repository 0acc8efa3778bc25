"""The wheel as pip builds and installs it: what it puts into site-packages, and that it works there."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import scoresmith
from scoresmith import sample_student, text_to_3d
from scoresmith.sds.baselines import METHODS
assert "site-packages" in scoresmith.__file__
assert {"csd", "nfsd", "sds", "vsd"} <= set(METHODS)
print(tuple(sample_student("a blue mug", count=1).shape), text_to_3d.__module__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in a copy of what git tracks; without build isolation, so that nothing is fetched."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    pytest.importorskip("setuptools", minversion="77", reason="builds with setuptools")
    archive = subprocess.run(["git", "stash", "create"], cwd=ROOT, capture_output=True, text=True, check=True)
    tree = archive.stdout.strip() or "HEAD"
    packed = subprocess.run(["git", "archive", tree], cwd=ROOT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", str(source)], input=packed.stdout, check=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(out),
        ".",
    ]
    subprocess.run(command, cwd=source, check=True)
    (file,) = out.glob("*.whl")
    return file


def test_the_wheel_claims_one_name(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (told,) = [archive.read(name).decode() for name in names if name.endswith("top_level.txt")]
    tops = {name.split("/")[0] for name in names}
    assert tops == {"scoresmith", next(top for top in tops if top.endswith(".dist-info"))}
    assert told.split() == ["scoresmith"]
    parts = {name.split("/")[1] for name in names if name.startswith("scoresmith/") and name.count("/") > 1}
    assert parts == {"sds", "representations", "students", "cli"}
    assert not [name for name in names if "test" in name.split("/") or "examples" in name]
    for file in (
        "sds/teachers/embedded/model_index.json",
        "students/shipped/student.json",
        "cli/viewer/assets/viewer.js",
    ):
        assert f"scoresmith/{file}" in names


def test_it_works_in_a_fresh_environment(wheel: Path, tmp_path: Path):
    venv.create(tmp_path / "fresh", with_pip=False)
    python = tmp_path / "fresh" / "bin" / "python"
    site = next((tmp_path / "fresh" / "lib").glob("python*/site-packages"))
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(install, check=True)
    # What it depends on is borrowed, but not the editable installation beside it: .pth files there are not read.
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"])
    told = subprocess.run([python, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True)
    assert (told.stderr, told.stdout) == ("", "(1, 3, 64, 64) scoresmith.cli.api\n")
    script = python.with_name("scoresmith")
    told = subprocess.run([script, "inspect", ROOT / "README.md"], cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 2
    assert "scoresmith:" in told.stderr
    told = subprocess.run([script, "generate", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "a red armchair" in told.stdout
