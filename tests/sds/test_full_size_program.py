"""The measurement of Stable Diffusion at full size, with a small one: every part of a step is named and timed."""

from pathlib import Path

import pytest

from tests.benchmarks import full_size
from tests.sds import tiny_pipelines as tiny


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks of memory are read as Linux tells them")
def test_every_part_of_a_step_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.stable_diffusion(tmp_path / "work").save_pretrained(tmp_path / "teacher")
    full_size.parts(full_size.make_teacher(tmp_path))  # the folder is there already, so it is taken
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split("  ")[0] for line in lines] == [
        "loading",
        "text encoded, text encoder released",
        "autoencoder, forward",
        "UNet, two rows",
        "autoencoder, gradient",
        "autoencoder, decoding",
    ]
    assert all(line.endswith("GiB") for line in lines)
