"""Every notebook runs from its first cell to its last, in its smallest form."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.small import shrink

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
SMALLEST: dict[str, dict[str, int]] = {
    "first_mesh.ipynb": {"STEPS": 2},
    "own_gradient.ipynb": {"STEPS": 2},
    "one_step.ipynb": {"COUNT": 2, "TEACHER_STEPS": 2},
}


def test_every_notebook_is_tested():
    assert {path.name for path in FOLDER.glob("*.ipynb")} == set(SMALLEST)


@pytest.mark.parametrize("name", SMALLEST)
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    shrink(monkeypatch)
    cells = json.loads((FOLDER / name).read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        assert cell["outputs"] == [], "notebooks are kept without outputs"
        exec(compile("".join(cell["source"]), f"{name}, cell {number}", "exec"), names)
        if "parameters" in cell["metadata"].get("tags", []):
            assert set(SMALLEST[name]) <= set(names)
            names |= SMALLEST[name]
    if name == "first_mesh.ipynb":
        assert (tmp_path / "chair.glb").stat().st_size > 1000
    if name == "own_gradient.ipynb":
        assert names["distillation"].done == 2
    if name == "one_step.ipynb":
        assert names["sheet"].shape == (128, 128, 3)
