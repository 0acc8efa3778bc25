"""The documentation builds without a warning and without a network, from where `make docs` builds it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason='pip install -e ".[docs]"')
pytest.importorskip("mkdocstrings", reason='pip install -e ".[docs]"')

ROOT = Path(__file__).parents[2]


def test_it_builds(tmp_path: Path):
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--config-file", "examples/docs/mkdocs.yml"]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # an advertisement of the theme's
    built = subprocess.run([*command, "--site-dir", str(tmp_path)], cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert (built.returncode, built.stderr) == (0, "")
    reference = (tmp_path / "reference" / "sds.html").read_text(encoding="utf-8")
    assert 'id="sds.engine.ScoreDistillation.step"' in reference
    assert "def sds_then_csd" not in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "sds_then_csd" in (tmp_path / "own_gradient.html").read_text(encoding="utf-8")
    pages = "".join(page.read_text(encoding="utf-8") for page in tmp_path.rglob("*.html"))
    assert "fonts.googleapis.com" not in pages
