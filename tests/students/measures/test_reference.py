"""Reference features on the disk: a round trip, and what is refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from students.measures.reference import Reference, ReferenceFileError, load_reference
from students.prompts import StoredView
from tests.students.toys import normals


def reference(count: int = 10, view: bool = True) -> Reference:
    angles = torch.linspace(0, 1, count)
    stored = StoredView(angles, -angles, torch.rand(count, 3, generator=torch.Generator().manual_seed(0)))
    prompts = [f"thing {i}" for i in range(count)]
    return Reference(normals(count, 4), prompts, stored if view else None, "colours", "photographs")


@pytest.mark.parametrize("view", [True, False])
def test_a_round_trip(tmp_path: Path, view: bool):
    written = reference(view=view)
    written.save(tmp_path / "reference.safetensors")
    read = load_reference(tmp_path / "reference.safetensors")
    torch.testing.assert_close(read.features, written.features, rtol=1e-3, atol=1e-3)  # half precision
    assert (list(read.prompts), read.network, read.images) == (list(written.prompts), "colours", "photographs")
    if written.view is None:
        assert read.view is None
    else:
        for name, value in vars(written.view).items():
            assert torch.equal(getattr(read.view, name), value)


def test_the_first_of_a_reference():
    some = reference().first(3)
    assert len(some) == 3
    assert some.prompts == ["thing 0", "thing 1", "thing 2"]
    assert torch.equal(some.view.azimuth, reference().view.azimuth[:3])
    assert len(reference().first(99).view.background) == 10


def test_a_damaged_file_is_refused(tmp_path: Path):
    path = tmp_path / "reference.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(ReferenceFileError, match="damaged"):
        load_reference(path)
    described = {"prompts": '["a", "b"]', "network": "n", "images": "i"}
    save_file({"features": torch.zeros(3, 4)}, path, described)
    with pytest.raises(ReferenceFileError, match="not equally many"):
        load_reference(path)
    save_file({"features": torch.zeros(3, 4)}, path, {"prompts": '["a", "b", "c"]'})
    with pytest.raises(ReferenceFileError, match="network"):
        load_reference(path)
