"""The cache of noise and images: what it holds, and whose pairs it refuses."""

from pathlib import Path

import pytest
import torch

from sds.solvers import heun
from sds.teachers.mixture import MixtureTeacher
from students.guided_teacher import GuidedTeacher
from students.prompts import Prompts, StoredView
from students.training.pairs import PairsError, load_pairs, make_pairs
from tests.closed_forms.quantiles import Quantiles
from tests.sds.toys import ToyTeacher, views
from tests.students.toys import null_prompt, ring, two_modes


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_pairs_are_the_ends_of_exact_paths():
    teacher = two_modes()
    pairs = make_pairs(null_prompt(teacher), 50, rng(), steps=100, keep=[25, 50], solver=heun, batch_size=32)
    assert len(pairs) == 50
    assert pairs.times.tolist() == [1.0, 0.75, 0.5, 0.0]
    assert pairs.states.shape == (50, 4, 1, 1, 1)
    quantiles, noise = Quantiles(teacher), pairs.noise.double().flatten(1)
    for i, time in enumerate(pairs.times):
        exact = quantiles.flow(noise, torch.ones(50).double(), time.expand(50))
        assert (pairs.states[:, i].flatten(1) - exact).abs().max() < 5e-3


@pytest.mark.parametrize("teacher", [ToyTeacher(), ToyTeacher(knows_views=True)])
def test_a_file_of_pairs_gives_back_what_was_written(teacher: ToyTeacher, tmp_path: Path):
    prompts = Prompts(teacher, ["a", "bcd"], lambda count, _: views(count))
    pairs = make_pairs(prompts, 5, rng(), steps=3, batch_size=2)
    pairs.save(tmp_path / "pairs.safetensors")
    read = load_pairs(tmp_path / "pairs.safetensors", teacher)
    assert torch.equal(read.states, pairs.states)
    assert torch.equal(read.times, pairs.times)
    assert read.prompts == pairs.prompts
    assert isinstance(read.view, StoredView)
    assert torch.equal(read.view.azimuth, torch.cat([views(2).azimuth, views(2).azimuth, views(1).azimuth]))
    chosen = torch.tensor([3, 1])
    told = read.condition(teacher, chosen).tensors["text"].tolist()
    assert told == [float(len(pairs.prompts[3])), float(len(pairs.prompts[1]))]


def test_pairs_of_another_teacher_are_refused(tmp_path: Path):
    path = tmp_path / "pairs.safetensors"
    make_pairs(null_prompt(two_modes()), 4, rng(), steps=4).save(path)
    load_pairs(path, two_modes())
    moved = MixtureTeacher(torch.tensor([[-1.0], [1.2]]), torch.tensor([0.04, 0.09]))
    with pytest.raises(PairsError, match="another teacher or with another guidance scale"):
        load_pairs(path, moved)
    with pytest.raises(PairsError, match="shape"):
        load_pairs(path, ring())


def test_pairs_of_another_guidance_scale_are_refused(tmp_path: Path):
    one = torch.eye(2)
    plain = MixtureTeacher(torch.tensor([[-1.0], [1.0]]), torch.tensor([0.04, 0.09]), {"": torch.ones(2), "up": one[1]})
    path = tmp_path / "pairs.safetensors"
    make_pairs(Prompts(GuidedTeacher(plain, 2.0), ["up"]), 4, rng(), steps=4).save(path)
    load_pairs(path, GuidedTeacher(plain, 2.0))
    with pytest.raises(PairsError, match="guidance scale"):
        load_pairs(path, GuidedTeacher(plain, 4.0))


def test_damaged_and_missing_files_are_refused(tmp_path: Path):
    path = tmp_path / "pairs.safetensors"
    with pytest.raises(FileNotFoundError):
        load_pairs(path, two_modes())
    path.write_bytes(b"not tensors")
    with pytest.raises(PairsError, match="damaged"):
        load_pairs(path, two_modes())


def test_bad_requests_are_refused():
    with pytest.raises(ValueError, match="one pair or more"):
        make_pairs(null_prompt(two_modes()), 0, rng())
    with pytest.raises(ValueError, match="between 0 and 4"):
        make_pairs(null_prompt(two_modes()), 1, rng(), steps=4, keep=[4])
    with pytest.raises(ValueError, match="at least one prompt"):
        Prompts(two_modes(), [])
    with pytest.raises(ValueError, match="from which views"):
        Prompts(ToyTeacher(knows_views=True), ["a"])
